"""The picture as a whole: tables with figures, users, what is missing without a catalog."""

from __future__ import annotations

import pytest

from holdpoint import sql
from holdpoint.impact.definitions_work import work_of
from holdpoint.impact.locks import lock_of
from holdpoint.impact.picture import describe
from holdpoint.model.catalog import (
    CatalogRows,
    Column,
    Constraint,
    EventTrigger,
    Function,
    Grant,
    Index,
    Relation,
    RelationKind,
    Trigger,
)
from holdpoint.model.changes import Change, Name
from holdpoint.model.impact import Basis, Figure, Impact, LockMode, TableImpact, Undo, Work
from holdpoint.model.limits import CASCADE_LEVELS_MAX, IMPACT_CHANGES_MAX, IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog

INT = 23


def table(oid: int, name: str, **more: object) -> Relation:
    known = {"schema": "public", "kind": RelationKind.TABLE, "owner": "ada", **more}
    return Relation(oid=oid, name=name, **known)  # type: ignore[arg-type]


def catalog(*relations: Relation, **more: object) -> Catalog:
    known = {"version": 180001, "role": "reader", "search_path": ("public",), **more}
    return Catalog(CatalogRows(relations=relations, **known))  # type: ignore[arg-type]


def told(text: str, known: Catalog | None = None, **more: str) -> Impact:
    return describe(sql.read(text, catalog=known), known, own_role=more.get("own_role", ""))


def only(impact: Impact) -> TableImpact:
    (found,) = impact.tables
    return found


ORDERS = table(
    1,
    "orders",
    rows=48_211,
    size_bytes=9_000_000,
    columns=(Column("id", INT), Column("state", 25)),
    indexes=(Index(2, "orders_pkey", ("id",), unique=True), Index(3, "orders_state", ("state",))),
    grants=(
        Grant("ada", "INSERT"),
        Grant("agent", "SELECT"),
        Grant("billing", "SELECT"),
        Grant("billing", "UPDATE"),
        Grant("", "SELECT"),
    ),
)


def test_figures_of_the_catalog_are_estimates() -> None:
    found = only(told("DELETE FROM orders", catalog(ORDERS)))
    assert found.name == "public.orders"
    assert found.table_rows == Figure(48_211, Basis.ESTIMATE)
    assert found.size_bytes == Figure(9_000_000, Basis.ESTIMATE)


def test_figures_that_only_a_database_has_are_not_asked() -> None:
    impact = told("DELETE FROM orders", catalog(ORDERS))
    assert impact.rows == Figure()
    assert only(impact).rows == Figure()
    assert only(impact).busy == Figure()


def test_a_table_never_analysed_has_no_count() -> None:
    found = only(told("DELETE FROM fresh", catalog(table(1, "fresh", rows=-1, size_bytes=8192))))
    assert found.table_rows == Figure(None, Basis.UNKNOWN, "never analysed")


def test_partitions_are_counted_and_added_up() -> None:
    known = catalog(
        table(1, "events", kind=RelationKind.PARTITIONED),
        table(2, "events_a", kind=RelationKind.PARTITIONED, parents=(1,)),
        table(3, "events_a1", parents=(2,), rows=10, size_bytes=100),
        table(4, "events_b", parents=(1,), rows=5, size_bytes=50),
    )
    found = only(told("DELETE FROM events", known))
    assert found.partitions == 3
    assert found.table_rows == Figure(15, Basis.ESTIMATE)
    assert found.size_bytes == Figure(150, Basis.ESTIMATE)


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("INSERT INTO orders VALUES (1)", ("orders_pkey", "orders_state")),
        ("UPDATE orders SET state = 'x'", ("orders_pkey", "orders_state")),
        ("DELETE FROM orders", ()),
        ("TRUNCATE orders", ()),
        ("ALTER TABLE orders ADD COLUMN a int", ()),
    ],
)
def test_indexes_that_each_row_maintains(text: str, indexes: tuple[str, ...]) -> None:
    assert only(told(text, catalog(ORDERS))).indexes == indexes


def test_an_update_of_other_columns_may_maintain_every_index_too() -> None:
    # A row that finds no room on its page gets new entries in all indexes.
    known = catalog(table(1, "t", indexes=(Index(2, "t_a", ("a",)),)))
    assert only(told("UPDATE t SET b = 1", known)).indexes == ("t_a",)


def test_several_statements_add_up_to_the_strongest_lock_and_the_heaviest_work() -> None:
    found = only(told("DELETE FROM t; CREATE INDEX ON t (a); ANALYZE t"))
    assert (found.lock, found.work) == (LockMode.SHARE, Work.SCAN)
    assert found.blocks == "writes wait"


def test_who_else_uses_it() -> None:
    impact = told("DELETE FROM orders", catalog(ORDERS), own_role="agent")
    assert [(user.name, user.kind, user.detail) for user in impact.users] == [
        ("billing", "role", "SELECT, UPDATE"),
        ("PUBLIC", "role", "SELECT"),
    ]


