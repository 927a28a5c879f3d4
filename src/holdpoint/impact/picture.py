"""The whole of what follows from a statement and the catalog, without asking the database.

``describe`` is what the rest of the house asks. Figures that the catalog holds are estimates; those
that only a database can bring stay ``Figure()`` and are filled in afterwards. It runs for
statements that people are asked about, so it may take its time, within the limits of
``model/limits.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from holdpoint.impact.bodies import Summary, by_effects
from holdpoint.impact.cascades import Cascades, cascades_of
from holdpoint.impact.definitions_work import Answer, heavier, work_of, work_of_other
from holdpoint.impact.dependents import dependents_of
from holdpoint.impact.firings import event_firings, firings_of
from holdpoint.impact.locks import blocks, lock_of, lock_of_other, stronger
from holdpoint.impact.resolving import (
    Touch,
    descendants,
    meant,
    row_uses,
    touches,
    used,
)
from holdpoint.impact.undo import undo_of
from holdpoint.impact.users import users_of
from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Reading, Statement, Verb
from holdpoint.model.impact import (
    Basis,
    Dependent,
    Figure,
    Firing,
    Impact,
    LockMode,
    TableImpact,
    Undo,
    Work,
)
from holdpoint.model.limits import IMPACT_CHANGES_MAX, IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog

_NO_ANSWER: Answer = (Work.NONE, "")
_STORED = frozenset((RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.MATERIALIZED_VIEW))


@dataclass(slots=True)
class _Load:
    """What a statement does to one relation, while it is being added up."""

    name: str
    relation: Relation | None
    shown: bool  # by the catalog, itself or the table it belongs to
    lock: LockMode | None = None
    work: Answer = _NO_ANSWER
    verbs: frozenset[Verb] = frozenset()


class _Loads:
    """Loads by relation, or by the written name where no relation is known."""

    def __init__(self) -> None:
        self.found: dict[int | Name, _Load] = {}

    def of(self, relation: Relation | None, name: Name, shown: bool = False) -> _Load:
        """The load of one relation or, where there is none, of a name; made when it is new."""
        key = relation.oid if relation is not None else name
        label = relation.label if relation is not None else name.label
        return self.found.setdefault(key, _Load(label, relation, shown))


def describe(
    reading: Reading,
    catalog: Catalog | None,
    summary: Summary | None = None,
    own_role: str = "",
) -> Impact:
    """Say how much ``reading`` would change, as far as its text and ``catalog`` tell. Never raises.

    ``summary`` tells what a function does (its oid to words, and whether it reaches outside the
    database); without it the reader reads its body. ``own_role`` is the agent's role at
    the database; without it the catalog reader's counts as that.
    """
    failed: dict[str, None] = {}
    statements = _looked_up(reading.statements, failed)
    loads = _loads_of(statements, catalog)
    cascades = Cascades()
    firings: tuple[Firing, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    _say_what_is_wide(statements, failed)
    if catalog is None:
        _say_what_is_missing(reading, loads, failed)
    else:
        cascades, firings = _set_off(statements, loads, catalog, summary or by_effects(catalog))
        dependents = _dependents(statements, catalog, failed)
        if cascades.cut:
            failed["more cascades follow than are listed here"] = None
        _say_who_is_unknown(loads, failed)
    relations = [each.relation for each in loads.found.values() if each.relation is not None]
    users = users_of(relations, own_role or catalog.rows.role) if catalog is not None else ()
    undo, undo_how = undo_of(reading.statements, cascades.listed, firings)
    if reading.problem is not None:
        undo, undo_how = Undo.UNKNOWN, "the text cannot be read"
    tables = tuple(_table(each, catalog) for each in loads.found.values())
    if len(tables) > IMPACT_LISTED_MAX:
        failed[f"{len(tables) - IMPACT_LISTED_MAX:,} more tables are not listed here"] = None
    return Impact(
        tables=tables[:IMPACT_LISTED_MAX],
        cascades=cascades.listed,
        firings=firings[:IMPACT_LISTED_MAX],
        dependents=dependents,
        users=users[:IMPACT_LISTED_MAX],
        undo=undo,
        undo_how=undo_how,
        failed=tuple(failed),
    )


def _looked_up(statements: Sequence[Statement], failed: dict[str, None]) -> tuple[Statement, ...]:
    """The statements with as many changes as are looked up in the catalog."""
    found: list[Statement] = []
    left = IMPACT_CHANGES_MAX
    over = 0
    for statement in statements:
        changes = statement.changes[:left]
        left -= len(changes)
        over += len(statement.changes) - len(changes)
        found.append(replace(statement, changes=changes))
    if over:
        failed[f"{over:,} more definitions were not looked up in the catalog"] = None
    return tuple(found)


def _set_off(
    statements: Sequence[Statement], loads: _Loads, catalog: Catalog, summary: Summary
) -> tuple[Cascades, tuple[Firing, ...]]:
    """Foreign keys' cascades, then triggers and rules on all that is touched."""
    touched: dict[Touch, None] = {}
    firings: dict[Firing, None] = {}
    truncates_on = False
    for statement in statements:
        touched.update(dict.fromkeys(touches(statement, catalog)))
        truncates_on = truncates_on or any(
            change.action == "TRUNCATE" and change.cascade for change in statement.changes
        )
        heaviest = _NO_ANSWER
        for change in statement.changes:
            for relation in meant(change.on, statement, catalog) or (None,):
                heaviest = heavier(heaviest, work_of(change, relation, catalog))
        firings.update(dict.fromkeys(event_firings(statement, heaviest[0], catalog, summary)))
    cascades = cascades_of(touched, truncates_on, catalog)
    for touch in cascades.touched:
        _load_rows(loads.of(touch.relation, _name(touch.relation)), touch.verb)
    everywhere = dict.fromkeys((*touched, *cascades.touched))
    on_rows = firings_of(everywhere, catalog, summary)
    return cascades, (*on_rows, *firings)


