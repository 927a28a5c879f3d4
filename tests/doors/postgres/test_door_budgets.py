"""Budgets of results, kept while they stream: what is over ends in an error that names the budget.

Whether the server could be stopped in time or had sent everything already is a race, so most tests
run with a result of one row too many (nearly always too late) and with one that would take long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import asyncpg
import psycopg
import pytest
from door_support import TABLES, Gate, read_texts
from wire_client import PORTAL, B, C, E, H, P, Q, S, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.budget import Budget
from support.servers import fresh_database

ROWS = 1_000
BYTES = 100_000
OVER = (ROWS + 1, 5_000_000)
Send = Callable[[str], bytes]
KILOBYTES = "SELECT repeat('x', 1000) FROM generate_series(1, {}) AS g"


def with_budget(gate: Gate, budget: Budget) -> Gate:
    """Give every tier of a gate's target this budget."""
    (target,) = gate.config.targets
    tiers = tuple(replace(tier, budget=budget) for tier in target.tiers)
    gate.config = replace(gate.config, targets=(replace(target, tiers=tiers),))
    return gate


@pytest.fixture(scope="module")
def gate(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate that lets a statement return 1,000 rows or 100,000 bytes; its trail must be whole."""
    with fresh_database(postgres18, TABLES) as name:
        url = postgres18.url(database=name)
        gate = Gate.at(tmp_path_factory.mktemp("narrow"), url)
        with with_budget(gate, Budget(rows=ROWS, bytes=BYTES)):
            gate.look_again()
            yield gate
            gate.check_trail()


def series(rows: int) -> str:
    return f"SELECT generate_series(1, {rows})"  # one by one, as they are sent


def simple(text: str) -> bytes:
    return Q(text)


def extended(text: str) -> bytes:
    return run(text) + S


def rows_in(words: str) -> int:
    return sum(word.startswith("D:") for word in words.split())


def without_rows(words: str) -> str:
    return " ".join(word for word in words.split() if not word.startswith("D:"))


def test_a_result_at_its_budget_passes_and_one_row_more_fails(gate: Gate) -> None:
    with gate.raw() as wire:
        words = wire.query(series(ROWS))
        assert (rows_in(words), without_rows(words)) == (ROWS, f"T C:SELECT {ROWS} ZI")
        words = wire.query(series(ROWS + 1))
        assert (rows_in(words), without_rows(words)) == (ROWS, "T E:53400 ZI")
        error = wire.errors[-1]
        assert error["M"] == (
            "the result is over the budget `rows`: one statement may return 1,000 rows"
        )
        assert "HP8014" in error["D"]
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


@pytest.mark.parametrize("rows", OVER)
@pytest.mark.parametrize("send", [simple, extended])
def test_inside_a_transaction_the_server_has_failed_too(
    gate: Gate, send: object, rows: int
) -> None:
    assert callable(send)
    with gate.raw() as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        words = wire.ask(send(series(rows)))
        assert rows_in(words) == ROWS
        assert words.endswith("E:53400 ZE")
        assert wire.query("SELECT 1") == "E:25P02 ZE"
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
        assert wire.query("BEGIN; SAVEPOINT here") == "C:BEGIN C:SAVEPOINT ZT"
        assert wire.ask(send(series(rows))).endswith("E:53400 ZE")
        assert wire.query("ROLLBACK TO here") == "C:ROLLBACK ZT"
        assert wire.ask(send("SELECT 2")).endswith("D:2 C:SELECT 1 ZT")


@pytest.mark.parametrize("rows", OVER)
def test_a_prepared_statement_fails_each_time_and_stays_prepared(gate: Gate, rows: int) -> None:
    with gate.raw() as wire:
        assert wire.ask(P(series(rows), "many"), S) == "1 ZI"
        for _ in range(5):
            words = wire.ask(B("many"), E(), S)
            assert (rows_in(words), without_rows(words)) == (ROWS, "2 E:53400 ZI")
        assert wire.ask(run("SELECT 1"), S) == "1 2 D:1 C:SELECT 1 ZI"


def test_bytes_are_counted_as_they_go_over_the_wire(gate: Gate) -> None:
    row = 1 + 4 + 2 + 4 + 1000  # kind, length, columns, length of the column, the column
    fit = BYTES // row
    with gate.raw() as wire:
        assert rows_in(wire.query(KILOBYTES.format(fit))) == fit
        words = wire.query(KILOBYTES.format(fit + 1))
        assert (rows_in(words), without_rows(words)) == (fit, "T E:53400 ZI")
        assert wire.errors[-1]["M"] == (
            "the result is over the budget `bytes`: one statement may return 100,000 bytes"
        )
        # One row that does not fit never begins to come.
        assert wire.query("SELECT repeat('x', 30000000)") == "T E:53400 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_notices_and_errors_carry_no_more_than_rows_may(gate: Gate) -> None:
    shout = "DO $$ BEGIN FOR i IN 1..{} LOOP RAISE NOTICE '%', repeat('x', 10000); END LOOP; END $$"
    with gate.raw() as wire:
        assert wire.query(shout.format(9)) == "N:00000 " * 9 + "C:DO ZI"
        words = wire.query(shout.format(20))
        assert words == "N:00000 " * 9 + "E:53400 ZI"
        assert "`bytes`" in wire.errors[-1]["M"]
        assert wire.query("SELECT repeat('x', 200000)::int") == "E:53400 ZI"
        assert wire.query("SELECT repeat('x', 20)::int") == "E:22P02 ZI"


def test_a_cancel_that_comes_late_never_hits_the_next_statement(gate: Gate) -> None:
    with gate.raw() as wire:
        for number in range(60):
            assert wire.query(series(ROWS + 1 + 300 * number)).endswith("E:53400 ZI")
            words = wire.query(series(100 + number))
            assert words.endswith(f"C:SELECT {100 + number} ZI")


@pytest.mark.parametrize("rows", OVER)
def test_what_is_sent_behind_finds_the_transaction_failed(gate: Gate, rows: int) -> None:
    for _ in range(5):
        with gate.raw() as wire:
            assert wire.query("BEGIN") == "C:BEGIN ZT"
            wire.send(Q(series(rows)), Q("SELECT 7"))
            words = without_rows(" ".join(wire.until("E:")))
            assert words == "T E:53400"
            if wire.errors[-1]["S"] == "FATAL":  # it has run in a transaction that had not failed
                assert wire.rest() == ""
            else:
                assert wire.words() == ["ZE"]
                assert wire.words() in (["E:25P02", "ZE"], ["E:53400", "ZE"])
                assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"


@pytest.mark.parametrize("rows", OVER)
def test_copy_counts_its_rows(gate: Gate, rows: int) -> None:
    with gate.raw() as wire:
        words = wire.query(f"COPY ({series(ROWS)}) TO STDOUT").split()
        assert words.count("d") == ROWS
        assert words[-4:] == ["c", "C:COPY", "1000", "ZI"]
        words = wire.query(f"COPY ({series(rows)}) TO STDOUT").split()
        assert words.count("d") == ROWS
        assert words[-2:] == ["E:53400", "ZI"]
        assert "c" not in words
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_a_portal_does_not_get_around_its_budget_in_parts(gate: Gate) -> None:
    with gate.raw() as wire:
        parts = P(series(5_000)) + B() + E(rows_max=400) + E(rows_max=400) + E(rows_max=400)
        words = wire.ask(parts, S)
        assert rows_in(words) == ROWS
        assert without_rows(words) == "1 2 s s E:53400 ZI"
        # Bound anew it is another statement; so is each FETCH.
        again = P(series(5_000)) + (B() + E(rows_max=900)) * 3
        words = wire.ask(again, S)
        assert (rows_in(words), without_rows(words)) == (2_700, "1 2 s 2 s 2 s ZI")
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query(f"DECLARE c CURSOR FOR {series(5_000)}") == "C:DECLARE CURSOR ZT"
        for _ in range(2):
            assert rows_in(wire.query("FETCH 900 FROM c")) == 900
        assert wire.query("FETCH 2000 FROM c").endswith("E:53400 ZE")


def test_a_close_that_the_server_skipped_gives_no_new_budget(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.ask(P(series(5_000), "many"), S)
        wire.query("BEGIN")
        assert rows_in(wire.ask(B("many", portal="p"), E("p", 900), S)) == 900
        wire.query("SAVEPOINT s")
        assert wire.ask(P("SELECT FROM WHERE", "fails"), C("p", PORTAL), S) == "E:42601 ZE"
        wire.query("ROLLBACK TO s")
        words = wire.ask(E("p", 900), S)
        assert (rows_in(words), without_rows(words)) == (ROWS - 900, "E:53400 ZE")


def test_a_cursors_portal_has_one_budget(gate: Gate) -> None:
    with gate.raw() as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query(f"DECLARE c CURSOR FOR {series(5_000)}") == "C:DECLARE CURSOR ZT"
        assert rows_in(wire.ask(E("c", 900), S)) == 900
        words = wire.ask(E("c", 900), S)
        assert (rows_in(words), without_rows(words)) == (100, "E:53400 ZE")


def test_the_statements_of_one_message_share_a_budget(gate: Gate) -> None:
    with gate.raw() as wire:
        words = wire.query(f"{series(600)}; {series(400)}")
        assert (rows_in(words), words.split()[-1]) == (ROWS, "ZI")
        words = wire.query(f"{series(600)}; {series(600)}; SELECT 7")
        assert (rows_in(words), without_rows(words)) == (ROWS, "T C:SELECT 600 T E:53400 ZI")


@pytest.mark.parametrize("rows", OVER)
def test_a_pipeline_fails_up_to_its_sync(gate: Gate, rows: int) -> None:
    with gate.raw() as wire:
        wire.send(run("SELECT 1"), run(series(rows)), run("SELECT 2"), S, run("SELECT 3"), S)
        first = without_rows(" ".join(wire.words()))
        assert first == "1 2 C:SELECT 1 1 2 E:53400 ZI"
        second = " ".join(wire.words())
        # It was on its way already, so a cancel may have met it: it has run as a whole or failed.
        assert second in ("1 2 D:3 C:SELECT 1 ZI", "E:53400 ZI", "1 E:53400 ZI", "1 2 E:53400 ZI")
        assert wire.ask(run("SELECT 4"), S) == "1 2 D:4 C:SELECT 1 ZI"


@pytest.mark.parametrize("rows", OVER)
def test_without_a_sync_the_error_comes_all_the_same(gate: Gate, rows: int) -> None:
    with gate.raw() as wire:
        wire.send(run(series(rows)), H)
        assert "E:53400" in wire.until("E:")
        wire.send(run("SELECT 5"), H)  # skipped, as after any error
        assert wire.ask(S) == "ZI"
        assert wire.ask(run("SELECT 6"), S) == "1 2 D:6 C:SELECT 1 ZI"


@pytest.mark.parametrize("rows", OVER)
def test_a_name_given_behind_it_is_never_in_doubt(gate: Gate, rows: int) -> None:
    with gate.raw() as wire:
        wire.send(run(series(rows)), P("SELECT 8", "later"), S)
        words = without_rows(wire.rest() if rows < 2_000 else " ".join(wire.words()))
        assert "E:53400" in words
        if words.endswith("ZI"):
            assert wire.ask(P("SELECT 8", "later"), B("later"), E(), S) == ("1 2 D:8 C:SELECT 1 ZI")
        else:  # the server has the name, and the client would think that it has not
            assert wire.errors[-1]["S"] == "FATAL"


# --- writes ---------------------------------------------------------------------------------------

MUCH = "UPDATE orders SET status = 'y' WHERE id <= 400 RETURNING repeat('x', 1000)"


def changed(gate: Gate) -> int:
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute("SELECT count(*) FROM orders WHERE status <> 'new'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("send", [simple, extended])
def test_a_write_whose_result_is_over_is_rolled_back(gate: Gate, send: Send) -> None:
    with psycopg.connect(gate.direct, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    gate.look_again()
    with gate.raw("write") as wire:
        words = wire.ask(send(MUCH))
        assert 0 < rows_in(words) < BYTES // 1000
        assert words.endswith("E:53400 ZI")
        assert changed(gate) == 0
        assert wire.query("BEGIN; SELECT 1") == "C:BEGIN T D:1 C:SELECT 1 ZT"
        assert wire.ask(send(MUCH)).endswith("E:53400 ZE")
        assert wire.query("COMMIT") == "C:ROLLBACK ZI"
        assert changed(gate) == 0
        assert wire.ask(send(MUCH.replace("400", "9"))).endswith("C:UPDATE 9 ZI")
    assert changed(gate) == 9
    assert gate.outcome_of(MUCH)["sqlstate"] == "53400"


@pytest.mark.parametrize("rows", OVER)
def test_nothing_that_was_committed_is_told_to_have_failed(gate: Gate, rows: int) -> None:
    insert = "INSERT INTO markers VALUES ('here')"
    with gate.raw("write") as wire:
        assert wire.ask(P(insert, "i"), P(series(rows), "s"), S) == "1 1 ZI"
        wire.send(B("i"), E())
        wire.send(B("s"), E(), S)
        words = wire.until("E:53400")
        ended = wire.errors[-1]["S"] == "FATAL"
        assert not any(word == f"C:SELECT {rows}" for word in words)
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute("DELETE FROM markers RETURNING name").fetchall()
    assert len(row) == (1 if ended else 0)


@pytest.mark.parametrize("send", [simple, extended])
def test_a_write_that_is_not_counted_is_rolled_back_or_said_to_stand(
    gate: Gate, send: Send
) -> None:
    many = "INSERT INTO markers SELECT status FROM orders WHERE id < 3 RETURNING repeat('x', 99000)"
    one = "INSERT INTO markers VALUES ('one') RETURNING repeat('x', 150000)"
    with gate.raw("write") as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.ask(send(one)).endswith("E:53400 ZE")
        assert wire.query("COMMIT") == "C:ROLLBACK ZI"
        wire.send(send(one))
        wire.until("E:53400")
        stands = wire.errors[-1]["S"] == "FATAL"
    with gate.raw("write") as wire:
        # This one runs under a bound of rows, because its text proves no number.
        assert wire.ask(send(many)).endswith("E:53400 ZI")
    with psycopg.connect(gate.direct) as connection:
        rows = connection.execute("DELETE FROM markers RETURNING name").fetchall()
    assert len(rows) == (1 if stands else 0)


# --- clients --------------------------------------------------------------------------------------


def test_psycopg_raises_and_goes_on(gate: Gate) -> None:
    with gate.connect() as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="`rows`"):
                cursor.execute(series(20_000).encode())
            assert cursor.execute("SELECT %s + 1", (1,)).fetchone() == (2,)
        with (
            pytest.raises(psycopg.errors.ConfigurationLimitExceeded),
            connection.cursor().copy(f"COPY ({series(5_000)}) TO STDOUT".encode()) as copy,
        ):
            for _ in copy:
                pass
        with connection.transaction(), connection.cursor("named") as named:
            named.itersize = 500  # each FETCH is a statement of its own
            named.execute(series(3_000).encode())
            assert sum(1 for _ in named) == 3_000


def test_asyncpg_raises_and_goes_on(gate: Gate) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(gate.url())
        try:
            for _ in range(3):
                with pytest.raises(asyncpg.ConfigurationLimitExceededError):
                    await connection.fetch(series(20_000))
                assert await connection.fetchval("SELECT 1") == 1
            await connection.execute("BEGIN")
            cursor = await connection.cursor(series(5_000))
            for _ in range(3):
                assert len(await cursor.fetch(300)) == 300
            with pytest.raises(asyncpg.ConfigurationLimitExceededError):
                await cursor.fetch(300)
            await connection.execute("ROLLBACK")
            assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.close()

    asyncio.run(work())


def test_a_client_that_goes_away_leaves_a_whole_trail(gate: Gate) -> None:
    for rows in OVER:
        with gate.raw() as wire:
            wire.send(Q(series(rows)))
            wire.until("D:")
            wire.socket.close()


def test_the_trail_says_how_it_ended(gate: Gate) -> None:
    since = gate.length()
    text = series(4_321)
    with gate.raw() as wire:
        assert wire.query(text).endswith("E:53400 ZI")
    gate.quiet()
    reads = [body for kind, body in gate.trail(since) if kind == "reads"]
    assert text in read_texts([("reads", body) for body in reads])
    assert any(entry[3] in ("53400", "57014") for body in reads for entry in body["finished"])