def test_the_readers_own_role_counts_as_the_agents_where_that_is_not_known() -> None:
    impact = told("DELETE FROM orders", catalog(ORDERS, role="billing"))
    assert [user.name for user in impact.users] == ["agent", "PUBLIC"]


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM t",
        "TRUNCATE a.t CASCADE",
        "ALTER TABLE t ADD COLUMN a int",
        "DROP FUNCTION f",
    ],
)
def test_without_a_catalog_it_says_what_is_missing(text: str) -> None:
    (missing,) = told(text).failed
    assert missing.startswith("without the catalog of the database nobody can say")


def test_without_a_catalog_the_text_still_shows_locks_and_the_way_back() -> None:
    impact = told("ALTER TABLE shop.orders ADD COLUMN at timestamptz DEFAULT clock_timestamp()")
    found = only(impact)
    assert (found.name, found.lock, found.work) == (
        "shop.orders",
        LockMode.ACCESS_EXCLUSIVE,
        Work.REWRITE,
    )
    assert found.table_rows == Figure()
    assert impact.undo is not None


def test_a_read_changes_and_misses_nothing() -> None:
    impact = told("SELECT 1")
    assert (impact.tables, impact.failed, impact.users) == ((), (), ())


def test_a_table_that_the_catalog_lacks_is_named() -> None:
    impact = told("DELETE FROM missing", catalog(ORDERS))
    assert impact.failed == ("the catalog does not show `missing`",)
    assert only(impact).name == "missing"


def test_tables_that_go_with_what_holds_them_are_told() -> None:
    known = catalog(
        table(1, "a", schema="shop", rows=9),
        table(2, "b", owner="bob", extension="geo"),
        table(3, "c", schema="shop", kind=RelationKind.VIEW),
    )

    def lost(text: str) -> list[str]:
        return [each.name for each in told(text, known).tables]

    assert lost("DROP SCHEMA shop CASCADE") == ["shop.a"]
    assert lost("DROP SCHEMA shop") == []  # which the server refuses
    assert lost("DROP OWNED BY bob") == ["public.b"]
    assert lost("DROP EXTENSION geo") == ["public.b"]


@pytest.mark.parametrize(
    "text",
    [
        *("REINDEX SCHEMA s", "VACUUM", "ANALYZE", "REINDEX DATABASE d"),
        "ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b",
    ],
)
def test_what_goes_over_every_table_says_so(text: str) -> None:
    assert "it goes over every table there is, which are not listed here" in told(text).failed


def test_a_table_made_in_the_same_message_keeps_nobody_waiting() -> None:
    text = "CREATE TABLE n (a int); CREATE INDEX ON n (a); ALTER TABLE n ADD b int"
    assert told(text, catalog(ORDERS)).tables == ()


def test_a_table_that_is_there_is_not_hidden_by_a_create() -> None:
    text = "CREATE TABLE IF NOT EXISTS orders (a int); DROP TABLE orders"
    assert only(told(text, catalog(ORDERS))).lock is LockMode.ACCESS_EXCLUSIVE
    assert only(told(text)).lock is LockMode.ACCESS_EXCLUSIVE


def test_of_too_many_tables_those_with_the_worst_locks_are_listed() -> None:
    inserts = ";".join(f"INSERT INTO t{at} VALUES (1)" for at in range(IMPACT_LISTED_MAX))
    assert told(f"{inserts}; DROP TABLE orders").tables[0].name == "orders"


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ("ALTER TABLE t ADD COLUMN x int DEFAULT unheard_of()", Work.UNKNOWN),
        ("ALTER TABLE t ADD COLUMN x unheard_of", Work.UNKNOWN),
        ("ALTER TABLE t ALTER COLUMN a TYPE text", Work.UNKNOWN),
        ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", Work.SCAN),
        ("ALTER TABLE t ADD PRIMARY KEY USING INDEX i", Work.SCAN),
    ],
)
def test_without_a_catalog_work_is_never_told_to_be_less(text: str, work: Work) -> None:
    assert only(told(text)).work is work


def test_what_is_not_known_takes_the_strongest_lock() -> None:
    change = Change(action="AT_UnheardOf", on=Name("", "t"))
    assert lock_of(change) is LockMode.ACCESS_EXCLUSIVE
    assert work_of(change, None, None)[0] is Work.UNKNOWN


def chain(length: int) -> Catalog:
    """Tables of which each refers to the one before, all ON DELETE CASCADE."""
    return catalog(
        table(1, "t1"),
        *(
            table(
                at,
                f"t{at}",
                constraints=(Constraint("up", "f", ("up",), at - 1, ("id",), on_delete="c"),),
            )
            for at in range(2, length + 1)
        ),
    )


def test_cascades_deeper_than_the_limit_are_said_to_be_cut() -> None:
    impact = told("DELETE FROM t1", chain(CASCADE_LEVELS_MAX + 5))
    assert len(impact.cascades) == CASCADE_LEVELS_MAX
    assert "more cascades follow than are listed here" in impact.failed
    assert told("DELETE FROM t1", chain(CASCADE_LEVELS_MAX)).failed == ()


