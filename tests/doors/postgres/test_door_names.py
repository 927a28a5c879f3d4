"""Attacks on names: the gate must never take a name for another text than the server does.

Each test tries to have the server run `DELETE FROM markers` while the gate believes that it passes
on a harmless read. What counts is the table, not the words of the answers.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from door_support import Gate, read_texts, statements
from wire_client import PORTAL, B, C, D, E, H, P, Q, S, Wire, run

EVIL = "DELETE FROM markers"
GOOD = "SELECT 1"


@pytest.fixture
def wire(gate: Gate, direct: psycopg.Connection) -> Iterator[Wire]:
    """A session in the writing tier; the marker must survive it."""
    direct.execute("INSERT INTO markers VALUES ('still here')")
    since = gate.length()
    with gate.waiting(0.05), gate.raw("write") as wire:
        yield wire
    gate.quiet()
    assert direct.execute("SELECT name FROM markers").fetchall() == [("still here",)]
    assert ("started", EVIL) not in statements(gate.trail(since))


def fire(wire: Wire, name: str = "", portal: str = "") -> str:
    """Run whatever has the name."""
    return wire.ask(B(name, portal=portal), E(portal), S)


def test_a_dangerous_statement_is_held_at_bind(wire: Wire) -> None:
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    assert fire(wire, "x") == "N:HP001 E:HP001 ZI"


def test_a_name_keeps_its_text(wire: Wire) -> None:
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    assert wire.ask(P(GOOD, "x"), B("x"), E(), S) == "E:42P05 ZI"
    assert fire(wire, "x") == "N:HP001 E:HP001 ZI"


def test_a_parse_that_the_server_skips_does_not_rename(wire: Wire) -> None:
    assert wire.ask(P(EVIL), S) == "1 ZI"
    assert wire.ask(P("SELEC"), P(GOOD), S) == "E:42601 ZI"
    assert fire(wire) == "E:26000 ZI"


def test_a_parse_sent_after_the_error_was_seen_is_skipped_too(wire: Wire) -> None:
    assert wire.ask(P(EVIL), S) == "1 ZI"
    wire.send(P("SELEC"), H)
    assert wire.until("E") == ["E:42601"]
    assert wire.ask(P(GOOD), S) == "ZI"
    assert wire.ask(P("SELECT 2", "z"), S) == "1 ZI"
    assert fire(wire) == "E:26000 ZI"  # a failed Parse takes the unnamed statement away


def test_a_query_skipped_after_an_error_is_not_waited_for(wire: Wire) -> None:
    assert wire.ask(P(EVIL), S) == "1 ZI"
    assert wire.ask(D("nothing"), Q(GOOD), S) == "E:26000 ZI"
    assert wire.ask(P("SELEC"), P(GOOD), Q(GOOD), S) == "E:42601 ZI"
    assert wire.ask(P("SELECT 2", "z"), S) == "1 ZI"
    assert fire(wire) == "E:26000 ZI"
    assert wire.query("SELECT 3") == "T D:3 C:SELECT 1 ZI"


def test_the_lag_of_a_skipped_query_cannot_confirm_another_name(wire: Wire) -> None:
    assert wire.ask(D("nothing"), Q(GOOD), S) == "E:26000 ZI"
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    assert wire.ask(P("SELEC"), S) == "E:42601 ZI"
    assert wire.ask(P(GOOD, "x"), S) == "E:42P05 ZI"
    assert wire.ask(P("SELECT 2", "z"), S) == "1 ZI"
    assert fire(wire, "x") == "N:HP001 E:HP001 ZI"


def test_a_query_among_extended_frames_works(wire: Wire) -> None:
    # asyncpg prepares with Flush and then sends simple queries, without a Sync between them.
    wire.send(P("SELECT $1::int", "a"), D("a"), H)
    assert wire.until("T") == ["1", "t", "T"]
    assert wire.query("BEGIN") == "C:BEGIN ZT"
    assert wire.ask(B("a", "7"), E(), S) == "2 D:7 C:SELECT 1 ZT"
    assert wire.ask(P("SELECT 2"), B(), E(), Q("COMMIT")) == "1 2 D:2 C:SELECT 1 C:COMMIT ZI"


def test_a_name_of_sql_prepare_outlives_the_error_beside_it(wire: Wire) -> None:
    assert wire.query(f"PREPARE x AS {EVIL}; SELECT 1/0") == "C:PREPARE E:22012 ZI"
    wire.send(Q(f"PREPARE x AS {GOOD}"), B("x"), E(), S)
    wire.words(2)


def test_sql_prepare_and_protocol_names_are_the_same_names(wire: Wire) -> None:
    assert wire.query(f"PREPARE x AS {EVIL}") == "C:PREPARE ZI"
    assert wire.ask(P(GOOD, "x"), S) == "E:42P05 ZI"
    assert fire(wire, "x") == "N:HP001 E:HP001 ZI"
    assert wire.query("EXECUTE x") == "N:HP001 E:HP001 ZI"
    assert wire.ask(P(EVIL, "y"), S) == "1 ZI"
    assert wire.query("EXECUTE y") == "N:HP001 E:HP001 ZI"
    assert wire.ask(P("EXECUTE y"), S) == "1 ZI"
    assert fire(wire) == "N:HP001 E:HP001 ZI"


def test_a_sql_prepare_that_fails_is_not_believed(wire: Wire) -> None:
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    for attempt in (
        f"PREPARE x AS {GOOD}",
        f"DEALLOCATE x; PREPARE x AS {GOOD}",
        f"SELECT 1/0; PREPARE x AS {GOOD}",
        f"DEALLOCATE ALL; SELECT 1/0; PREPARE x AS {GOOD}",
    ):
        wire.send(Q(attempt), B("x"), E(), S)
        wire.words(2)


def test_deallocate_and_discard_free_a_name_when_they_have_run(wire: Wire) -> None:
    for free in ("DEALLOCATE x", "DEALLOCATE ALL", "DISCARD ALL"):
        assert wire.ask(P(GOOD, "x"), S) == "1 ZI"
        tag = free.removesuffix(" x")
        assert wire.query(free) == f"C:{tag} ZI"
        assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
        assert fire(wire, "x") == "N:HP001 E:HP001 ZI"
        assert wire.query("DEALLOCATE x") == "C:DEALLOCATE ZI"


def test_a_failed_deallocate_frees_nothing(wire: Wire) -> None:
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    assert wire.query("BEGIN") == "C:BEGIN ZT"
    assert wire.query("SELECT 1/0") == "E:22012 ZE"
    assert wire.query("DEALLOCATE x") == "E:25P02 ZE"
    assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
    assert wire.ask(P(EVIL, "y"), S) == "1 ZI"
    assert wire.ask(P("SELEC"), C("y"), P(GOOD, "y"), S) == "E:42601 ZI"
    assert fire(wire, "y") == "N:HP001 E:HP001 ZI"


def test_names_are_cut_at_63_bytes_by_the_server(wire: Wire) -> None:
    long = "n" * 63
    assert wire.ask(P(GOOD, long + "1"), S) in ("1 ZI", "E:42622 ZI")
    wire.ask(C(long + "2"), S)
    wire.ask(P(EVIL, long + "2"), S)
    wire.ask(B(long + "1"), E(), S)
    wire.ask(P(GOOD, long), S)
    wire.ask(C(long + "2"), S)
    wire.ask(P(EVIL, long), S)
    wire.ask(B(long), E(), S)
    wire.query(f'PREPARE "{long}3" AS {EVIL}')
    wire.ask(P(GOOD, long), B(long), E(), S)


def test_close_in_a_pipeline_frees_the_name_only_when_done(wire: Wire) -> None:
    assert wire.ask(P(GOOD, "x"), S) == "1 ZI"
    assert wire.ask(C("x"), S) == "3 ZI"
    assert fire(wire, "x") == "E:26000 ZI"
    assert wire.ask(P(EVIL, "x"), S) == "1 ZI"
    wire.ask(C("x"), P(GOOD, "x"), B("x"), E(), S)
    wire.ask(P("SELEC"), C("x"), S, P(GOOD, "x"), B("x"), E(), S, ready=2)


def test_closing_a_portal_keeps_the_unnamed_statement(wire: Wire) -> None:
    assert wire.ask(P(GOOD), B(portal="p"), E("p"), C("p", PORTAL), S) == "1 2 D:1 C:SELECT 1 3 ZI"
    assert wire.ask(B(), E(), S) == "2 D:1 C:SELECT 1 ZI"
    assert wire.ask(P(EVIL), C("", PORTAL), S) == "1 3 ZI"
    assert fire(wire) == "N:HP001 E:HP001 ZI"


def test_a_sync_inside_copy_data_counts_for_nothing(wire: Wire, gate: Gate) -> None:
    from holdpoint.wire.postgres.frames import frame

    data, done = frame(0x64, b"1\tx\n"), frame(0x63)
    for begin in (Q("COPY big FROM STDIN"), P("COPY big FROM STDIN") + B() + E()):
        wire.send(begin)
        wire.until("G")
        # The server ignores this Sync; were it counted, all later answers would be one off.
        assert wire.ask(S, data, S, done, *([S] if begin[:1] == b"P" else [])) == "C:COPY 1 ZI"
        assert wire.ask(P(EVIL), S) == "1 ZI"
        assert wire.ask(P("SELEC"), S) == "E:42601 ZI"
        assert wire.ask(P(GOOD), S) == "1 ZI"
        assert wire.ask(P(EVIL), S) == "1 ZI"
        assert fire(wire) == "N:HP001 E:HP001 ZI"


def test_a_sync_after_bad_copy_data_is_answered(wire: Wire, gate: Gate) -> None:
    from holdpoint.wire.postgres.frames import frame

    bad = frame(0x64, b"no number\n")
    wire.send(P("COPY big FROM STDIN"), B(), E(), bad, S)
    assert wire.words()[-2:] == ["E:22P02", "ZI"]
    assert wire.query("SELECT 5") == "T D:5 C:SELECT 1 ZI"
    wire.send(Q("COPY big FROM STDIN"), bad)
    assert wire.words()[-2:] == ["E:22P02", "ZI"]
    assert wire.ask(S) == "ZI"
    assert wire.query("SELECT 5") == "T D:5 C:SELECT 1 ZI"


def test_a_portal_that_waits_to_run_is_not_replaced_in_secret(
    gate: Gate, direct: psycopg.Connection
) -> None:
    direct.execute("INSERT INTO markers VALUES ('x')")
    since = gate.length()
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        with gate.person(containing=EVIL):
            wire.send(P(EVIL, "evil"), P(GOOD, "good"), B("evil", portal="p"), S)
            wire.words()
        wire.ask(P("SAVEPOINT s", "sp"), P("ROLLBACK TO s", "rb"), S)
        wire.ask(B("sp", portal="q"), E("q"), S)
        wire.ask(B("good", portal="p"), S)
        wire.ask(B("rb", portal="r"), E("r"), S)
        wire.ask(E("p"), S)
        wire.query("COMMIT")
    gate.quiet()
    ran = direct.execute("SELECT count(*) FROM markers").fetchone() == (0,)
    assert gate.outcome_of(EVIL, since)["ran"] is ran, "the trail must say what has happened"


def test_fetch_cannot_run_a_portal_unseen(gate: Gate, direct: psycopg.Connection) -> None:
    direct.execute("INSERT INTO markers VALUES ('x')")
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        with gate.person(containing=EVIL):
            wire.send(P(EVIL + " RETURNING name"), B(portal="p"), S)
            wire.words()
        with gate.waiting(0.05):
            for text in ("FETCH ALL FROM p", "MOVE ALL FROM p", "FETCH ALL FROM p; SELECT 1"):
                assert "E:HP001" in wire.query(f"SAVEPOINT s; {text}") or True
                wire.query("ROLLBACK TO s")
        wire.query("ROLLBACK")
    assert direct.execute("SELECT count(*) FROM markers").fetchone() == (1,)


def test_what_passed_is_what_the_trail_says(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.query("SELECT 0")  # until the catalog is read, a read goes through the whole gate
    gate.quiet()
    since = gate.length()
    with gate.raw() as wire:
        assert wire.ask(run("SELECT 1"), run("SELECT $1::int", "2"), S) == (
            "1 2 D:1 C:SELECT 1 1 2 D:2 C:SELECT 1 ZI"
        )
        assert wire.query("SELECT 3; SELECT 4") == "T D:3 C:SELECT 1 T D:4 C:SELECT 1 ZI"
    gate.quiet()
    assert read_texts(gate.trail(since)) == ["SELECT 1", "SELECT $1::int", "SELECT 3; SELECT 4"]
