"""From what statements need to the least set of grants: choices settled, columns put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdpoint.model.catalog import Relation
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.needs import Need, Needs
from holdpoint.sql.names import Catalog

_ORDER: Final = (
    "usage",
    "create",
    "select",
    "insert",
    "update",
    "delete",
    "truncate",
    "references",
    "trigger",
    "maintain",
    "execute",
)


def settled(all_needs: Iterable[Needs], catalog: Catalog) -> frozenset[Need]:
    """Return the least needs that cover all of them.

    Where one of several privileges is enough, one that is needed anyway is taken, else the first;
    where any column will do, one that is needed anyway, else the first of the primary key.
    """
    listed = list(all_needs)
    found: set[Need] = set()
    for each in listed:
        found |= each.needs
    for choice in sorted({one for each in listed for one in each.choices}):
        if found.isdisjoint(choice) and not _is_whole(choice, found, catalog):
            found.add(choice[0])
    for need in sorted({one for each in listed for one in each.any_column}):
        if not any(_settles(one, need) for one in found):
            found.add(with_column(need, catalog))
    return frozenset(found)


def _is_whole(choice: tuple[Need, ...], found: set[Need], catalog: Catalog) -> bool:
    """Tell whether one of a choice is needed anyway, by its columns taken together."""
    for need in choice:
        columns = {one.column for one in found if _settles(one, need) and one.column}
        if columns and columns >= _columns_of(catalog.relation(need.oid)):
            return True
    return False


def _settles(one: Need, need: Need) -> bool:
    return one.oid == need.oid and one.privilege == need.privilege and one.kind == need.kind


def with_column(need: Need, catalog: Catalog) -> Need:
    """Return the need of any column as one of a certain column: the key's first, or the first."""
    relation = catalog.relation(need.oid)
    columns = [] if relation is None else [column.name for column in relation.columns]
    for index in relation.indexes if relation is not None else ():
        if index.primary and index.columns[0] in columns:
            columns = [index.columns[0]]
    column = columns[0] if columns else ""
    return Need(need.kind, need.schema, need.name, need.privilege, column, need.oid)


def _columns_of(relation: Relation | None) -> set[str]:
    return set() if relation is None else {column.name for column in relation.columns}


def grants_of(needs: Iterable[Need], catalog: Catalog) -> tuple[Grant, ...]:
    """Return needs as grants, one per object; all columns of a table become the table."""
    objects: dict[tuple[ObjectClass, str, str, int], dict[str, set[str]]] = {}
    for need in needs:
        entry = objects.setdefault((need.kind, need.schema, need.name, need.oid), {})
        entry.setdefault(need.privilege, set()).add(need.column)
    found: list[Grant] = []
    for kind, schema, name, oid in sorted(objects):
        relation = catalog.relation(oid) if kind is ObjectClass.TABLE else None
        order = [column.name for column in relation.columns] if relation is not None else []
        privileges = [
            GrantedPrivilege(each, _narrowed(columns, order))
            for each, columns in sorted(
                objects[kind, schema, name, oid].items(), key=lambda item: _ORDER.index(item[0])
            )
        ]
        found.append(Grant(schema, name, tuple(privileges), kind))
    return tuple(found)


def _narrowed(columns: set[str], order: list[str]) -> tuple[str, ...]:
    """The columns in the table's order; none for the whole object."""
    if "" in columns or columns >= set(order):
        return ()
    known = [each for each in order if each in columns]
    return (*known, *sorted(columns - set(order)))
