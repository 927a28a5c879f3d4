"""The whole of what follows from a statement and the catalog, without asking the database.

``describe`` is what the rest of the house asks. Figures that the catalog holds are estimates; those
that only a database can bring stay ``Figure()`` and are filled in afterwards. It runs for
statements that people are asked about, so it may take its time, within the limits of
``model/limits.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdpoint.impact.bodies import Summary, by_effects
from holdpoint.impact.cascades import Cascades, cascades_of
from holdpoint.impact.definitions_work import heavier, work_of
from holdpoint.impact.dependents import dependents_of
from holdpoint.impact.firings import event_firings, firings_of
from holdpoint.impact.loads import NO_WORK, STORED, Load, Loads, load_rows, loads_of, name_of
from holdpoint.impact.locks import blocks, strength
from holdpoint.impact.resolving import Touch, descendants, meant, touches
from holdpoint.impact.undo import undo_of
from holdpoint.impact.users import users_of
from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.effects import Reading, Statement, Verb
from holdpoint.model.impact import Basis, Dependent, Figure, Firing, Impact, TableImpact, Undo
from holdpoint.model.limits import IMPACT_CHANGES_MAX, IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog


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
    loads = loads_of(statements, catalog)
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
    return Impact(
        tables=_tables(loads, catalog, failed),
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
    statements: Sequence[Statement], loads: Loads, catalog: Catalog, summary: Summary
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
        heaviest = NO_WORK
        for change in statement.changes:
            for relation in meant(change.on, statement, catalog) or (None,):
                heaviest = heavier(heaviest, work_of(change, relation, catalog))
        firings.update(dict.fromkeys(event_firings(statement, heaviest[0], catalog, summary)))
    cascades = cascades_of(touched, truncates_on, catalog)
    for touch in cascades.touched:
        load_rows(loads.of(touch.relation, name_of(touch.relation)), touch.verb)
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


def _say_what_is_missing(reading: Reading, loads: Loads, failed: dict[str, None]) -> None:
    if loads.found or any(each.changes for each in reading.statements):
        failed[
            "without the catalog of the database nobody can say what cascades, which triggers "
            "fire, what depends on it and who uses it"
        ] = None


def _say_who_is_unknown(loads: Loads, failed: dict[str, None]) -> None:
    for load in loads.found.values():
        if load.relation is None and not load.shown:
            failed[f"the catalog does not show `{load.name}`"] = None


def _tables(
    loads: Loads, catalog: Catalog | None, failed: dict[str, None]
) -> tuple[TableImpact, ...]:
    """The tables as they are named; where they are too many, those with the strongest locks."""
    found = list(loads.found.values())
    if len(found) > IMPACT_LISTED_MAX:
        failed[f"{len(found) - IMPACT_LISTED_MAX:,} more tables are not listed here"] = None
        found.sort(key=lambda load: strength(load.lock), reverse=True)
    return tuple(_table(each, catalog) for each in found[:IMPACT_LISTED_MAX])


def _table(load: Load, catalog: Catalog | None) -> TableImpact:
    work, why = load.work
    impact = TableImpact(
        name=load.name, lock=load.lock, blocks=blocks(load.lock), work=work, why=why
    )
    relation = load.relation
    if relation is None or catalog is None:
        return impact
    below = descendants(relation, catalog) if relation.kind in STORED else ()
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


def _maintained(load: Load, relation: Relation) -> tuple[str, ...]:
    """Indexes that each changed row may have to be entered in.

    A DELETE leaves the entries to VACUUM. An UPDATE may spare all indexes where it sets no column
    of any (heap-only tuples, manual, section 65.7), but only while the page has room: never sure.
    """
    if load.verbs.isdisjoint((Verb.INSERT, Verb.UPDATE)):
        return ()
    return tuple(each.name for each in relation.indexes)
