"""Cascades and firings: statements run on real servers, which must set off what we say."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from impact_shop import Shop, bare
from psycopg import sql as composed

from holdpoint.model.impact import Cascade, Firing, LockMode, Undo, Work

CHANGES = [
    "DELETE FROM customers WHERE id = 1",
    "UPDATE customers SET id = 20 WHERE id = 2",
    "UPDATE customers SET email = 'new' WHERE id = 2",
    "DELETE FROM tree WHERE id = 1",
    "DELETE FROM hen",
    "DELETE FROM accounts",
    "DELETE FROM accounts_1",
    "DELETE FROM events",
    "DELETE FROM events_1",
    "UPDATE events SET id = id + 100",
    "UPDATE events_1 SET id = 9 WHERE id = 1",
    "INSERT INTO events VALUES (105)",
    "DELETE FROM archive",
    "DELETE FROM ONLY archive",
    "DELETE FROM desk",
    "DELETE FROM open_orders",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "MERGE INTO orders USING customers AS c ON c.id = orders.id WHEN MATCHED THEN DELETE",
    "UPDATE orders SET state = 'x'",
    "UPDATE orders SET at = now()",
    "UPDATE orders SET id = 30 WHERE id = 9",
    "UPDATE notes SET order_id = NULL",
    "INSERT INTO orders VALUES (9)",
    "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET state = 'again'",
    "TRUNCATE orders CASCADE",
    "TRUNCATE lines",
    "SELECT wipe()",
    "SELECT ruin()",
    "DO 'BEGIN PERFORM wipe(); END'",
    "EXPLAIN ANALYZE SELECT wipe()",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_what_the_server_sets_off_is_told(shop: Shop, statement: str) -> None:
    impact = shop.impact(statement)
    told = {bare(table.name) for table in impact.tables}
    told |= {bare(cascade.table) for cascade in impact.cascades}
    # Rows of a partition or an inheritor count as those of the table they are told with.
    told |= {part for part, whole in PARTS.items() if whole in told}
    changed, fired = run(shop, statement)
    assert changed <= told
    assert fired <= {firing.name for firing in impact.firings}


PARTS = {
    "events_1": "events",
    "events_2": "events",
    "accounts_1": "accounts",
    "archive_old": "archive",
}


def run(shop: Shop, statement: str) -> tuple[set[str], set[str]]:
    """Run a statement and roll it back: the tables whose rows changed, the triggers that fired."""
    fired: set[str] = set()
    with psycopg.connect(shop.url) as connection:
        connection.add_notice_handler(
            lambda notice: fired.add((notice.message_primary or "").removeprefix("fired "))
        )
        tables = [name for (name,) in connection.execute(TABLES)]
        before = contents(connection, tables)
        connection.execute(statement.encode())
        after = contents(connection, [name for (name,) in connection.execute(TABLES)])
        connection.rollback()
    return (
        {name for name in tables if before[name] != after.get(name)},
        {name for name in fired if not name.startswith("truncate cascades")},
    )


def test_what_functions_do_to_tables_is_told(shop: Shop) -> None:
    wiped = shop.impact("SELECT wipe()")
    locks = {bare(each.name): each.lock for each in wiped.tables}
    assert locks == {
        "lines": LockMode.ACCESS_EXCLUSIVE,
        "notes": LockMode.ACCESS_EXCLUSIVE,
        "tree": LockMode.ROW_EXCLUSIVE,
    }
    assert wiped.undo is Undo.BACKUP

    ruined = shop.impact("SELECT ruin()")
    assert {(bare(each.name), each.lock, each.work) for each in ruined.tables} == {
        ("lines", LockMode.ACCESS_EXCLUSIVE, Work.UNKNOWN),
        ("notes", LockMode.ACCESS_EXCLUSIVE, Work.UNKNOWN),
    }
    assert ruined.undo is Undo.BACKUP


TABLES = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
ROWS = "SELECT {}, array_agg(each::text ORDER BY each::text) FROM {} AS each"


def contents(connection: psycopg.Connection[Any], tables: list[str]) -> dict[str, object]:
    queries = [
        composed.SQL(ROWS).format(composed.Literal(name), composed.Identifier(name))
        for name in tables
    ]
    return dict(connection.execute(composed.SQL(" UNION ALL ").join(queries)).fetchall())


def brief(cascade: Cascade) -> tuple[int, str, str, str]:
    return cascade.level, bare(cascade.table), cascade.action, bare(cascade.through)


def test_cascades_are_followed_level_by_level(shop: Shop) -> None:
    found = {brief(each) for each in shop.impact("DELETE FROM customers WHERE id = 1").cascades}
    assert found == {
        (1, "orders", "delete", "customers"),
        (1, "points", "set default", "customers"),
        (1, "events", "delete", "customers"),  # once, not again for its partition
        (2, "lines", "delete", "orders"),
        (2, "notes", "set null", "orders"),
    }


def test_a_key_that_refers_to_its_own_table_is_told_once(shop: Shop) -> None:
    found = [brief(each) for each in shop.impact("DELETE FROM tree WHERE id = 1").cascades]
    assert found == [(1, "tree", "delete", "tree")]


def test_a_circle_of_keys_ends(shop: Shop) -> None:
    found = [brief(each) for each in shop.impact("DELETE FROM hen").cascades]
    assert found == [(1, "egg", "delete", "hen"), (2, "hen", "delete", "egg")]


def test_an_update_cascades_only_where_it_sets_what_is_referred_to(shop: Shop) -> None:
    def found(text: str) -> list[tuple[int, str, str, str]]:
        return [brief(each) for each in shop.impact(text).cascades]

    assert found("UPDATE customers SET email = 'x'") == [(1, "visits", "update", "customers")]
    assert found("UPDATE customers SET id = 7") == [(1, "orders", "update", "customers")]
    assert found("UPDATE orders SET state = 'x'") == []
    assert found("INSERT INTO customers VALUES (7)") == []


def test_truncate_cascades_whatever_the_key_says_and_only_when_told_to(shop: Shop) -> None:
    found = {brief(each) for each in shop.impact("TRUNCATE orders CASCADE").cascades}
    assert found == {(1, "lines", "truncate", "orders"), (1, "notes", "truncate", "orders")}
    assert shop.impact("TRUNCATE orders").cascades == ()


def test_a_partition_is_referred_to_through_its_table(shop: Shop) -> None:
    (found,) = shop.impact("DELETE FROM accounts_1").cascades
    assert brief(found)[:3] == (1, "holdings", "delete")


def firings(shop: Shop, text: str) -> dict[str, Firing]:
    return {each.name: each for each in shop.impact(text).firings}


def test_triggers_fire_by_verb_column_and_state(shop: Shop) -> None:
    assert set(firings(shop, "INSERT INTO orders VALUES (9)")) == {"orders_row"}
    assert set(firings(shop, "UPDATE orders SET state = 'x'")) == {"orders_state"}
    assert set(firings(shop, "UPDATE orders SET at = NULL")) == set()
    # orders_off is disabled; the cascade to notes sets order_id, not id.
    assert set(firings(shop, "DELETE FROM orders")) == {"orders_row", "lines_gone", "notes_cut"}


def test_a_firing_says_when_and_what(shop: Shop) -> None:
    state = firings(shop, "UPDATE orders SET state = 'x'")["orders_state"]
    assert state.table == "public.orders"
    assert state.function == "public.shout"
    assert state.when.startswith("before update, each row, when (")
    assert not state.outside

    gone = firings(shop, "DELETE FROM lines")["lines_gone"]
    assert gone.when == "after delete, each statement"
    assert gone.does == ("sends a notification",)
    assert gone.outside


def test_partitions_add_their_own_row_triggers_but_no_copies(shop: Shop) -> None:
    found = [(bare(each.table), each.name) for each in shop.impact("DELETE FROM events").firings]
    assert sorted(found) == [("events", "events_row"), ("events_1", "events_1_row")]


def test_an_update_may_move_rows_which_deletes_and_inserts_them(shop: Shop) -> None:
    found = firings(shop, "UPDATE events SET id = id + 100")
    assert set(found) == {"events_row", "events_1_row", "events_2_new"}
    assert found["events_2_new"].when == (
        "after insert, each row, if it moves to another partition"
    )
    assert firings(shop, "UPDATE events_1 SET id = 9") == {}


def test_an_instead_of_trigger_acts_in_the_place_of_the_views_tables(shop: Shop) -> None:
    impact = shop.impact("DELETE FROM desk")
    assert [each.name for each in impact.firings] == ["desk_write"]
    assert impact.cascades == ()
    assert impact.tables == ()


def test_a_rule_is_told_with_what_it_does(shop: Shop) -> None:
    (rule,) = shop.impact("DELETE FROM visits").firings
    assert (rule.name, rule.when) == ("visits_kept", "instead of delete")
    assert rule.does == ("notifies other sessions (`NOTIFY`)",)
    assert rule.outside
