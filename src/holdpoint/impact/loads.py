"""What statements do to each table: the locks they take, and what becomes of the rows there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdpoint.impact.definitions_work import Answer, heavier, work_of, work_of_other
from holdpoint.impact.locks import lock_of, lock_of_other, stronger
from holdpoint.impact.resolving import meant, row_uses, tables_of_index, used
from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Statement, Verb
from holdpoint.model.impact import LockMode, Work
from holdpoint.sql.names import Catalog

NO_WORK: Final[Answer] = (Work.NONE, "")
STORED: Final = frozenset(
    (RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.MATERIALIZED_VIEW)
)
"""Kinds of relations that have rows of their own, or in their partitions."""

# What a lock can be on; a change of any other kind locks no table by its name.
_LOCKABLE: Final = frozenset(
    (
        *("TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "INDEX", "COLUMN"),
        *("TRIGGER", "RULE", "POLICY", "CONSTRAINT", "RELATION"),
    )
)
# Kinds whose DROP takes tables along that no name in the statement tells.
_HOLDERS: Final = frozenset(("SCHEMA", "OWNED", "EXTENSION"))
# What locks an index's table and not the index alone.
_ON_TABLE: Final = frozenset(("DROP", "REINDEX"))


@dataclass(slots=True)
class Load:
    """What a statement does to one relation, while it is being added up."""

    name: str
    relation: Relation | None
    shown: bool  # by the catalog, itself or the table it belongs to
    lock: LockMode | None = None
    work: Answer = NO_WORK
    verbs: frozenset[Verb] = frozenset()


class Loads:
    """Loads by relation, or by the written name where no relation is known."""

    def __init__(self) -> None:
        self.found: dict[int | Name, Load] = {}

    def of(self, relation: Relation | None, name: Name, shown: bool = False) -> Load:
        """The load of one relation or, where there is none, of a name; made when it is new."""
        key = relation.oid if relation is not None else name
        label = relation.label if relation is not None else name.label
        return self.found.setdefault(key, Load(label, relation, shown))


def name_of(relation: Relation) -> Name:
    """The full name of a relation."""
    return Name(relation.schema, relation.name)


def loads_of(statements: Iterable[Statement], catalog: Catalog | None) -> Loads:
    """What ``statements`` do by themselves and through functions; cascades come on top."""
    loads = Loads()
    made: set[Name] = set()  # by these statements: nobody waits for what nobody else sees
    for statement in statements:
        for use in row_uses(statement, catalog):
            name = Name(use.schema, use.name)
            for each in used(use, catalog) or (None,):
                if each is None or each.kind is not RelationKind.VIEW:
                    load_rows(loads.of(each, name), use.verb)
        for use in statement.uses:
            if use.through and use.verb in (Verb.TRUNCATE, Verb.DEFINE):
                for each in used(use, catalog):
                    _load_hidden(loads.of(each, name_of(each)), use.verb)
        for change in statement.changes:
            # Only where the catalog has no such table: CREATE ... IF NOT EXISTS makes none.
            if _makes(change) and catalog is not None and not meant(change.on, statement, catalog):
                made.add(change.on)
            _load_change(loads, change, statement, catalog, made)
    return loads


def _makes(change: Change) -> bool:
    return change.action in ("CREATE TABLE", "CREATE") and change.kind == "TABLE"


def load_rows(load: Load, verb: Verb) -> None:
    """Rows of a relation change, or all of them go."""
    truncates = verb is Verb.TRUNCATE
    mode = LockMode.ACCESS_EXCLUSIVE if truncates else LockMode.ROW_EXCLUSIVE
    load.lock = stronger(load.lock, mode)
    load.verbs |= {verb}


def _load_hidden(load: Load, verb: Verb) -> None:
    """What a function does to a table: that it does is known, how is not."""
    load.lock = LockMode.ACCESS_EXCLUSIVE
    load.verbs |= {verb}
    if verb is Verb.DEFINE:
        load.work = heavier(load.work, (Work.UNKNOWN, "a function changes its definition"))


def _load_held(loads: Loads, change: Change, catalog: Catalog) -> None:
    """Tables that go with a schema, an owner or an extension; tables that have a domain."""
    name = change.on.name
    if change.action == "DROP" and change.kind in _HOLDERS:
        for relation in catalog.rows.relations:
            holder = {
                "SCHEMA": relation.schema if change.cascade else "",
                "OWNED": relation.owner,
                "EXTENSION": relation.extension,
            }[change.kind]
            if holder == name and name and relation.kind in STORED:
                loads.of(relation, name_of(relation)).lock = LockMode.ACCESS_EXCLUSIVE
    elif change.action == "ALTER DOMAIN" and set(change.options) & {"C", "O", "V"}:
        meant_types = catalog.types_meant(change.on.schema, name, catalog.paths)
        oids = {each.oid for each in meant_types}
        for relation in catalog.rows.relations:
            if relation.kind in STORED and any(
                column.type_oid in oids for column in relation.columns
            ):
                load = loads.of(relation, name_of(relation))
                load.lock = stronger(load.lock, LockMode.SHARE)
                checked = (Work.SCAN, f"every row is checked against the domain `{name}`")
                load.work = heavier(load.work, checked)


def _load_change(
    loads: Loads,
    change: Change,
    statement: Statement,
    catalog: Catalog | None,
    made: set[Name],
) -> None:
    if change.kind in _LOCKABLE and change.on.name and change.on not in made:
        new = change.action in ("CREATE", "CREATE TABLE") and not change.replace
        lock = None if new else lock_of(change)
        if lock is not None:
            for relation in _about(change, statement, catalog) or (None,):
                itself = change.kind == "INDEX" and change.action not in _ON_TABLE
                if itself:
                    load = loads.of(None, change.on, shown=relation is not None)
                else:
                    load = loads.of(relation, change.on)
                load.lock = stronger(load.lock, lock)
                load.work = heavier(load.work, work_of(change, relation, catalog))
                for further in _also_locked(change, relation, catalog):
                    beside = loads.of(further, name_of(further))
                    beside.lock = stronger(beside.lock, LockMode.ACCESS_EXCLUSIVE)
    if catalog is not None:
        _load_held(loads, change, catalog)
    for other in change.others:
        for relation in meant(other, statement, catalog) or (None,):
            if other in made:
                continue
            load = loads.of(relation, other)
            load.lock = stronger(load.lock, lock_of_other(change, other))
            load.work = heavier(load.work, work_of_other(change, other))


def _also_locked(
    change: Change, relation: Relation | None, catalog: Catalog | None
) -> Iterable[Relation]:
    """Tables tied by foreign keys to what is dropped or made anew, and a partition's parent.

    The triggers that keep the key are dropped on both sides, which nobody may be using meanwhile.
    """
    if relation is None or catalog is None:
        return
    if change.action == "DROP" and change.kind == "TABLE":
        keys = [each for each in relation.constraints if each.kind == "f"]
        ties = [*(each.references for each in keys), *relation.parents]
        if change.cascade:
            ties.extend(other.oid for other, _ in catalog.referencing(relation.oid))
    elif change.action == "AT_DropConstraint" or (
        change.action == "AT_AlterConstraint" and change.options
    ):
        ties = [each.references for each in relation.constraints if each.name == change.part]
    elif change.action in ("AT_DropColumn", "AT_AlterColumnType"):
        ties = [each.references for each in relation.constraints if change.part in each.columns]
        ties.extend(
            other.oid
            for other, key in catalog.referencing(relation.oid)
            if change.part in key.referenced_columns
        )
    else:
        return
    for oid in dict.fromkeys(ties):
        tied = catalog.relation(oid)
        if tied is not None and tied.oid != relation.oid:
            yield tied


def _about(change: Change, statement: Statement, catalog: Catalog | None) -> tuple[Relation, ...]:
    """The relations that a change is about; for an index, its table."""
    if change.kind != "INDEX" or catalog is None:
        return meant(change.on, statement, catalog)
    return tables_of_index(change.on, catalog)
