"""The privileges that INSERT, UPDATE, DELETE and MERGE need, wherever in a statement they stand."""

from __future__ import annotations

from typing import Any

from holdpoint.model.catalog import Relation
from holdpoint.sql.privileges_calls import CallReader
from holdpoint.sql.sources import Level, Source, own_columns, renamed
from holdpoint.sql.walk import Node


class StatementReader(CallReader):
    """Reads queries, and what changes rows."""

    def other(self, kind: str, body: Node, level: Level) -> None:
        """Read a node that is no query, name or table."""
        if kind == "InsertStmt":
            self.insert(body, self.ctes(body, level))
        elif kind == "UpdateStmt":
            self.change(body, self.ctes(body, level), "update", body.get("fromClause", []))
        elif kind == "DeleteStmt":
            self.change(body, self.ctes(body, level), "delete", body.get("usingClause", []))
        elif kind == "MergeStmt":
            self.merge(body, self.ctes(body, level))
        else:
            super().other(kind, body, level)

    def insert(self, node: Node, level: Level) -> None:
        """INSERT: on the columns that get values, which are the first ones when none are named."""
        target = self.target(node["relation"], level)
        query: Node = node.get("selectStmt", {})
        names = self.query(query, level)
        named = _assigned(node.get("cols", []))
        rows: list[Any] = query.get("SelectStmt", {}).get("valuesLists", [])
        for relation in target.relations:
            columns = named or (own_columns(relation)[: _count(names)] if query else [])
            self.inserts(relation, columns, _given(columns, rows))
        conflict: Node = node.get("onConflictClause", {})
        if conflict:
            self.conflict(conflict, target, level)
        self.returning(node, target, Level(level, level.ctes, [target]))

    def inserts(self, relation: Relation, columns: list[str], given: list[str]) -> None:
        """Rows come into a relation; DEFAULT VALUES name no column, and any will do."""
        self.casts = True  # of values to the columns' types
        if not columns:
            self.need_any(relation, "insert")
        for column in columns:
            self.need(relation, "insert", column)
        self.writes(relation, "insert", columns, given)

    def conflict(self, node: Node, target: Source, level: Level) -> None:
        """ON CONFLICT: its arbiter is read, and DO UPDATE changes."""
        own = Level(level, level.ctes, [target])
        infer: Node = node.get("infer", {})
        for item in infer.get("indexElems", []):
            element: Node = item["IndexElem"]
            if "name" in element:
                self.mark(target, element["name"])
            self.visit(element, own)
        self.visit(infer.get("whereClause", {}), own)
        for relation in target.relations if "conname" in infer else ():
            for column in _columns_of(relation, infer["conname"]):
                self.need(relation, "select", column)
        if node.get("action") != "ONCONFLICT_UPDATE":
            return
        own.sources.append(self.twin(target, "excluded"))
        self.updates(target, node["targetList"])
        self.visit([node["targetList"], node.get("whereClause", {})], own)

    def updates(self, target: Source, assignments: list[Node]) -> None:
        """Columns get new values."""
        self.casts = True
        columns = _assigned(assignments)
        defaults = {
            item["ResTarget"].get("name", "")
            for item in assignments
            if "SetToDefault" in item["ResTarget"].get("val", {})
        }
        given = [each for each in columns if each not in defaults]
        for relation in target.relations:
            for column in columns:
                self.need(relation, "update", column)
            self.writes(relation, "update", columns, given)

    def change(self, node: Node, level: Level, verb: str, items: list[Any]) -> None:
        """UPDATE and DELETE."""
        target = self.target(node["relation"], level)
        own = Level(level, level.ctes, [target])
        for item in items:
            own.sources += self.from_item(item, own)
        if verb == "update":
            self.updates(target, node["targetList"])
            self.visit(node["targetList"], own)
        else:
            self.deletes(target)
        self.visit(node.get("whereClause", {}), own)
        self.returning(node, target, own)
        for source in own.sources:
            self.close(source)

    def deletes(self, target: Source) -> None:
        """Rows go."""
        for relation in target.relations:
            self.need(relation, "delete")
            self.writes(relation, "delete", [], [])

    def merge(self, node: Node, level: Level) -> None:
        """MERGE: what each of its branches does to the target."""
        target = self.target(node["relation"], level)
        own = Level(level, level.ctes, [target])
        own.sources += self.from_item(node["sourceRelation"], own)
        self.visit(node["joinCondition"], own)
        for item in node["mergeWhenClauses"]:
            clause: Node = item["MergeWhenClause"]
            self.visit(clause, own)
            assignments: list[Node] = clause.get("targetList", [])
            command: str = clause["commandType"]
            if command == "CMD_UPDATE":
                self.updates(target, assignments)
            elif command == "CMD_DELETE":
                self.deletes(target)
            elif command == "CMD_INSERT":
                values: list[Any] = clause.get("values", [])
                for relation in target.relations:
                    named = _assigned(assignments)
                    columns = named or own_columns(relation)[: len(values)]
                    self.inserts(relation, columns, _given(columns, [{"List": {"items": values}}]))
        self.returning(node, target, own)
        for source in own.sources:
            self.close(source)

    def returning(self, node: Node, target: Source, level: Level) -> None:
        """RETURNING; ``old`` and ``new``, or what WITH calls them, are the target's rows."""
        clause: Node = node.get("returningClause", {})
        if not clause:
            return
        names = {"RETURNING_OPTION_OLD": "old", "RETURNING_OPTION_NEW": "new"}
        for item in clause.get("options", []):
            option: Node = item["ReturningOption"]
            names[option.get("option", "RETURNING_OPTION_OLD")] = option["value"]
        rows = [self.twin(target, name) for name in names.values()]
        own = Level(level.outer, level.ctes, [*level.sources, *rows])
        self.visit(clause["exprs"], own)

    def twin(self, target: Source, name: str) -> Source:
        """The target's columns under another name, which always stands in front."""
        found = Source(name, renamed(target.names(), {}), target.relations)
        found.hidden = found.is_read = True
        return found


def _assigned(items: list[Any]) -> list[str]:
    """The columns that a list of assignments names."""
    return [item["ResTarget"].get("name", "") for item in items]


def _count(names: list[str] | None) -> int | None:
    """How many columns a query gives; None when that is not known."""
    return None if names is None else len(names)


def _given(columns: list[str], rows: list[Any]) -> list[str]:
    """Of the columns of an INSERT those that no row of VALUES leaves to their default."""
    left: set[str] = set()
    for row in rows:
        items: list[Any] = row["List"].get("items", [])
        for column, item in zip(columns, items, strict=False):
            if "SetToDefault" in item:
                left.add(column)
    return [each for each in columns if each not in left]


def _columns_of(relation: Relation, constraint: str) -> list[str]:
    """The columns of a constraint; of an unknown one all."""
    for each in relation.constraints:
        if each.name == constraint and each.columns:
            return list(each.columns)
    return own_columns(relation)
