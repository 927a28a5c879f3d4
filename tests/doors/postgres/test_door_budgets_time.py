"""Budgets of statements, sessions, time and rows written, through a real gate."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from door_support import AGENTS, SECRET, TABLES, Gate, eventually, statements
from test_door_budgets import Send, extended, simple
from wire_client import B, E, P, Q, RefusedError, S, Wire

from holdpoint.doors.postgres.shares import Shares
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.budget import Budget
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Login, Task
from holdpoint.policy.budgets import budget_for
from holdpoint.store import Store, credentials, tasks
from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.frames import frame
from support.servers import fresh_database


@pytest.fixture(scope="module")
def module_gate(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """A gate of these tests."""
    with (
        fresh_database(postgres18, TABLES) as name,
        Gate.at(tmp_path_factory.mktemp("budgets"), postgres18.url(database=name)) as gate,
    ):
        yield gate
        gate.check_trail()


@pytest.fixture
def gate(module_gate: Gate) -> Gate:
    """The same with fresh tables."""
    with psycopg.connect(module_gate.direct, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    module_gate.look_again()
    return module_gate


@contextmanager
def running(gate: Gate, budget: Budget) -> Iterator[Gate]:
    """Give every tier this budget, with nothing used of it yet."""
    assert gate.running is not None
    door = gate.running.door
    before = door._shares

    def budget_of(target: Target, tier: Tier, login: Login) -> Budget:
        return budget_for((), replace(tier, budget=budget), login, target)

    door._shares = Shares(budget_of, before._keep)
    yield gate
    eventually(lambda: not door.session_count, "the end of every session")
    door._shares = before


@contextmanager
def locked(gate: Gate, table: str) -> Iterator[None]:
    """Let everybody who uses a table wait."""
    with psycopg.connect(gate.direct) as connection:
        connection.execute(f"LOCK TABLE {table}".encode())
        yield
        connection.rollback()


def count(gate: Gate, where: str) -> int:
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute(f"SELECT count(*) FROM {where}".encode()).fetchone()
    assert row is not None
    return int(row[0])


# --- time -----------------------------------------------------------------------------------------


def named(error: dict[str, str]) -> bool:
    """Whether an error names the budget of time."""
    return "`statement_time` lets one statement run for 0.3 s" in error["M"] + error.get("H", "")


def test_a_statement_ends_with_its_time_whatever_was_set(gate: Gate) -> None:
    with running(gate, Budget(statement_s=0.3)), locked(gate, "markers"), gate.raw() as wire:
        assert wire.query("SHOW statement_timeout") == "T D:300ms C:SHOW ZI"
        for send in (simple, extended):
            assert wire.ask(send("SELECT * FROM markers")).endswith("E:57014 ZI")
            assert named(wire.errors[-1])
        # Set away it is set again, or the gate's own watch ends what runs: see test_watching.
        assert wire.query("SET statement_timeout = 0") == "C:SET ZI"
        assert wire.query("SELECT * FROM markers") == "E:57014 ZI"
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.ask(extended("SELECT * FROM markers")).endswith("E:57014 ZE")
        assert named(wire.errors[-1])
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        assert wire.query("RESET statement_timeout; SHOW statement_timeout").endswith(
            "D:300ms C:SHOW ZI"
        )


def test_what_a_client_cancels_itself_is_no_budget(gate: Gate) -> None:
    with running(gate, Budget(statement_s=600)), locked(gate, "markers"), gate.raw() as wire:
        wire.send(Q("SELECT * FROM markers"))
        waits = "pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%markers'"
        eventually(lambda: count(gate, waits), "the lock")
        with Wire.open(gate.port) as other:
            other.send(startup.cancel_request(wire.pid, wire.key))
            other.rest()
        assert " ".join(wire.words()) == "E:57014 ZI"
        assert "H" not in wire.errors[-1]


def test_a_transaction_does_not_rest_for_longer_than_its_budget(gate: Gate) -> None:
    with running(gate, Budget(idle_in_transaction_s=0.3)):
        with gate.raw() as wire:
            assert wire.query("BEGIN") == "C:BEGIN ZT"
            assert wire.rest().startswith("E:25P03")
        with gate.raw() as wire:
            wire.query("SET idle_in_transaction_session_timeout = 0")
            assert wire.query("BEGIN") == "C:BEGIN ZT"
            assert wire.rest().startswith("E:25P03")
        with gate.raw() as wire:  # an implicit transaction, which the server lets rest
            wire.send(P("SELECT 1"), B(), E(), messages.FLUSH)
            assert "E:25P03" in wire.rest()


def test_waits_for_locks_have_an_end_without_being_asked_for(gate: Gate) -> None:
    with running(gate, Budget(lock_s=0.2)), locked(gate, "markers"), gate.raw() as wire:
        assert wire.query("SELECT * FROM markers") == "E:55P03 ZI"
    with running(gate, Budget()), gate.raw() as wire:
        assert wire.query("SHOW lock_timeout") == "T D:10s C:SHOW ZI"
        assert wire.query("SHOW idle_in_transaction_session_timeout") == "T D:5min C:SHOW ZI"
        assert wire.query("SHOW statement_timeout") == "T D:0 C:SHOW ZI"
    with running(gate, Budget()), gate.raw(lock_timeout="100", statement_timeout="5s") as wire:
        assert wire.query("SHOW lock_timeout") == "T D:100ms C:SHOW ZI"
        assert wire.query("SHOW statement_timeout") == "T D:5s C:SHOW ZI"


# --- statements and sessions ----------------------------------------------------------------------


def test_statements_per_minute_count_in_all_sessions_of_an_agent(gate: Gate) -> None:
    with running(gate, Budget(statements_per_minute=12)):
        with gate.raw() as first, gate.raw() as second:
            assert first.ask(P("SELECT $1::int", "p"), S) == "1 ZI"
            for number in range(4):
                assert first.ask(B("p", str(number)), E(), S).endswith("C:SELECT 1 ZI")
                assert second.query("SELECT 1").endswith("C:SELECT 1 ZI")
            assert first.query("BEGIN") == "C:BEGIN ZT"
            assert second.query("SELECT 1; SELECT 2").count("D:") == 2
            assert second.query("SELECT 1; SELECT 2") == "E:53400 ZI"
            assert "one message" not in second.errors[-1]["M"]
            assert second.query("SELECT 'the last'").endswith("C:SELECT 1 ZI")
            for wire in (second, first):
                assert wire.query("SELECT 'too many'").startswith("E:53400")
                assert "`statements_per_minute` of 12" in wire.errors[-1]["M"]
                assert "there is room again in" in wire.errors[-1]["H"]
            assert first.query("ROLLBACK") == "C:ROLLBACK ZI"  # whatever is left
            assert first.ask(B("p", "1"), E(), S) == "E:53400 ZI"
            assert second.query(";".join(["SELECT 1"] * 13)) == "E:53400 ZI"
            assert "one message has 13" in second.errors[-1]["M"]
        with gate.raw() as again, gate.raw(agent=AGENTS[1]) as other, gate.raw("write") as tier:
            assert again.query("SELECT 'too many'") == "E:53400 ZI"
            assert other.query("SELECT 1").endswith("C:SELECT 1 ZI")
            assert tier.query("SELECT 1").endswith("C:SELECT 1 ZI")
        assert ("denied", "SELECT 'too many'") in statements(gate.trail())


def test_sessions_are_counted_as_they_come_and_go(gate: Gate) -> None:
    with running(gate, Budget(sessions=2)):
        with gate.raw(), gate.raw() as second:
            with pytest.raises(RefusedError) as refused, gate.raw():
                pass
            assert refused.value.fields["C"] == "53300"
            assert "`sessions`" in refused.value.fields["M"]
            with gate.raw(agent=AGENTS[1]), gate.raw("write"):
                pass
            second.send(messages.TERMINATE)
            second.rest()

            def connects() -> bool:
                try:
                    with gate.raw():
                        return True
                except RefusedError:
                    return False

            eventually(connects, "room for a session")
        assert ("session.refused", "53300") in [
            (kind, body.get("sqlstate")) for kind, body in gate.trail()
        ]


# --- rows written ---------------------------------------------------------------------------------

UPDATE = "UPDATE orders SET status = 'y' WHERE id <= {}"


@pytest.mark.parametrize("send", [simple, extended])
def test_rows_written_add_up(gate: Gate, send: Send) -> None:
    with running(gate, Budget(rows_written=20)), gate.raw("write") as wire:
        assert wire.ask(send("INSERT INTO markers VALUES ('a'), ('b'), ('c')")).endswith(
            "C:INSERT 0 3 ZI"
        )
        assert wire.ask(send("UPDATE orders SET status = 'x' WHERE id = 4999")).endswith(
            "C:UPDATE 1 ZI"
        )
        assert wire.ask(send(UPDATE.format(17))).endswith("E:53400 ZI")
        assert wire.errors[-1]["M"] == (
            "rolled back: UPDATE on `orders` changed 17 rows, and the budget `rows_written` has "
            "16 left"
        )
        assert count(gate, "orders WHERE status = 'y'") == 0
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.ask(send(UPDATE.format(6))).endswith("C:UPDATE 6 ZT")
        assert wire.ask(send(UPDATE.format(11))).endswith("E:53400 ZE")
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
        # What was executed stays counted, although it was rolled back.
        assert wire.ask(send(UPDATE.format(10))).endswith("C:UPDATE 10 ZI")
        assert wire.ask(send("DELETE FROM markers WHERE name = 'a'")).endswith("E:53400 ZI")
        assert "is used up" in wire.errors[-1]["M"]
        assert wire.ask(send("SELECT count(*) FROM markers")).endswith("D:3 C:SELECT 1 ZI")
    assert count(gate, "orders WHERE status = 'y'") == 10
    with running(gate, Budget(rows_written=20)), gate.raw("owner") as wire:
        assert wire.ask(send(UPDATE.format(20))).endswith("C:UPDATE 20 ZI")


def copied(data: bytes) -> bytes:
    return frame(frames.COPY_DATA, data) + frame(frames.COPY_DONE, b"")


def test_copy_and_several_statements_count_too(gate: Gate) -> None:
    with running(gate, Budget(rows_written=5)), gate.raw("write") as wire:
        wire.send(Q("COPY markers FROM STDIN"))
        assert wire.word() == "G"
        wire.send(copied(b"a\nb\nc\nd\ne\nf\n"))
        assert " ".join(wire.words()) == "E:53400 ZI"
        assert count(gate, "markers") == 0
        wire.send(Q("COPY markers FROM STDIN"))
        assert wire.word() == "G"
        wire.send(copied(b"a\nb\n"))
        assert " ".join(wire.words()) == "C:COPY 2 ZI"
        both = "INSERT INTO markers VALUES ('x'), ('y'); INSERT INTO markers VALUES ('z'), ('z')"
        assert wire.query(both).endswith("E:53400 ZI")
        assert count(gate, "markers") == 2
        assert wire.query("INSERT INTO markers VALUES ('x'), ('y'), ('z')").endswith("3 ZI")
        assert wire.query("INSERT INTO markers VALUES ('x')") == "E:53400 ZI"


def test_what_runs_is_set_aside_before_another_may_have_it(gate: Gate) -> None:
    with (
        running(gate, Budget(rows_written=10)),
        gate.raw("write") as first,
        gate.raw("owner") as other,
        psycopg.connect(gate.direct) as direct,
    ):
        direct.execute("SELECT * FROM orders WHERE id = 2 FOR UPDATE")
        first.send(Q(UPDATE.format(4)))
        waits = "pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE%'"
        eventually(lambda: count(gate, waits), "the lock")
        assert other.query("INSERT INTO markers VALUES ('x')") == "E:53400 ZI"
        assert "10 are set aside" in other.errors[-1]["D"]
        direct.rollback()
        assert " ".join(first.words()) == "C:UPDATE 4 ZI"
        assert other.query("INSERT INTO markers VALUES ('x')") == "C:INSERT 0 1 ZI"


def issue(gate: Gate, budget: Budget) -> str:
    """Give the first agent a task with a budget and the common secret; returns its id."""
    now = datetime.now(UTC)
    task = Task(
        id=f"t-{secrets.token_hex(4)}",
        agent=AGENTS[0],
        description="count",
        created_by="sam",
        created_at=now,
        expires_at=now + timedelta(hours=1),
        tiers=("shop/write", "shop/owner"),
        budget=budget,
    )
    verifier = scram.make_verifier(SECRET, secrets.token_bytes(16), 4096)
    with Store.open(gate.config.server.store) as store, store.database.writing() as connection:
        tasks.insert_task(connection, task)
        credentials.issue(
            connection, task.id, verifier, now, agent=task.agent, task=task.id,
            expires_at=task.expires_at,
        )  # fmt: skip
    return task.id


def test_a_task_keeps_its_count_in_all_tiers_and_in_the_store(gate: Gate) -> None:
    task = issue(gate, Budget(rows_written=10))
    with running(gate, Budget()):
        with gate.raw("write", agent=task) as wire:
            assert wire.query(UPDATE.format(4)) == "C:UPDATE 4 ZI"
        with gate.raw("owner", agent=task) as wire:
            assert wire.query("INSERT INTO markers VALUES ('a'), ('b')").endswith("2 ZI")

    def written(rows: int) -> bool:
        with Store.open(gate.config.server.store, read_only=True) as store:
            return store.rows_written.of(task) == rows

    eventually(lambda: written(6), "what was set aside and not used")
    with running(gate, Budget()):  # with counters that know of nothing, as after a restart
        with gate.raw("write", agent=task) as wire:
            assert wire.query(UPDATE.format(5)) == "E:53400 ZI"
            assert wire.query(UPDATE.format(4)) == "C:UPDATE 4 ZI"
            assert wire.query("INSERT INTO markers VALUES ('c')") == "E:53400 ZI"
        with gate.raw("write") as own:  # its agent has no such budget
            assert own.query("INSERT INTO markers VALUES ('c')") == "C:INSERT 0 1 ZI"
    assert written(10)


def test_many_sessions_never_write_more_than_their_budget(gate: Gate) -> None:
    with running(gate, Budget(rows_written=30)):

        def work(number: int) -> None:
            with gate.raw("write") as wire:
                for each in range(5):
                    first = 100 * number + 10 * each
                    wire.query(
                        f"UPDATE orders SET status = 'y' WHERE id BETWEEN {first} AND {first + 2}"
                    )

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0 < count(gate, "orders WHERE status = 'y'") <= 30