def _dependents(
    statements: Sequence[Statement], catalog: Catalog, failed: dict[str, None]
) -> tuple[Dependent, ...]:
    found: dict[Dependent, None] = {}
    for statement in statements:
        listed, cut = dependents_of(statement, catalog)
        found.update(dict.fromkeys(listed))
        if cut or len(found) > IMPACT_LISTED_MAX:
            failed["more depends on it than is listed here"] = None
            break
    return tuple(found)[:IMPACT_LISTED_MAX]


def _say_what_is_wide(statements: Sequence[Statement], failed: dict[str, None]) -> None:
    for statement in statements:
        for change in statement.changes:
            wide = change.action == "REINDEX" and change.kind not in ("TABLE", "INDEX")
            if wide or change.action == "MOVE ALL":
                failed["it goes over every table there is, which are not listed here"] = None
        if statement.tag in ("VACUUM", "ANALYZE") and not statement.changes:
            failed["it goes over every table there is, which are not listed here"] = None


def _say_what_is_missing(reading: Reading, loads: _Loads, failed: dict[str, None]) -> None:
    if loads.found or any(each.changes for each in reading.statements):
        failed[
            "without the catalog of the database nobody can say what cascades, which triggers "
            "fire, what depends on it and who uses it"
        ] = None


def _say_who_is_unknown(loads: _Loads, failed: dict[str, None]) -> None:
    for load in loads.found.values():
        if load.relation is None and not load.shown:
            failed[f"the catalog does not show `{load.name}`"] = None


def _name(relation: Relation) -> Name:
    return Name(relation.schema, relation.name)


def _loads_of(statements: Iterable[Statement], catalog: Catalog | None) -> _Loads:
    loads = _Loads()
    made: set[Name] = set()  # by these statements: nobody waits for what nobody else sees
    for statement in statements:
        for use in row_uses(statement, catalog):
            name = Name(use.schema, use.name)
            for each in used(use, catalog) or (None,):
                if each is None or each.kind is not RelationKind.VIEW:
                    _load_rows(loads.of(each, name), use.verb)
        for use in statement.uses:
            if use.through and use.verb in (Verb.TRUNCATE, Verb.DEFINE):
                for each in used(use, catalog):
                    _load_hidden(loads.of(each, _name(each)), use.verb)
        for change in statement.changes:
            if change.action.startswith("CREATE") and change.kind == "TABLE" and _makes(change):
                made.add(change.on)
            _load_change(loads, change, statement, catalog, made)
    return loads


def _makes(change: Change) -> bool:
    return change.action in ("CREATE TABLE", "CREATE")


def _load_rows(load: _Load, verb: Verb) -> None:
    truncates = verb is Verb.TRUNCATE
    mode = LockMode.ACCESS_EXCLUSIVE if truncates else LockMode.ROW_EXCLUSIVE
    load.lock = stronger(load.lock, mode)
    load.verbs |= {verb}


