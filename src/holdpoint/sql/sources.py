"""FROM items as the names of a query see them: what a column's name means, level by level.

The server looks a name up among the items of its own query, then of the queries around it (manual,
sections 4.2.1 and 7.2.1). Where more than one item may be meant, each is: the server refuses an
ambiguous name, so that costs nothing.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.sql.walk import Node, strings

SYSTEM_COLUMNS: Final = frozenset(("ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"))
"""Columns that every table has and ``*`` leaves out (manual, section 5.6)."""

_WITHOUT_SYSTEM: Final = frozenset((RelationKind.VIEW,))


class Source:
    """One FROM item. ``columns`` maps the names it is seen under to those stored, None: any name.

    ``relations`` are what a table's name may mean; none for subqueries, functions and CTEs.
    ``inside`` are the items of a subquery, or those joined under one alias. One that is ``hidden``
    is only meant with its own name in front (``excluded``, ``old``, ``new``).
    """

    def __init__(
        self,
        name: str,
        columns: dict[str, str] | None,
        relations: tuple[Relation, ...] = (),
        schema: str = "",
    ) -> None:
        self.name: Final = name
        self.columns = columns
        self.relations: Final = relations
        self.schema: Final = schema
        self.inside: list[Source] = []
        self.is_join = False
        self.hidden = False
        self.is_read = False

    def has(self, name: str) -> bool:
        """Whether the item is known to have a column of that name."""
        if self.is_join:
            return any(each.has(name) for each in self.inside)
        if self.columns is not None and name in self.columns:
            return True
        return name in SYSTEM_COLUMNS and any(
            each.kind not in _WITHOUT_SYSTEM for each in self.relations
        )

    def names(self) -> list[str] | None:
        """The names of its columns, in order; None when they are not known."""
        if not self.is_join:
            return None if self.columns is None else list(self.columns)
        found: list[str] = []
        for each in self.inside:
            names = each.names()
            if names is None:
                return None
            found += names
        return found


class Level:
    """The items that one query's names can mean; ``outer`` is the level around it.

    ``ctes`` are the WITH queries in scope: name to the names of its columns, None: not known.
    """

    def __init__(
        self,
        outer: Level | None,
        ctes: dict[str, list[str] | None],
        sources: list[Source] | None = None,
    ) -> None:
        self.outer: Final = outer
        self.ctes = ctes
        self.sources: list[Source] = sources if sources is not None else []

    def named(self, schema: str, name: str) -> list[Source]:
        """The items of that name, of the nearest level that has one."""
        level: Level | None = self
        while level is not None:
            found = [
                each
                for each in level.sources
                if each.name == name and (not schema or schema == each.schema)
            ]
            if found:
                return found
            level = level.outer
        return []

    def with_column(self, name: str) -> list[Source]:
        """The items that have a column of that name, of the nearest level that has one."""
        level: Level | None = self
        while level is not None:
            found = [each for each in level.sources if not each.hidden and each.has(name)]
            if found:
                return found
            level = level.outer
        return []


def renamed(names: list[str] | None, alias: Node) -> dict[str, str] | None:
    """Columns under the names that an alias gives: ``AS t (a, b)``."""
    given = strings(alias.get("colnames", []))
    if names is None:
        return None
    found: dict[str, str] = {}
    for nth, name in enumerate(names):
        seen = given[nth] if nth < len(given) else name
        if seen:
            found[seen] = name
    return found


def own_columns(relation: Relation) -> list[str]:
    """The names of a relation's columns, in order."""
    return [column.name for column in relation.columns]


def output_name(target: Node) -> str:
    """The name of an output column, where it is sure; empty for any other (``FigureColname``)."""
    name: str = target.get("name", "")
    if name:
        return name
    value: Node = target.get("val", {})
    for _ in range(8):  # casts on casts
        cast: Node = value.get("TypeCast", {})
        if "ColumnRef" not in cast.get("arg", {}) and "TypeCast" not in cast.get("arg", {}):
            break
        value = cast["arg"]
    if "ColumnRef" in value:
        last = strings(value["ColumnRef"]["fields"])[-1]
        return "" if last == "*" else last
    if "FuncCall" in value:
        return strings(value["FuncCall"]["funcname"])[-1]
    return ""