def test_lists_longer_than_the_limit_are_said_to_be_cut() -> None:
    keys = (Constraint("up", "f", ("up",), 1, ("id",), on_delete="c"),)
    many = [table(at, f"t{at}", constraints=keys) for at in range(2, IMPACT_LISTED_MAX + 50)]
    known = catalog(table(1, "t1"), *many)
    impact = told("DELETE FROM t1", known)
    assert len(impact.cascades) == len(impact.tables) == IMPACT_LISTED_MAX
    assert any("not listed here" in each for each in impact.failed)
    dropped = told("DROP TABLE t1 CASCADE", known)
    assert len(dropped.dependents) == IMPACT_LISTED_MAX
    assert "more depends on it than is listed here" in dropped.failed


CALL = Function(
    oid=20_000,
    schema="public",
    name="call",
    language="plpgsql",
    body="BEGIN PERFORM pg_notify('x', ''); END",
)


def events(*triggers: EventTrigger) -> Catalog:
    return catalog(ORDERS, functions=(CALL,), event_triggers=triggers)


def fired(text: str, *triggers: EventTrigger) -> list[str]:
    return [each.name for each in told(text, events(*triggers)).firings]


def test_event_triggers_fire_on_definitions_by_tag() -> None:
    every = EventTrigger("every", "ddl_command_end", 20_000)
    drops = EventTrigger("drops", "ddl_command_start", 20_000, tags=("DROP TABLE",))
    off = EventTrigger("off", "ddl_command_end", 20_000, enabled="D")
    replica = EventTrigger("replica", "ddl_command_end", 20_000, enabled="R")
    assert fired("CREATE INDEX ON orders (id)", every, drops, off, replica) == ["every"]
    assert fired("DROP TABLE orders", every, drops, off, replica) == ["every", "drops"]
    assert fired("DELETE FROM orders", every, drops, off, replica) == []
    assert fired("CREATE ROLE r", every) == []
    assert fired("DROP DATABASE d", every) == []


def test_event_triggers_of_drops_and_rewrites() -> None:
    dropped = EventTrigger("dropped", "sql_drop", 20_000)
    rewritten = EventTrigger("rewritten", "table_rewrite", 20_000)
    assert fired("ALTER TABLE orders DROP COLUMN state", dropped, rewritten) == ["dropped"]
    assert fired("ALTER TABLE orders ADD COLUMN x serial", dropped, rewritten) == ["rewritten"]
    assert fired("ALTER TABLE orders ADD COLUMN x int", dropped, rewritten) == []
    assert fired("ALTER TABLE orders ADD x int DEFAULT unheard_of()", rewritten) == ["rewritten"]


def test_a_trigger_that_reaches_outside_cannot_be_undone() -> None:
    trigger = Trigger("hook", 20_000, frozenset(("delete",)), "after", per_row=True)
    known = catalog(
        table(1, "orders", triggers=(trigger,)),
        functions=(CALL,),
    )
    impact = told("DELETE FROM orders", known)
    assert impact.undo_how == "`hook` reaches beyond the tables"
    assert impact.firings[0].does == ("sends a notification",)


def test_what_functions_do_can_be_told_by_someone_who_reads_them() -> None:
    trigger = Trigger("hook", 20_000, frozenset(("delete",)), "after", per_row=True)
    known = catalog(table(1, "orders", triggers=(trigger,)), functions=(CALL,))
    asked: list[int] = []

    def summary(oid: int) -> tuple[tuple[str, ...], bool]:
        asked.append(oid)
        return ("writes `log`",), False

    impact = describe(sql.read("DELETE FROM orders", catalog=known), known, summary)
    assert asked == [20_000]
    assert (impact.firings[0].does, impact.firings[0].outside) == (("writes `log`",), False)


def test_more_definitions_than_the_limit_are_not_looked_up_and_it_says_so() -> None:
    text = "DROP TABLE " + ", ".join(f"t{at}" for at in range(IMPACT_CHANGES_MAX + 3))
    impact = told(text, catalog(table(1, "t0")))
    assert "3 more definitions were not looked up in the catalog" in impact.failed
    assert len(impact.tables) == IMPACT_CHANGES_MAX
    assert impact.undo is Undo.BACKUP


def test_the_way_back_counts_definitions_beyond_the_limit() -> None:
    harmless = ";".join("COMMENT ON TABLE t IS 'x'" for _ in range(IMPACT_CHANGES_MAX))
    assert told(f"{harmless}; DROP TABLE t").undo is Undo.BACKUP


def test_copies_of_a_trigger_in_partitions_of_partitions_are_told_once() -> None:
    def row(name: str) -> Trigger:
        return Trigger(name, 20_000, frozenset(("delete",)), "after", per_row=True)

    known = catalog(
        table(1, "top", kind=RelationKind.PARTITIONED),
        table(2, "middle", kind=RelationKind.PARTITIONED, parents=(1,), triggers=(row("mid"),)),
        table(3, "leaf", parents=(2,), triggers=(row("mid"), row("own"))),
        functions=(CALL,),
    )
    found = [(each.table, each.name) for each in told("DELETE FROM top", known).firings]
    assert found == [("public.middle", "mid"), ("public.leaf", "own")]
