"""Statements that wait for people: every end, once, and nothing held longer than it must be."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path

import psycopg
import pytest
from door_support import AGENTS, TABLES, Gate, eventually, statements
from test_door_protocol import cancel
from wire_client import B, E, P, Q, S, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.holds import AnswerRefused
from holdpoint.model.hold import Answer, HoldState
from support.servers import fresh_database

_numbers = itertools.count(1)
HELD = "N:HP001 E:HP001 ZI"


@pytest.fixture
def delete() -> str:
    """A statement that is held, in words that no other test uses: answers go by exact text."""
    return f"DELETE FROM payments /* {next(_numbers)} */"


@pytest.fixture(autouse=True)
def _payments(gate: Gate, direct: psycopg.Connection) -> None:
    direct.execute(
        "INSERT INTO payments (order_id, cents) SELECT g, g FROM generate_series(1, 9) g"
    )


def left(direct: psycopg.Connection) -> int:
    row = direct.execute("SELECT count(*) FROM payments").fetchone()
    assert row is not None
    return int(row[0])


# --- waiting in place -----------------------------------------------------------------------------


def test_an_approved_statement_runs_once_and_returns_the_true_result(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    since = gate.length()
    with gate.connect("write") as client:
        notices: list[tuple[str, str, str, str]] = []
        client.add_notice_handler(
            lambda said: notices.append(
                (
                    said.sqlstate or "",
                    said.message_primary or "",
                    said.message_detail or "",
                    said.message_hint or "",
                )
            )
        )
        with gate.person(containing=delete) as seen:
            cursor = client.execute(delete)
        assert cursor.rowcount == 9
        assert cursor.statusmessage == "DELETE 9"
    ((sqlstate, message, detail, hint),) = notices
    assert sqlstate == "HP001"
    assert "DELETE" in message
    assert seen[0].id in detail
    assert f"/h/{seen[0].id}" in hint
    assert gate.hold(seen[0].id).state is HoldState.CLAIMED
    gate.quiet()
    trail = gate.trail(since)
    assert statements(trail, since) == [
        ("held", delete),
        ("started", delete),
        ("finished", delete),
    ]
    kinds = [kind for kind, _ in trail if kind.startswith(("hold", "statement"))]
    assert kinds == [
        "statement.held",
        "hold.answered",
        "hold.ended",
        "statement.started",
        "statement.finished",
    ]


def test_a_rejected_statement_does_not_run(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    with gate.connect("write") as client:
        with (
            gate.person(Answer.REJECT, delete, note="not on a Friday") as seen,
            pytest.raises(psycopg.Error) as refused,
        ):
            client.execute(delete)
        assert refused.value.sqlstate == "HP002"
        assert "not on a Friday" in str(refused.value)
        assert gate.hold(seen[0].id).state is HoldState.REJECTED
        # Sent again at once it meets the same rejection, without asking anybody.
        with pytest.raises(psycopg.Error) as again:
            client.execute(delete)
        assert again.value.sqlstate == "HP002"
    assert left(direct) == 9


def test_extended_protocol_waits_at_bind_with_its_values(
    gate: Gate, direct: psycopg.Connection
) -> None:
    with gate.raw("write") as wire:
        text = "DELETE FROM payments WHERE cents <= $1 OR true"
        with gate.person(containing=text) as seen:
            wire.send(P(text, "d"), B("d", "1000"), E(), S)
            words = wire.words()
        assert sorted(words) == sorted(["1", "N:HP001", "2", "C:DELETE 9", "ZI"])
        assert '"text":"1000"' in seen[0].case_json
    assert left(direct) == 0


def test_answers_before_the_held_statement_are_not_held_back(gate: Gate, delete: str) -> None:
    with gate.raw("write") as wire, gate.waiting(10):
        wire.send(run("SELECT 1"), P(delete), B(), E(), S)
        assert set(wire.until("C:SELECT 1")) == {"1", "2", "D:1", "N:HP001", "C:SELECT 1"}
        gate.answer(gate.opened(delete), Answer.REJECT)
        assert wire.words()[-2:] == ["E:HP002", "ZI"]


def test_others_are_served_while_one_waits(gate: Gate, delete: str) -> None:
    with gate.raw("write") as held, gate.raw("write") as other:
        held.send(Q(delete))
        hold = gate.opened(delete)
        assert other.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        assert other.query("UPDATE orders SET status = 'x' WHERE id = 1") == "C:UPDATE 1 ZI"
        gate.answer(hold)
        assert held.words() == ["N:HP001", "C:DELETE 9", "ZI"]


# --- tickets --------------------------------------------------------------------------------------


def test_after_the_wait_a_ticket_and_the_approved_statement_passes_once(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    with gate.connect("write") as client, gate.waiting(0.05):
        with pytest.raises(psycopg.Error) as refused:
            client.execute(delete)
        assert refused.value.sqlstate == "HP001"
        hold = gate.opened(delete)
        assert hold.id in (refused.value.diag.message_detail or "")
        assert left(direct) == 9
        gate.answer(hold)
        assert client.execute(delete).rowcount == 9
        assert gate.hold(hold.id).state is HoldState.CLAIMED
        with pytest.raises(psycopg.Error) as third:
            client.execute(delete)
        assert third.value.sqlstate == "HP001"
        assert gate.opened(delete).id != hold.id


def test_other_texts_values_agents_and_tiers_do_not_match_an_approval(gate: Gate) -> None:
    text = "DELETE FROM payments WHERE cents > $1 OR cents <= $1"
    with gate.waiting(0.05), gate.raw("write") as wire:
        wire.ask(P(text, "d"), S)
        assert wire.ask(B("d", "1"), E(), S) == HELD
        gate.answer(gate.opened(text))
        assert wire.ask(B("d", "2"), E(), S) == HELD
        assert wire.ask(P(text + " ", "e"), S) == "1 ZI"
        assert wire.ask(B("e", "1"), E(), S) == HELD
        assert wire.ask(P(text, "typed", 23), S) == "1 ZI"
        with gate.raw("write", agent=AGENTS[1]) as other:
            other.ask(P(text, "d"), S)
            assert other.ask(B("d", "1"), E(), S) == HELD
        with gate.raw("owner") as owner:
            owner.ask(P(text, "d"), S)
            assert owner.ask(B("d", "1"), E(), S) == HELD
        assert wire.ask(B("d", "1"), E(), S) == "2 C:DELETE 9 ZI"


def test_what_execute_stands_for_is_bound_by_the_approval(
    gate: Gate, direct: psycopg.Connection
) -> None:
    with gate.waiting(0.05), gate.raw("write") as wire:
        wire.query("PREPARE d AS DELETE FROM payments WHERE id < 3")
        assert wire.query("EXECUTE d") == HELD
        hold = gate.opened("EXECUTE d")
        assert "id < 3" in hold.case_json, "people see what would run"
        gate.answer(hold)
        wire.query("DEALLOCATE d")
        wire.query("PREPARE d AS DELETE FROM payments")
        assert wire.query("EXECUTE d") == HELD
        assert left(direct) == 9
        wire.query("DEALLOCATE d")
        wire.query("PREPARE d AS DELETE FROM payments WHERE id < 3")
        assert wire.query("EXECUTE d") == "C:DELETE 2 ZI"


def test_a_transaction_that_has_written_gets_a_ticket_at_once(gate: Gate, delete: str) -> None:
    with gate.raw("write") as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query("UPDATE orders SET status = 'x' WHERE id = 1") == "C:UPDATE 1 ZT"
        assert wire.query(delete) == "E:HP001 ZE"
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
        # Without locks it waits again.
        with gate.person(Answer.REJECT, delete):
            assert wire.query(delete) in ("N:HP001 E:HP002 ZI", "E:HP002 ZI")


def test_a_pipeline_that_has_written_gets_a_ticket_at_once(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    with gate.raw("write") as wire:
        wire.send(run("UPDATE orders SET status = 'x' WHERE id = 1"), run(delete), S)
        assert wire.words()[-2:] == ["E:HP001", "ZI"]
    assert direct.execute("SELECT status FROM orders WHERE id = 1").fetchone() == ("new",)


def test_a_transaction_that_has_only_read_waits(gate: Gate, delete: str) -> None:
    with gate.raw("write") as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZT"
        with gate.person(containing=delete):
            assert wire.query(delete) == "N:HP001 C:DELETE 9 ZT"
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"


def test_two_clients_send_what_was_approved_and_one_runs(
    gate: Gate, direct: psycopg.Connection
) -> None:
    direct.execute("CREATE TABLE IF NOT EXISTS runs (n int)")
    text = "INSERT INTO markers SELECT 'ran' FROM generate_series(1, 5000)"
    with gate.waiting(0.05), gate.raw("write") as first:
        assert first.query(text) == HELD
    gate.answer(gate.opened(text))
    answers: list[str] = []

    def send() -> None:
        with gate.raw("write") as wire:
            answers.append(wire.query(text))

    threads = [threading.Thread(target=send) for _ in range(4)]
    with gate.waiting(0.05):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum("C:INSERT" in answer for answer in answers) == 1
    assert direct.execute("SELECT count(*) FROM markers").fetchone() == (5000,)


def test_two_clients_wait_for_the_same_hold_and_one_runs(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    with gate.raw("write") as one, gate.raw("write") as two:
        one.send(Q(delete))
        assert one.until("N") == ["N:HP001"]
        two.send(Q(delete))
        assert two.until("N") == ["N:HP001"]
        gate.answer(gate.opened(delete))
        assert sorted([*one.words(), *two.words()]) == ["C:DELETE 9", "E:HP003", "ZI", "ZI"]


# --- the other ends -------------------------------------------------------------------------------


def test_a_held_statement_is_cancelled(gate: Gate, delete: str, direct: psycopg.Connection) -> None:
    with gate.raw("write") as wire:
        wire.send(Q(delete))
        assert wire.until("N") == ["N:HP001"]
        hold = gate.opened(delete)
        cancel(gate, wire.pid, bytes(4))
        cancel(gate, wire.pid, wire.key)
        assert wire.words() == ["E:57014", "ZI"]
        assert gate.hold(hold.id).state is HoldState.CANCELLED
        with pytest.raises(AnswerRefused):
            gate.answer(hold)
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    assert left(direct) == 9


def test_psycopg_cancels_a_held_statement(gate: Gate, delete: str) -> None:
    with gate.connect("write") as client:

        def give_up() -> None:
            gate.opened(delete)
            client.cancel_safe()

        thread = threading.Thread(target=give_up)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute(delete)
        thread.join()


@pytest.mark.parametrize("polite", [True, False])
def test_a_client_that_vanishes_abandons_its_hold(
    gate: Gate, delete: str, direct: psycopg.Connection, polite: bool
) -> None:
    with gate.raw("write") as wire:
        wire.send(Q(delete))
        wire.until("N")
        hold = gate.opened(delete)
        if not polite:
            wire.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: the end is a reset
        wire.socket.close()
    eventually(lambda: gate.hold(hold.id).state is HoldState.ABANDONED, "the end of the hold")
    gate.quiet()
    assert left(direct) == 9


def test_a_client_that_vanishes_before_it_waits_leaves_no_statement_behind(
    gate: Gate, delete: str, direct: psycopg.Connection
) -> None:
    since = gate.length()
    for _ in range(10):
        with gate.raw("write") as wire:
            wire.send(Q("INSERT INTO markers VALUES ('gone')") * 5, Q(delete))
            wire.socket.close()
    gate.check_trail(since)
    ran = sum(body["ran"] for kind, body in gate.trail(since) if kind == "statement.finished")
    assert direct.execute("SELECT count(*) FROM markers").fetchone() == (ran,)
    assert gate.holds(HoldState.OPEN) == []


def test_a_hold_that_nobody_answers_expires(gate: Gate, delete: str) -> None:
    with gate.raw("write") as wire:
        wire.send(Q(delete))
        wire.until("N")
        hold = gate.opened(delete)
        gate.on_loop(gate.book.end(hold.id, HoldState.EXPIRED))
        assert wire.words() == ["E:HP003", "ZI"]
        assert "nobody answered" in wire.errors[-1]["M"]


def test_an_approval_of_fewer_rows_does_not_cover_more(
    gate: Gate, direct: psycopg.Connection
) -> None:
    direct.execute(
        "INSERT INTO payments (order_id, cents) SELECT 1, 5 FROM generate_series(1, 2000)"
    )
    direct.execute("ANALYZE payments")
    text = "UPDATE payments SET cents = 0 WHERE cents = 5"
    with gate.waiting(0.05), gate.raw("write") as wire:
        assert wire.query(text) == HELD
        hold = gate.opened(text)
        gate.answer(hold)
        direct.execute(
            "INSERT INTO payments (order_id, cents) SELECT 1, 5 FROM generate_series(1, 9000)"
        )
        direct.execute("ANALYZE payments")
        assert wire.query(text) == "E:HP005 ZI"
        assert "approved for" in wire.errors[-1]["D"]
        assert gate.hold(hold.id).state is HoldState.SUPERSEDED
    assert direct.execute("SELECT count(*) FROM payments WHERE cents = 0").fetchone() == (0,)


def test_rows_beyond_what_a_record_can_hold_are_held_and_not_fatal(gate: Gate) -> None:
    text = (
        "INSERT INTO markers SELECT 'x' FROM orders a, orders b, orders c, orders d, orders e "
        "WHERE a.id < 0"
    )
    many = text.replace(" WHERE a.id < 0", "")
    with gate.waiting(0.05), gate.raw("write") as wire:
        assert wire.query(many) == HELD
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_an_approval_survives_a_restart_of_the_gate(
    postgres18: EmbeddedPostgres, delete: str, folder: Path
) -> None:
    with fresh_database(postgres18, TABLES) as name:
        url = postgres18.url(database=name)
        gate = Gate.at(folder, url, wait="50ms")
        with psycopg.connect(url, autocommit=True) as direct:
            direct.execute("INSERT INTO payments (cents) VALUES (1)")
            with gate:
                with gate.raw("write") as wire:
                    assert wire.query(delete) == HELD
                hold = gate.opened(delete)
            with gate:
                gate.answer(hold)
            with gate:
                with gate.raw("write") as wire:
                    assert wire.query(delete) == "C:DELETE 1 ZI"
                    assert wire.query(delete) == HELD
                gate.check_trail()


def test_a_gate_that_stops_tells_those_who_wait(postgres18: EmbeddedPostgres, folder: Path) -> None:
    with fresh_database(postgres18, TABLES) as name:
        gate = Gate.at(folder, postgres18.url(database=name))
        with contextlib.ExitStack() as stack:
            with gate:
                wire = stack.enter_context(gate.raw("write"))
                idle = stack.enter_context(gate.raw())
                wire.send(Q("DELETE FROM orders"))
                assert wire.until("N") == ["N:HP001"]
            assert wire.rest() == "E:57P01"
            assert idle.rest() == "E:57P01"
        assert gate.report().ok
        kinds = [kind for kind, _ in gate.trail()]
        assert kinds[-1] == "trail.closed"
        assert kinds.count("session.opened") == kinds.count("session.closed") == 2


def test_an_agent_cannot_answer_its_own_hold_nor_find_the_way(gate: Gate, delete: str) -> None:
    with gate.waiting(0.05), gate.raw("write") as wire:
        assert wire.query(delete) == HELD
        hold = gate.opened(delete)
        for approver in ("sam", AGENTS[0]):  # the agent's owner, and the agent
            with pytest.raises(AnswerRefused):
                gate.on_loop(
                    gate.book.answer(
                        hold.id, approver, Answer.APPROVE, "", approver_groups=frozenset()
                    )
                )
        assert wire.query(delete) == HELD
