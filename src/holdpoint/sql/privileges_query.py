"""The privileges that queries and what changes rows need, read from their syntax trees.

The walk goes everywhere: whatever node stands around them, columns, functions and relations inside
are found. Levels of names are made where the grammar makes them: a query, ON, a subquery.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.sql.needed import CALLER, OWNER, Asking, Behind, on
from holdpoint.sql.sources import (
    SYSTEM_COLUMNS,
    Level,
    Source,
    output_name,
    own_columns,
    renamed,
)
from holdpoint.sql.walk import Node, strings


class QueryReader:
    """Reads one statement."""

    def __init__(self, asking: Asking) -> None:
        self.asking: Final = asking
        self.seen: dict[int, Relation] = {}
        if asking.table is not None:
            self.seen[asking.table.oid] = asking.table
        self.calls: dict[tuple[str, str, int], None] = {}
        self.symbols: dict[tuple[str, str], None] = {}
        self.casts = False  # values become ones of another type
        self.involved: set[int] = set()  # oids of types that values in it can have

    # --- what is found ----------------------------------------------------------------------------

    def need(self, relation: Relation, privilege: str, column: str = "") -> None:
        """A privilege of the caller on a relation or a column."""
        if self.asking.as_caller:
            self.asking.needed.found[on(relation, privilege, column)] = None

    def need_any(self, relation: Relation, privilege: str) -> None:
        """A privilege on whatever column."""
        if not self.asking.as_caller:
            return
        if relation.kind is RelationKind.SEQUENCE:
            self.need(relation, privilege)
        else:
            self.asking.needed.any_column[on(relation, privilege)] = None

    def choose(self, relation: Relation, privileges: list[str]) -> None:
        """One of several privileges on the whole relation, the least dangerous first."""
        if self.asking.as_caller:
            choice = tuple([on(relation, each) for each in privileges])
            self.asking.needed.choices[choice] = None

    @property
    def rights(self) -> str:
        """With whose rights on tables the text runs."""
        return CALLER if self.asking.as_caller else OWNER

    def reads(self, relation: Relation) -> None:
        """A relation's rows are read: what stands behind a view, and row-level policies."""
        self.asking.needed.behind(Behind("read", relation.oid, self.rights))

    def writes(self, relation: Relation, verb: str, columns: list[str], given: list[str]) -> None:
        """A relation's rows are changed; of ``columns`` an INSERT has values for ``given``."""
        behind = Behind(verb, relation.oid, self.rights, tuple(columns), tuple(given))
        self.asking.needed.behind(behind)

    def mark(self, source: Source, name: str) -> None:
        """A column of an item is read."""
        source.is_read = True
        if source.is_join:
            for each in source.inside:
                if each.has(name):
                    self.mark(each, name)
            return
        stored = (source.columns or {}).get(name, name)
        for relation in source.relations:
            columns = own_columns(relation)
            if stored in columns or stored in SYSTEM_COLUMNS:
                self.need(relation, "select", stored)
                self.reads(relation)

    def mark_all(self, source: Source) -> None:
        """Every column of an item is read: ``*``, a whole row."""
        source.is_read = True
        for each in source.inside if source.is_join else []:
            self.mark_all(each)
        for relation in source.relations:
            for column in own_columns(relation) or [""]:
                self.need(relation, "select", column)
            self.reads(relation)

    def mark_row(self, source: Source) -> None:
        """A whole row is read as one value."""
        self.mark_all(source)
        self.involved.update([each.type_oid for each in source.relations])

    # --- the walk ---------------------------------------------------------------------------------

    def visit(self, item: Any, level: Level) -> None:
        """Read whatever is inside ``item``, whose names mean what ``level`` says."""
        if isinstance(item, list):
            for each in item:
                self.visit(each, level)
            return
        if not isinstance(item, dict):
            return
        node: Node = item
        for kind, body in node.items():
            if isinstance(body, list):
                self.visit(body, level)
            elif isinstance(body, dict):
                self.visit_node(kind, body, level)

    def visit_node(self, kind: str, body: Node, level: Level) -> None:
        """Read one node."""
        if kind == "ColumnRef":
            self.column(body, level)
        elif kind == "SelectStmt":
            self.select(body, level)
        elif kind == "RangeVar":
            self.close(self.table(body, level))
        else:
            self.other(kind, body, level)

    def called(self, schema: str, name: str, count: int) -> None:
        """A function is called with so many arguments, -1 where that is not sure."""

    def other(self, kind: str, body: Node, level: Level) -> None:
        """Read a node that is no query, name or table."""
        self.visit(body, level)

    def column(self, node: Node, level: Level) -> None:
        """A name in an expression."""
        names = strings(node["fields"])
        if names == ["*"]:
            for source in level.sources:
                if not source.hidden:
                    self.mark_all(source)
            return
        if len(names) == 1:
            found = level.with_column(names[0])
            for source in found:
                self.mark(source, names[0])
            if not found:
                for source in level.named("", names[0]):
                    self.mark_row(source)
            return
        schema = names[-3] if len(names) > 2 else ""
        for source in level.named(schema, names[-2]):
            if names[-1] != "*" and source.has(names[-1]):
                self.mark(source, names[-1])
            elif names[-1] == "*" or source.columns is not None or source.is_join:
                self.mark_row(source)
                if names[-1] != "*":  # `t.f`, where `f` is no column, calls f(t)
                    self.called("", names[-1], 1)
            else:
                source.is_read = True

    # --- FROM -------------------------------------------------------------------------------------

    def ctes(self, node: Node, level: Level) -> Level:
        """The level inside a WITH clause; its queries are read."""
        clause: Node = node.get("withClause", {})
        if not clause:
            return level
        inner = Level(level, dict(level.ctes))
        is_recursive = bool(clause.get("recursive", False))
        if is_recursive:
            for item in clause["ctes"]:
                inner.ctes[item["CommonTableExpr"]["ctename"]] = None
        for item in clause["ctes"]:
            cte: Node = item["CommonTableExpr"]
            names = self.query(cte["ctequery"], inner)
            columns = renamed(names, {"colnames": cte.get("aliascolnames", [])})
            made = [
                cte.get("search_clause", {}).get("search_seq_column", ""),
                cte.get("cycle_clause", {}).get("cycle_mark_column", ""),
                cte.get("cycle_clause", {}).get("cycle_path_column", ""),
            ]
            more = [each for each in made if each]
            inner.ctes[cte["ctename"]] = None if columns is None else [*columns, *more]
        return inner

    def query(self, item: Node, level: Level) -> list[str] | None:
        """Read a query of any kind; the names of its columns, None where they are not known."""
        if "SelectStmt" in item:
            return self.select(item["SelectStmt"], level)[0]
        self.visit(item, level)
        return None

    def from_item(self, item: Node, level: Level) -> list[Source]:
        """Read one FROM item; the sources that it adds, for the caller to put into its level."""
        for kind, node in item.items():
            if kind == "RangeVar":
                return [self.table(node, level)]
            if kind == "JoinExpr":
                return self.join(node, level)
            if kind == "RangeTableSample":
                self.visit([node.get("args", []), node.get("repeatable", {})], level)
                return self.from_item(node["relation"], level)
            if kind == "RangeSubselect":
                is_lateral = node.get("lateral", False)
                outer = level if is_lateral else _without_sources(level)
                names, inside = self.select(node["subquery"]["SelectStmt"], outer)
                alias: Node = node.get("alias", {})
                source = Source(alias.get("aliasname", ""), renamed(names, alias))
                source.inside = inside
                return [source]
            self.visit(node, level)
            alias = node.get("alias", {})
            names = strings(alias.get("colnames", []))
            return [
                Source(alias.get("aliasname", ""), dict(zip(names, names, strict=True)) or None)
            ]
        return []

    def table(self, node: Node, level: Level) -> Source:
        """A table, view, sequence or CTE by its name."""
        schema, name = node.get("schemaname", ""), node.get("relname", "")
        alias: Node = node.get("alias", {})
        seen: str = alias.get("aliasname", "") or name
        if not schema and name in level.ctes:
            return Source(seen, renamed(level.ctes[name], alias))
        relations = self.asking.relations(schema, name)
        names = own_columns(relations[0]) if relations else None
        for other in relations[1:]:
            names = [*(names or []), *own_columns(other)]
        for relation in relations:
            self.seen[relation.oid] = relation
            self.reads(relation)
        return Source(seen, renamed(names, alias), relations, "" if alias else schema)

    def target(self, node: Node, level: Level) -> Source:
        """The table that a statement changes: never a CTE, and read only where it says so."""
        schema, name = node.get("schemaname", ""), node.get("relname", "")
        alias: Node = node.get("alias", {})
        relations = self.asking.relations(schema, name)
        names = own_columns(relations[0]) if relations else None
        for relation in relations:
            self.seen[relation.oid] = relation
        source = Source(alias.get("aliasname", "") or name, renamed(names, {}), relations, schema)
        source.is_read = True  # no SELECT is needed unless a column is named
        return source

    def join(self, node: Node, level: Level) -> list[Source]:
        """A join; the columns of USING and NATURAL are read on both sides."""
        left = self.from_item(node["larg"], level)
        beside = Level(level.outer, level.ctes, [*level.sources, *left])
        right = self.from_item(node["rarg"], beside)
        merged = strings(node.get("usingClause", []))
        if node.get("isNatural", False):
            merged = self.natural(left, right)
        for name in merged:
            for source in (*left, *right):
                if source.has(name):
                    self.mark(source, name)
        both = [*left, *right]
        self.visit(node.get("quals", {}), Level(level.outer, level.ctes, both))
        alias: Node = node.get("alias") or node.get("join_using_alias", {})
        if not alias:
            return both
        source = Source(alias.get("aliasname", ""), None)
        source.is_join = True
        source.inside = both
        if "join_using_alias" in node and "alias" not in node:
            source.hidden = True
            return [*both, source]
        if "colnames" in alias:
            self.mark_all(source)  # which column a new name means is not worth telling
        return [source]

    def natural(self, left: list[Source], right: list[Source]) -> list[str]:
        """The columns that both sides of a NATURAL JOIN have."""
        names: list[list[str]] = []
        for side in (left, right):
            found: list[str] = []
            for source in side:
                own = source.names()
                if own is None:  # anything may be shared
                    for each in (*left, *right):
                        self.mark_all(each)
                    return []
                found += own
            names.append(found)
        return [name for name in names[0] if name in names[1]]

    # --- SELECT -----------------------------------------------------------------------------------

    def select(self, node: Node, level: Level) -> tuple[list[str] | None, list[Source]]:
        """Read a query; the names of its columns (None: not known), and its FROM items."""
        outer = self.ctes(node, level)
        if "larg" in node:
            names, _ = self.select(node["larg"], outer)
            self.select(node["rarg"], outer)
            self.ordered(node.get("sortClause", []), outer, names or [])
            self.visit([node.get("limitCount", {}), node.get("limitOffset", {})], outer)
            return names, []
        own = Level(outer, outer.ctes)
        for item in node.get("fromClause", []):
            own.sources += self.from_item(item, own)
        targets: list[Node] = node.get("targetList", [])
        names = _names_of(targets, own, node)
        aliases = [output_name(each["ResTarget"]) for each in targets]
        self.ordered(node.get("sortClause", []), own, aliases)
        self.ordered(node.get("distinctClause", []), own, aliases)
        self.grouped(node.get("groupClause", []), own, aliases)
        for field, value in node.items():
            if field not in _DONE:
                self.visit_field(field, value, own)
        self.lock(node.get("lockingClause", []), own)
        for source in own.sources:
            self.close(source)
        return names, own.sources

    def visit_field(self, field: str, value: Any, level: Level) -> None:
        """Read a field of a query."""
        if field == "intoClause":
            relation: Node = value["rel"]
            self.asking.needed.beyond["makes a table"] = None
            if relation.get("relpersistence", "p") == "t":
                self.asking.needed.beyond.pop("makes a table", None)
        else:
            self.visit(value, level)

    def close(self, source: Source) -> None:
        """A query has ended: a table of which no column was named needs any one of them."""
        for each in source.inside if source.is_join else []:
            self.close(each)
        if not source.is_read:
            for relation in source.relations:
                self.need_any(relation, "select")

    def ordered(self, items: list[Any], level: Level, names: list[str]) -> None:
        """ORDER BY and DISTINCT ON: a bare name is a column of the result first."""
        for item in items:
            inner: Node = item.get("SortBy", {}).get("node", item) if item else {}
            fields = strings(inner.get("ColumnRef", {}).get("fields", []))
            if len(fields) != 1 or fields[0] not in names:
                self.visit(inner, level)

    def grouped(self, items: list[Any], level: Level, names: list[str]) -> None:
        """GROUP BY: a bare name is a column of a FROM item first, then one of the result."""
        for item in items:
            fields = strings(item.get("ColumnRef", {}).get("fields", []))
            own = len(fields) != 1 or any(each.has(fields[0]) for each in level.sources)
            if own or fields[0] not in names:
                self.visit(item, level)

    def lock(self, clauses: list[Any], level: Level) -> None:
        """FOR UPDATE and its kin need UPDATE on a column of each table locked."""
        for item in clauses:
            names = {
                each["RangeVar"]["relname"] for each in item["LockingClause"].get("lockedRels", [])
            }
            for source in level.sources:
                if not names or source.name in names:
                    self.lock_source(source)

    def lock_source(self, source: Source) -> None:
        """Lock an item: a subquery's tables with it."""
        for each in source.inside:
            self.lock_source(each)
        for relation in source.relations:
            self.need_any(relation, "update")
            if relation.kind is RelationKind.VIEW:
                self.asking.needed.behind(Behind("lock", relation.oid, self.rights))


_DONE: Final = frozenset(
    ("withClause", "fromClause", "sortClause", "distinctClause", "groupClause", "lockingClause")
)


def _without_sources(level: Level) -> Level:
    """What a subquery in FROM sees: not the items beside it."""
    outer = level.outer
    return Level(outer, level.ctes)


def _names_of(targets: list[Node], level: Level, node: Node) -> list[str] | None:
    """The names of a query's columns; an empty one is not sure, None: their number is not."""
    if "valuesLists" in node:
        first: list[Any] = node["valuesLists"][0]["List"].get("items", [])
        return [f"column{nth}" for nth in range(1, len(first) + 1)]
    found: list[str] = []
    for target in targets:
        value: Node = target["ResTarget"].get("val", {})
        fields = strings(value.get("ColumnRef", {}).get("fields", []))
        if fields[-1:] != ["*"]:
            found.append(output_name(target["ResTarget"]))
            continue
        sources = level.sources if len(fields) == 1 else level.named("", fields[-2])
        for source in sources:
            if source.hidden:
                continue
            names = source.names()
            if names is None:
                return None
            found += names
    return found
