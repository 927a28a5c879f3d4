"""COPY from the client under the bound of rows: counted as it comes, taken back if too much.

Every test ends with a look at the table itself, past the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from door_support import Gate
from test_door_clients import program
from test_door_copy import DONE, FAIL, IN, data
from wire_client import B, E, P, Q, S, Wire

from holdpoint.model.hold import HoldState
from holdpoint.wire.postgres.frames import frame

BOUND = 1_000  # policy `careful`
EXTENDED = P(IN) + B() + E()
SEND = pytest.mark.parametrize(
    ("begin", "end"), [(Q(IN), DONE), (EXTENDED, DONE + S)], ids=["simple", "extended"]
)


@pytest.fixture(autouse=True)
def _no_waiting(request: pytest.FixtureRequest) -> Iterator[None]:
    gate: Gate = request.getfixturevalue(
        "each_gate" if "each_gate" in request.fixturenames else "gate"
    )
    with gate.waiting(0.05):
        yield


def rows(count: int, start: int = 1) -> bytes:
    """COPY data in frames of some hundred rows."""
    lines = [f"{n}\tx" for n in range(start, start + count)]
    return b"".join(data(*lines[at : at + 300]) for at in range(0, count, 300))


def there(gate: Gate, table: str = "big") -> int:
    """How many rows the table has."""
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def words(wire: Wire, *sent: bytes) -> str:
    """The answers up to ReadyForQuery, without those to Parse and Bind."""
    wire.send(*sent)
    return " ".join(word for word in wire.words() if word not in ("1", "2"))


@SEND
def test_under_at_and_over_the_bound(each_gate: Gate, begin: bytes, end: bytes) -> None:
    gate, since = each_gate, each_gate.length()
    with gate.raw("write") as wire:
        assert words(wire, begin, rows(3), end) == "G C:COPY 3 ZI"
        assert words(wire, begin, rows(BOUND), end) == f"G C:COPY {BOUND} ZI"
        assert there(gate) == 3 + BOUND
        assert words(wire, begin, rows(BOUND + 1), end) == "G E:HP001 ZI"
        message = "rolled back: COPY on `big` changed 1,001 rows, over the bound of 1,000"
        assert wire.errors[-1]["M"] == message
        assert there(gate) == 3 + BOUND
        assert words(wire, Q("SELECT 1")) == "T D:1 C:SELECT 1 ZI"
        # Fewer rows pass; as many run once, when their hold is approved.
        hold = gate.opened(IN)
        assert hold.id in wire.errors[-1]["H"]
        assert words(wire, begin, rows(2), end) == "G C:COPY 2 ZI"
        assert words(wire, begin, rows(BOUND + 1), end) == "G E:HP001 ZI"
        assert hold.id in wire.errors[-1]["H"]
        gate.answer(hold)
        assert words(wire, begin, rows(BOUND + 1), end) == f"G C:COPY {BOUND + 1} ZI"
        assert gate.hold(hold.id).state is HoldState.CLAIMED
        assert words(wire, begin, rows(BOUND + 1), end).startswith("G E:HP001")
    assert there(gate) == 3 + BOUND + 2 + BOUND + 1
    gate.quiet()
    ends = [body for kind, body in gate.trail(since) if kind == "statement.finished"]
    assert [(body["changed"], body.get("rolled_back", False)) for body in ends] == [
        (3, False),
        (BOUND, False),
        (BOUND + 1, True),
        (2, False),
        (BOUND + 1, True),
        (BOUND + 1, False),
        (BOUND + 1, True),
    ]


@SEND
def test_in_the_agents_transaction(each_gate: Gate, begin: bytes, end: bytes) -> None:
    with each_gate.raw("write") as wire:
        wire.ask(Q("BEGIN"))
        assert words(wire, begin, rows(4), end) == "G C:COPY 4 ZT"
        wire.ask(Q("SAVEPOINT s"))
        assert words(wire, begin, rows(BOUND + 1), end) == "G E:HP001 ZE"
        assert words(wire, begin, rows(1), end) == "E:25P02 ZE"
        wire.ask(Q("ROLLBACK TO s"))
        assert words(wire, begin, rows(5, 10), end) == "G C:COPY 5 ZT"
        assert words(wire, Q("COMMIT")) == "C:COMMIT ZI"
        assert there(each_gate) == 9
        wire.ask(Q("BEGIN"))
        assert words(wire, begin, rows(BOUND + 1), end) == "G E:HP001 ZE"
        assert words(wire, Q("COMMIT")) == "C:ROLLBACK ZI"
    assert there(each_gate) == 9


# --- what goes wrong while data comes -------------------------------------------------------------


@SEND
def test_copy_fail_and_bad_data(each_gate: Gate, begin: bytes, end: bytes) -> None:
    failed = end.replace(DONE, FAIL)
    with each_gate.raw("write") as wire:
        assert words(wire, begin, rows(3), failed) == "G E:57014 ZI"
        assert words(wire, begin, rows(700), data("no number\tx"), rows(700), end) == (
            "G E:22P02 ZI"
        )
        assert words(wire, Q("SELECT 1")) == "T D:1 C:SELECT 1 ZI"
        assert words(wire, begin, rows(2), end) == "G C:COPY 2 ZI"
        nowhere = (P("COPY nowhere FROM STDIN") + B() + E(), Q("COPY nowhere FROM STDIN"))
        assert words(wire, nowhere[begin == Q(IN)], rows(2), end) == "E:42P01 ZI"
        assert words(wire, begin, rows(2), end) == "G C:COPY 2 ZI"
    assert there(each_gate) == 4


@SEND
def test_an_error_in_the_middle_of_a_frame(gate: Gate, begin: bytes, end: bytes) -> None:
    whole = frame(0x64, b"no number\tx\n" * 200_000)
    with gate.raw("write") as wire:
        wire.send(begin, whole[:1_000_000])
        assert wire.until("E:")[-1] == "E:22P02"
        assert words(wire, whole[1_000_000:], end) == "ZI"
        assert words(wire, begin, rows(2), end) == "G C:COPY 2 ZI"
    assert there(gate) == 2


@SEND
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_data_cut_anywhere_arrives_as_it_was(
    gate: Gate, direct: psycopg.Connection, begin: bytes, end: bytes, size: int
) -> None:
    with gate.raw("write") as wire:
        wire.send(begin)
        assert wire.until("G")[-1] == "G"
        sent = rows(40) + end
        for at in range(0, len(sent), size):
            wire.send(sent[at : at + size])
        assert wire.words() == ["C:COPY 40", "ZI"]
    assert direct.execute("SELECT count(*), sum(id) FROM big WHERE body = 'x'").fetchone() == (
        40,
        820,
    )


@SEND
def test_what_follows_in_the_same_packet_waits_for_the_count(
    gate: Gate, begin: bytes, end: bytes
) -> None:
    with gate.raw("write") as wire:
        wire.send(begin, rows(5), end, Q("SELECT count(*) FROM big"))
        assert " ".join(wire.words(2)).endswith("G C:COPY 5 ZI T D:5 C:SELECT 1 ZI")
        wire.send(begin, rows(BOUND + 1), end, Q("SELECT count(*) FROM big"))
        assert " ".join(wire.words(2)).endswith("G E:HP001 ZI T D:5 C:SELECT 1 ZI")
    assert there(gate) == 5


def test_a_sync_before_the_data(gate: Gate) -> None:
    """As libpq sends it: the server that reads COPY data ignores it."""
    with gate.raw("write") as wire:
        assert words(wire, EXTENDED, S, rows(5), DONE, S) == "G C:COPY 5 ZI"
        wire.send(EXTENDED, S)
        assert wire.until("G")[-1] == "G"
        assert words(wire, rows(BOUND + 1), DONE, S) == "E:HP001 ZI"
        assert words(wire, P("COPY nowhere FROM STDIN") + B() + E(), S) == "E:42P01 ZI"
        for begin in (EXTENDED, Q(IN)):
            wire.send(begin, data("no number\tx"), S)
            assert wire.until("E:")[-1] == "E:22P02"
            assert wire.until("Z")[-1] == "ZI"
            if begin != EXTENDED:
                assert wire.words() == ["ZI"]
        assert words(wire, Q("SELECT 1")) == "T D:1 C:SELECT 1 ZI"
    assert there(gate) == 5


@SEND
@pytest.mark.parametrize("half", [False, True], ids=["between frames", "inside a frame"])
def test_a_client_that_goes_leaves_nothing(
    gate: Gate, begin: bytes, end: bytes, half: bool
) -> None:
    since = gate.length()
    with gate.raw("write") as wire:
        wire.send(begin)
        assert wire.until("G")[-1] == "G"
        wire.send(rows(5), rows(5)[:9] if half else b"")
        wire.socket.close()
    gate.quiet()
    assert there(gate) == 0
    assert gate.outcome_of(IN, since)["sqlstate"] == "57014"


@SEND
def test_a_statement_among_the_data_ends_the_session(gate: Gate, begin: bytes, end: bytes) -> None:
    with gate.raw("write") as wire:
        wire.send(begin)
        assert wire.until("G")[-1] == "G"
        wire.send(rows(5), Q("SELECT 1"))
        assert "E:08P01" in wire.rest()
    gate.quiet()
    assert there(gate) == 0


# --- what the tag does not count, and what cannot be bounded --------------------------------------


@SEND
def test_rows_that_triggers_change_count(each_gate: Gate, begin: bytes, end: bytes) -> None:
    trigger = """
    CREATE OR REPLACE FUNCTION many() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO markers SELECT generate_series(1, 400); RETURN NULL; END $$;
    CREATE {} many AFTER INSERT ON big {} FOR EACH ROW EXECUTE FUNCTION many();
    """
    kinds = (("TRIGGER", ""), ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED"))
    with psycopg.connect(each_gate.direct, autocommit=True) as direct:
        for kind, timing in kinds if begin == Q(IN) else kinds[:1]:
            direct.execute("DROP TRIGGER IF EXISTS many ON big")
            direct.execute(trigger.format(kind, timing).encode())
            with each_gate.raw("write") as wire:
                assert words(wire, begin, rows(3), end) == "G E:HP001 ZI"
                assert "changed 1,200 rows" in wire.errors[-1]["M"]
            assert (there(each_gate), there(each_gate, "markers")) == (0, 0)
        direct.execute("DROP TRIGGER many ON big")


def test_a_view_with_a_trigger_counts_what_that_writes(gate: Gate) -> None:
    view = """
    CREATE VIEW pairs AS SELECT id, body FROM big;
    CREATE OR REPLACE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO big VALUES (NEW.id, 'a'), (NEW.id, 'b'); RETURN NEW; END $$;
    CREATE TRIGGER twice INSTEAD OF INSERT ON pairs FOR EACH ROW EXECUTE FUNCTION twice();
    """
    with psycopg.connect(gate.direct, autocommit=True) as direct:
        direct.execute(view.encode())
        try:
            with gate.raw("write") as wire:
                begin = Q("COPY pairs FROM STDIN")
                assert words(wire, begin, rows(600), DONE).endswith("E:HP001 ZI")
                assert there(gate) == 0
        finally:
            direct.execute("DROP VIEW pairs")


def test_freeze_in_the_transaction_that_made_the_table_empty(each_gate: Gate) -> None:
    freeze = Q("COPY big FROM STDIN WITH (FREEZE)")
    with each_gate.raw("owner") as wire:
        assert words(wire, freeze, rows(5), DONE) == "G E:55000 ZI"  # as without a gate
        wire.ask(Q("TRUNCATE big"))
        each_gate.answer(each_gate.opened("TRUNCATE big"))
        wire.ask(Q("BEGIN"))
        assert words(wire, Q("TRUNCATE big")) == "C:TRUNCATE TABLE ZT"
        assert words(wire, freeze, rows(5), DONE) == "G C:COPY 5 ZT"
        assert words(wire, Q("COMMIT")) == "C:COMMIT ZI"
    assert there(each_gate) == 5


@pytest.mark.parametrize(
    "text",
    [
        f"{IN}; SELECT 1",
        f"{IN}; {IN}",
        f"BEGIN; {IN}; COMMIT",
        "COPY (INSERT INTO big SELECT generate_series(1, 9) RETURNING id) TO STDOUT",
        "COPY big FROM PROGRAM 'cat'",
        "COPY big FROM '/etc/hostname'",
    ],
)
def test_what_cannot_be_counted_waits_or_is_refused(gate: Gate, text: str) -> None:
    with gate.raw("write") as wire:
        assert "E:" in words(wire, Q(text))
        assert words(wire, Q("SELECT 1")) == "T D:1 C:SELECT 1 ZI"
    assert there(gate) == 0


# --- clients --------------------------------------------------------------------------------------


def test_psql(each_gate: Gate, tmp_path: Path) -> None:
    url = each_gate.url("write")
    for count, code in ((BOUND, 0), (BOUND + 1, 1)):
        file = tmp_path / f"{count}.csv"
        file.write_text("".join(f"{n},x\n" for n in range(count)))
        copy = f"\\copy big (id, body) FROM '{file}' WITH (FORMAT csv)"
        done = program(each_gate, "psql", "-X", "-v", "ON_ERROR_STOP=1", url, "-c", copy)
        assert done.returncode == code, done.stderr
    assert "rolled back: COPY on `big` changed 1,001 rows" in done.stderr
    assert there(each_gate) == BOUND


@pytest.mark.parametrize("autocommit", [True, False])
def test_psycopg(each_gate: Gate, autocommit: bool) -> None:
    def copied(client: psycopg.Connection, count: int) -> int:
        with client.cursor() as cursor:
            with cursor.copy("COPY big (id, body) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "text"])
                for n in range(count):
                    copy.write_row((n, "x" * 100))
            return cursor.rowcount

    with each_gate.connect("write", autocommit=autocommit) as client:
        assert copied(client, BOUND) == BOUND
        client.commit()
        with pytest.raises(psycopg.Error, match="over the bound of 1,000"):
            copied(client, 20_000)
        client.rollback()
        assert copied(client, 5) == 5
        client.commit()
    assert there(each_gate) == BOUND + 5


async def records(client: asyncpg.Connection, count: int) -> str:
    found = await client.copy_records_to_table("big", records=[(n, "x") for n in range(count)])
    return str(found)


async def in_a_transaction(client: asyncpg.Connection, count: int) -> str:
    async with client.transaction():
        return await records(client, count)


@pytest.mark.anyio
@pytest.mark.parametrize("send", [records, in_a_transaction])
async def test_asyncpg(each_gate: Gate, send: Callable[..., object]) -> None:
    client = await asyncpg.connect(each_gate.url("write"))
    try:
        assert await send(client, BOUND) == f"COPY {BOUND}"  # type: ignore[misc]
        with pytest.raises(asyncpg.PostgresError, match="over the bound of 1,000"):
            await send(client, BOUND + 1)  # type: ignore[misc]
        assert await send(client, 5) == "COPY 5"  # type: ignore[misc]
    finally:
        await client.close()
    assert await asyncio.to_thread(there, each_gate) == BOUND + 5
