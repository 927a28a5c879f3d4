"""Sentences about an impact: the most important first, every number with how sure it is."""

from __future__ import annotations

import pytest

from holdpoint import sql
from holdpoint.impact.words import sentences, size_words
from holdpoint.model.impact import (
    Basis,
    Cascade,
    Dependent,
    Figure,
    Firing,
    Impact,
    LockMode,
    ReadCost,
    TableImpact,
    TableUser,
    Undo,
    Work,
)


def exact(value: int) -> Figure:
    return Figure(value, Basis.EXACT)


def estimate(value: int) -> Figure:
    return Figure(value, Basis.ESTIMATE)


UNKNOWN = Figure(None, Basis.UNKNOWN, "no answer within 2 s")


def words(text: str, impact: Impact) -> tuple[str, ...]:
    return sentences(impact, sql.read(text))


def orders(**more: Figure) -> tuple[TableImpact, ...]:
    return (TableImpact(name="public.orders", **more),)


def cascade(table: str, rows: Figure, action: str = "delete", level: int = 1) -> Cascade:
    return Cascade(level=level, table=table, constraint="k", action=action, through="x", rows=rows)


@pytest.mark.parametrize(
    ("text", "rows", "whole", "sentence"),
    [
        ("DELETE FROM orders WHERE a = 1", exact(7), None, "removes 7 rows (counted) of `orders`"),
        ("DELETE FROM orders WHERE a = 1", exact(1), None, "removes 1 row (counted) of `orders`"),
        (
            "UPDATE orders SET a = 1 WHERE b",
            estimate(48_211),
            192_844,
            "changes about 48,211 rows (estimate) of `orders`, 25% of the table",
        ),
        (
            "DELETE FROM orders",
            estimate(500),
            500,
            "removes about 500 rows (estimate) of `orders`, all there are",
        ),
        ("DELETE FROM orders WHERE b", exact(3), 50_000, "removes 3 rows (counted) of `orders`"),
        (
            "DELETE FROM orders WHERE b",
            UNKNOWN,
            500,
            "removes an unknown number of rows of `orders`",
        ),
        ("DELETE FROM orders", Figure(), None, "removes every row of `orders`"),
        (
            "INSERT INTO orders SELECT 1",
            estimate(9),
            None,
            "adds about 9 rows (estimate) to `orders`",
        ),
        (
            "DELETE FROM orders; DELETE FROM orders",
            exact(9),
            None,
            "2 statements in all: 9 rows (counted)",
        ),
        ("INSERT INTO orders VALUES (1), (2)", exact(2), None, "adds at most 2 rows to `orders`"),
    ],
)
def test_the_first_sentence_says_what_happens_to_how_much(
    text: str, rows: Figure, whole: int | None, sentence: str
) -> None:
    tables = orders(table_rows=estimate(whole)) if whole else ()
    assert words(text, Impact(rows=rows, tables=tables))[0] == sentence


def test_cascades_share_a_sentence_and_no_row_is_no_word() -> None:
    impact = Impact(
        rows=exact(1),
        cascades=(
            cascade("public.deep", UNKNOWN, level=2),
            cascade("public.items", exact(5)),
            cascade("public.items", estimate(6)),
            cascade("log.notes", exact(2), "set null"),
            cascade("public.empty", exact(0)),
        ),
    )
    assert words("DELETE FROM orders WHERE id = 1", impact)[1] == (
        "by cascade it removes about 11 rows of `items` and an unknown number of rows of `deep`, "
        "and it sets to null the keys of 2 rows of `log.notes`"
    )


def test_what_nobody_knows_of_several_tables_is_said_once() -> None:
    impact = Impact(rows=UNKNOWN, cascades=(cascade("a", UNKNOWN), cascade("b", UNKNOWN)))
    said = words("DELETE FROM orders", impact)
    assert said[1] == "by cascade it removes an unknown number of rows of `a` and `b`"
    emptied = Impact(cascades=(cascade("a", exact(5), "truncate"),))
    assert words("TRUNCATE orders CASCADE", emptied)[1] == "by cascade it empties `a` (5 rows)"


