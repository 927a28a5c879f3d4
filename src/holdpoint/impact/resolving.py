"""From what a statement names to relations of the catalog, and families of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.changes import Name
from holdpoint.model.effects import Access, ObjectKind, RelationUse, Statement, Verb
from holdpoint.sql.names import Catalog

ROW_VERBS = frozenset((Verb.INSERT, Verb.UPDATE, Verb.DELETE))
"""Verbs that change rows one by one."""


ENABLED: Final = frozenset("OA")
"""Triggers and rules that fire: on origin, always. A session in replica mode is no agent's."""


_INDEXES: Final = ("tables by index",)  # where the picture remembers them


@dataclass(frozen=True, slots=True)
class Touch:
    """A relation whose rows are changed, how, in which columns (empty for all), and by what.

    ``through`` is empty when the statement itself names the relation.
    """

    relation: Relation
    verb: Verb
    columns: tuple[str, ...] = ()
    through: tuple[str, ...] = ()


def meant(name: Name, statement: Statement, catalog: Catalog | None) -> tuple[Relation, ...]:
    """The relations that a name of ``statement`` may mean; empty when none is known.

    What the reader resolved with the session's own search path comes first.
    """
    if catalog is None:
        return ()
    found: dict[int, Relation] = {}
    for use in statement.uses:
        relation = catalog.relation(use.oid) if use.oid and not use.through else None
        if relation is None or relation.name != name.name:
            continue
        if name.schema in ("", relation.schema):
            found[relation.oid] = relation
    if not found:
        for relation in catalog.relations_meant(name.schema, name.name, catalog.paths):
            found[relation.oid] = relation
    return tuple(found.values())


def used(use: RelationUse, catalog: Catalog | None) -> tuple[Relation, ...]:
    """The relations that a use of the reader's is about; empty when none is known."""
    if catalog is None:
        return ()
    relation = catalog.relation(use.oid) if use.oid else None
    if relation is not None:
        return (relation,)
    return tuple(catalog.relations_meant(use.schema, use.name, catalog.paths))


def row_uses(statement: Statement, catalog: Catalog | None) -> tuple[RelationUse, ...]:
    """What the statement does to rows; told by its tag alone where the reader followed nothing.

    What foreign keys do is left out: ``cascades`` follows those itself, level by level.
    """
    if statement.uses:
        return tuple(
            use
            for use in statement.uses
            if use.verb in ROW_VERBS
            and not (use.through and use.through[-1].startswith("foreign key "))
            and not _replaced(use, catalog)
        )
    verb = {"INSERT": Verb.INSERT, "COPY": Verb.INSERT, "DELETE": Verb.DELETE}.get(
        statement.tag, Verb.UPDATE
    )
    defined = {change.on for change in statement.changes}  # TRUNCATE, VACUUM: told as changes
    return tuple(
        RelationUse(item.schema, item.name, verb)
        for item in statement.objects
        if item.access is Access.WRITE
        and item.kind is ObjectKind.RELATION
        and Name(item.schema, item.name) not in defined
    )


def _replaced(use: RelationUse, catalog: Catalog | None) -> bool:
    """Whether an INSTEAD OF trigger of a view on the way acts in the place of ``use``."""
    if catalog is None:
        return False
    for way in use.through:
        schema, _, name = way.removeprefix("view ").partition(".")
        view = catalog.find_relation(schema, name, ()) if way.startswith("view ") else None
        for trigger in view.triggers if view is not None else ():
            instead = trigger.timing.startswith("instead") and trigger.enabled in ENABLED
            if instead and use.verb.value in trigger.events:
                return True
    return False


def touches(statement: Statement, catalog: Catalog) -> tuple[Touch, ...]:
    """Every relation of the catalog whose rows ``statement`` changes, direct ones first."""
    found: dict[Touch, None] = {}
    emptied = [use for use in statement.uses if use.verb is Verb.TRUNCATE]
    for use in (*row_uses(statement, catalog), *emptied):
        for each in used(use, catalog):
            found[Touch(each, use.verb, use.columns, use.through)] = None
    for change in statement.changes:
        if change.action == "TRUNCATE":
            for each in meant(change.on, statement, catalog):
                found[Touch(each, Verb.TRUNCATE)] = None
    return tuple(sorted(found, key=lambda touch: len(touch.through)))


def tables_of_index(index: Name, catalog: Catalog) -> tuple[Relation, ...]:
    """The tables that have an index of that name; it is in their schema."""
    known: dict[str, list[Relation]] | None = catalog.followed.get(_INDEXES)
    if known is None:
        known = {}
        for relation in catalog.rows.relations:
            for each in relation.indexes:
                known.setdefault(each.name, []).append(relation)
        catalog.followed[_INDEXES] = known
    return tuple(
        relation for relation in known.get(index.name, ()) if index.schema in ("", relation.schema)
    )


def descendants(relation: Relation, catalog: Catalog) -> tuple[Relation, ...]:
    """Partitions and inheritors at every depth, each once, without the relation itself."""
    found: dict[int, Relation] = {}
    waiting = [relation]
    while waiting:
        for child in catalog.children(waiting.pop().oid):
            if child.oid not in found and child.oid != relation.oid:
                found[child.oid] = child
                waiting.append(child)
    return tuple(found.values())


def partitioned_ancestors(relation: Relation, catalog: Catalog) -> tuple[Relation, ...]:
    """The partitioned tables that a partition belongs to, nearest first."""
    found: dict[int, Relation] = {}
    waiting = [relation]
    while waiting:
        for oid in waiting.pop().parents:
            parent = catalog.relation(oid)
            if parent is None or parent.kind is not RelationKind.PARTITIONED:
                continue
            if oid not in found and oid != relation.oid:
                found[oid] = parent
                waiting.append(parent)
    return tuple(found.values())
