"""A portal stays what its Bind made it: no frame around it makes it pass for something else.

A portal that the gate has forgotten would run as a cursor does, which was decided when it was
declared: without its record, its bound of rows and its budget.
"""

from __future__ import annotations

import pytest
from door_support import Gate, read_texts
from wire_client import PORTAL, B, C, E, H, P, Q, S, run

LONG = "SELECT count(*) FROM generate_series(1, 2000000)"
WRITE = "DELETE FROM orders WHERE id = 4990"
READ = "SELECT id FROM orders WHERE id < 4"
FAILS = P("SELECT FROM WHERE", "fails")


def is_on_record(gate: Gate, text: str, since: int) -> None:
    """The trail has the statement itself, with its end, and no cursor in its place."""
    gate.quiet()
    trail = gate.trail(since)
    assert not [each for each in read_texts(trail) if "cursor" in each]
    if text == READ:
        assert READ in read_texts(trail)
    else:
        outcome = gate.outcome_of(WRITE, since)
        assert (outcome["tag"], outcome["rows"]) == ("DELETE 1", 1)


@pytest.mark.parametrize("text", [WRITE, READ])
def test_a_close_before_its_bind_is_not_for_it(gate: Gate, text: str) -> None:
    since = gate.length()
    with gate.raw("write") as wire:
        wire.ask(P(text, "it"), S)
        wire.query("BEGIN")
        assert wire.ask(C("p", PORTAL), B("it", portal="p"), S) == "3 2 ZT"
        assert "E:" not in wire.ask(E("p"), S)
        wire.query("COMMIT")
    is_on_record(gate, text, since)


@pytest.mark.parametrize("first", [Q(LONG), run(LONG) + S], ids=["query", "extended"])
@pytest.mark.parametrize("text", [WRITE, READ])
def test_the_end_of_what_ran_before_is_not_its_end(gate: Gate, text: str, first: bytes) -> None:
    since = gate.length()
    with gate.raw("write") as wire:
        wire.ask(P(text, "it"), S)
        wire.send(first, B("it", portal="p"), H)  # bound before the answers of the first come
        assert wire.words()[-1] == "ZI"
        assert "E:" not in wire.ask(E("p"), S)
    is_on_record(gate, text, since)


@pytest.mark.parametrize("portal", ["p", ""])
def test_a_bind_that_the_server_skipped_gives_no_other_name_to_what_runs(
    gate: Gate, portal: str
) -> None:
    since = gate.length()
    with gate.raw() as wire:
        wire.ask(P("SELECT 1", "other"), P(READ, "it"), P("BEGIN", "begin"), S)
        save, back = P("SAVEPOINT s", "save"), P("ROLLBACK TO s", "back")
        wire.ask(save, back, S)
        wire.ask(B("begin", portal="b"), E("b"), B("it", portal=portal), S)
        wire.ask(B("save", portal="s"), E("s"), S)
        assert wire.ask(FAILS, B("other", portal=portal), S) == "E:42601 ZE"
        assert wire.ask(B("back", portal="r"), E("r"), S) == "2 C:ROLLBACK ZT"
        assert wire.ask(E(portal), S) == "E:34000 ZE"
        wire.query("ROLLBACK")
    gate.quiet()
    assert "SELECT 1" not in read_texts(gate.trail(since))


def test_after_an_error_portals_are_bound_anew(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.ask(P(READ, "it"), S)
        wire.query("BEGIN")
        wire.query("SAVEPOINT s")
        assert wire.ask(B("it"), FAILS, S) == "2 E:42601 ZE"
        wire.query("ROLLBACK TO s")
        assert wire.ask(B("it"), E(), S) == "2 D:1 D:2 D:3 C:SELECT 3 ZT"