def test_triggers_that_reach_outside_are_named_the_others_counted() -> None:
    outside = Firing(
        table="public.orders", name="hook", when="", does=("calls a URL",), outside=True
    )
    inside = Firing(table="public.orders", name="stamp", when="")
    said = words("DELETE FROM orders", Impact(firings=(inside, outside, inside)))
    assert "`hook` on `orders` reaches outside: calls a URL; 2 more triggers fire" in said
    assert "1 trigger fires" in words("DELETE FROM orders", Impact(firings=(inside,)))


def test_a_lock_that_stops_others_is_said_and_a_light_one_is_not_alarming() -> None:
    heavy = TableImpact(
        name="public.events",
        table_rows=estimate(81_000_000),
        size_bytes=estimate(48_000_000_000),
        lock=LockMode.ACCESS_EXCLUSIVE,
        blocks="reads and writes wait",
        work=Work.REWRITE,
        busy=exact(2),
    )
    light = TableImpact(name="public.events", lock=LockMode.ROW_EXCLUSIVE, blocks="…")
    said = words("ALTER TABLE events ALTER a TYPE bigint", Impact(tables=(heavy,)))
    assert said == (
        "`ALTER TABLE` on `events` (about 81,000,000 rows, 48 GB), which is written anew under the "
        "lock",
        "while it runs, reads and writes wait on `events` (ACCESS EXCLUSIVE lock); sessions on "
        "`events` are in its way right now",
    )
    said = words("DELETE FROM events WHERE a", Impact(tables=(light,)))
    assert said[1] == "others read and write on, unless they change the same rows"


def test_the_rest_in_one_sentence_each() -> None:
    impact = Impact(
        undo=Undo.BACKUP,
        undo_how="the rows are in backups only; and more words",
        users=(
            TableUser(table="t", kind="application", name="checkout"),
            TableUser(table="t", kind="agent", name="codex"),
            TableUser(table="t", kind="role", name="reports"),
        ),
        dependents=(
            Dependent(kind="view", name="public.v", on="t"),
            Dependent(kind="view", name="w", on="t", goes=True),
        ),
        failed=("the plan: no answer",),
    )
    assert words("SELECT 1", impact) == (
        "only a backup can undo it (the rows are in backups only)",
        "dropped along with it: view `w`",
        "what stands on it: view `v`",
        "others use the tables: `checkout` right now; `codex` lately; `reports` by its rights",
        "not found out: the plan: no answer",
    )


def test_a_read_says_its_cost_or_that_nobody_knows() -> None:
    dear = ReadCost(cost=9_812, rows=1, hurts="sorts about 2,000,000 rows")
    assert words("SELECT * FROM t", Impact(read=dear)) == (
        "returns about 1 row at a cost of 9,812 planner units (estimate)",
        "sorts about 2,000,000 rows",
    )
    unknown = ReadCost(cost=0, rows=0, basis=Basis.UNKNOWN, why="COPY cannot be explained")
    assert words("COPY t TO STDOUT", Impact(read=unknown)) == (
        "what it costs to read is not known: COPY cannot be explained",
    )


def test_names_cannot_write_sentences_of_their_own() -> None:
    name = "x` is empty\n- nothing happens \u202e`"
    impact = Impact(rows=exact(1), cascades=(cascade(name, exact(5)),))
    for sentence in words('DELETE FROM "a\u202eb"', impact):
        assert "\n" not in sentence
        assert sentence.isprintable()
        assert sentence.count("`") % 2 == 0


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (8_192, "8.2 kB"), (12_000_000_000, "12 GB")],
)
def test_sizes(size: int, said: str) -> None:
    assert size_words(size) == said