def _load_hidden(load: _Load, verb: Verb) -> None:
    """What a function does to a table: that it does is known, how is not."""
    load.lock = LockMode.ACCESS_EXCLUSIVE
    load.verbs |= {verb}
    if verb is Verb.DEFINE:
        load.work = heavier(load.work, (Work.UNKNOWN, "a function changes its definition"))


_LOCKABLE = frozenset(
    (
        *("TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "INDEX", "COLUMN"),
        *("TRIGGER", "RULE", "POLICY", "CONSTRAINT", "RELATION"),
    )
)


# Kinds whose DROP takes tables along that no name in the statement tells.
_HOLDERS = frozenset(("SCHEMA", "OWNED", "EXTENSION"))


def _load_held(loads: _Loads, change: Change, catalog: Catalog) -> None:
    """Tables that go with a schema, an owner or an extension; tables that have a domain."""
    name = change.on.name
    if change.action == "DROP" and change.kind in _HOLDERS:
        for relation in catalog.rows.relations:
            holder = {
                "SCHEMA": relation.schema if change.cascade else "",
                "OWNED": relation.owner,
                "EXTENSION": relation.extension,
            }[change.kind]
            if holder == name and name and relation.kind in _STORED:
                loads.of(relation, _name(relation)).lock = LockMode.ACCESS_EXCLUSIVE
    elif change.action == "ALTER DOMAIN" and set(change.options) & {"C", "O", "V"}:
        meant_types = catalog.types_meant(change.on.schema, name, catalog.paths)
        oids = {each.oid for each in meant_types}
        for relation in catalog.rows.relations:
            if relation.kind in _STORED and any(
                column.type_oid in oids for column in relation.columns
            ):
                load = loads.of(relation, _name(relation))
                load.lock = stronger(load.lock, LockMode.SHARE)
                checked = (Work.SCAN, f"every row is checked against the domain `{name}`")
                load.work = heavier(load.work, checked)


def _load_change(
    loads: _Loads,
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
                    beside = loads.of(further, _name(further))
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


# What locks an index's table and not the index alone.
_ON_TABLE = frozenset(("DROP", "REINDEX"))


def _about(change: Change, statement: Statement, catalog: Catalog | None) -> tuple[Relation, ...]:
    """The relations that a change is about; for an index, its table."""
    if change.kind != "INDEX" or catalog is None:
        return meant(change.on, statement, catalog)
    return tuple(
        relation
        for relation in catalog.rows.relations
        if change.on.schema in ("", relation.schema)
        and any(index.name == change.on.name for index in relation.indexes)
    )


def _table(load: _Load, catalog: Catalog | None) -> TableImpact:
    work, why = load.work
    impact = TableImpact(
        name=load.name, lock=load.lock, blocks=blocks(load.lock), work=work, why=why
    )
    relation = load.relation
    if relation is None or catalog is None:
        return impact
    below = descendants(relation, catalog) if relation.kind in _STORED else ()
    stored = (relation, *below)
    partitioned = relation.kind is RelationKind.PARTITIONED
    return replace(
        impact,
        table_rows=_rows(stored),
        size_bytes=_size(stored),
        indexes=_maintained(load, relation),
        partitions=len(below) if partitioned else 0,
    )


def _rows(stored: Sequence[Relation]) -> Figure:
    """The planner's counts added up; a table that was never analysed makes the sum unknown."""
    counted = [each for each in stored if each.kind is not RelationKind.PARTITIONED]
    if not counted:
        return Figure(0, Basis.ESTIMATE)
    if any(each.rows < 0 for each in counted):
        return Figure(None, Basis.UNKNOWN, "never analysed")
    return Figure(sum(each.rows for each in counted), Basis.ESTIMATE)


def _size(stored: Sequence[Relation]) -> Figure:
    return Figure(sum(each.size_bytes for each in stored), Basis.ESTIMATE)


def _maintained(load: _Load, relation: Relation) -> tuple[str, ...]:
    """Indexes that each changed row may have to be entered in.

    A DELETE leaves the entries to VACUUM. An UPDATE may spare all indexes where it sets no column
    of any (heap-only tuples, manual, section 65.7), but only while the page has room: never sure.
    """
    if load.verbs.isdisjoint((Verb.INSERT, Verb.UPDATE)):
        return ()
    return tuple(each.name for each in relation.indexes)
