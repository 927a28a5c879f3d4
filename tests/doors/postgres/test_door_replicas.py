"""An agent that names no tier reads from a replica: real servers, through the wire."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from door_support import AGENTS, SECRET, TABLES, Gate, eventually, statements
from wire_client import DEADLINE_S, Q, Wire

from holdpoint.config import load
from holdpoint.doors.postgres.session import Session
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.store import Store
from holdpoint.wire.postgres import frames, messages, scram
from support.servers import Replicated, fresh_database

LIMIT = "1s"
HERE = "SELECT pg_is_in_recovery()"
COUNT = "SELECT count(*) FROM orders"


@pytest.fixture(autouse=True, scope="module")
def often() -> Iterator[None]:
    """Look and watch more often than in earnest, so that nobody has to wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdpoint.model.limits.REPLICA_LOOK_S", 0.1)
        patch.setattr("holdpoint.model.limits.REPLICA_LOOK_MIN_S", 0.05)
        patch.setattr("holdpoint.model.limits.WATCH_S", 0.1)
        yield


TIERS = f"""
[targets.shop.tiers.replica]
access = "read-only"
url = ["file:DIR/replica.url"]
replica = true

[targets.shop.tiers.refuse]
access = "read-only"
url = "file:DIR/replica.url"
lag_over = "{LIMIT}"
when_lagging = "refuse"

[targets.shop.tiers.wait]
access = "read-only"
url = "file:DIR/replica.url"
lag_over = "{LIMIT}"
when_lagging = "wait"

[targets.shop.tiers.say]
access = "read-only"
url = "file:DIR/replica.url"
lag_over = "{LIMIT}"
when_lagging = "say"

[targets.shop.tiers.wrong]
access = "read-only"
url = "file:DIR/primary.url"
replica = true
"""
WRITE = """
[targets.shop.tiers.write]
access = "read-write"
url = "file:DIR/primary.url"
"""
SEVERAL = """
[targets.shop.tiers.replica]
access = "read-only"
url = ["file:DIR/replica.url", "file:DIR/second.url"]
replica = true
"""


@contextmanager
def gate_before(folder: Path, tiers: str, **urls: str) -> Iterator[Gate]:
    """A gate with these tiers and one that writes on the primary."""
    for name, url in urls.items():
        (folder / f"{name}.url").write_text(url)
    path = folder / "holdpoint.toml"
    head = '[server]\nlisten = "127.0.0.1:0"\nweb = "127.0.0.1:0"\n[targets.shop]\n'
    path.write_text(head + (tiers + WRITE).replace("DIR", str(folder)))
    config = load(path)
    with Store.open(config.server.store) as store:
        for agent in AGENTS:
            verifier = scram.make_verifier(SECRET, secrets.token_bytes(16), 4096)
            store.agents.add(agent, "sam", verifier, datetime.now(UTC))
    with Gate(config, urls["primary"]) as gate:
        yield gate


@pytest.fixture(scope="module")
def shop(replicated: Replicated, often: None) -> Iterator[str]:
    """The name of a database with the tables of the door's tests, there on both servers."""
    with fresh_database(replicated.primary, TABLES) as name:
        replicated.replica.wait_caught_up()
        yield name


@pytest.fixture(scope="module")
def gate(
    replicated: Replicated, shop: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """Its tiers lead to the replica as a superuser: far too much, on purpose."""
    with gate_before(
        tmp_path_factory.mktemp("replicas"),
        TIERS,
        primary=replicated.primary.url(database=shop),
        replica=replicated.replica.url(database=shop),
    ) as gate:
        yield gate


def write(primary: str, text: str = "INSERT INTO markers VALUES ('x')") -> None:
    """Something new at the primary, past the gate and at once on its way."""
    with psycopg.connect(primary, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute(text.encode())


def port_of(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT inet_server_port()").fetchone()
    assert row is not None
    return int(row[0])


# --- the boundary -------------------------------------------------------------------------------


def test_an_agent_that_names_no_tier_reads_from_the_replica(gate: Gate) -> None:
    with gate.connect() as replica, gate.connect("write") as primary:
        assert replica.execute(HERE).fetchone() == (True,)
        assert primary.execute(HERE).fetchone() == (False,)
        assert replica.execute(COUNT).fetchone() == (5000,)
    opened = [body for kind, body in gate.trail() if kind == "session.opened"]
    by_tier = {body["tier"]: body for body in opened}
    assert by_tier["replica"]["replica"] is True
    assert by_tier["replica"]["lag_ms"] >= 0
    assert by_tier["write"]["replica"] is False
    assert "lag_ms" not in by_tier["write"]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders VALUES (-1, 'x')",
        "BEGIN READ WRITE; DELETE FROM orders; COMMIT",
        "SET default_transaction_read_only = off; DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone",
        "SELECT set_config('transaction_read_only', 'off', false), nextval('payments_id_seq')",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE TABLE mine ()",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "COPY orders FROM STDIN",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT pg_promote()",
        "SELECT pg_wal_replay_pause()",
        "ALTER SYSTEM SET hot_standby = off",
        "SELECT dblink_exec('', 'DELETE FROM orders')",
    ],
)
def test_a_superuser_cannot_write_there_nor_make_it_a_primary(gate: Gate, text: str) -> None:
    since = gate.length()
    with gate.waiting(0.0), gate.connect() as connection:
        with pytest.raises(psycopg.Error):
            connection.execute(text.encode())
        connection.execute("ROLLBACK")
        assert connection.execute(HERE).fetchone() == (True,)
        assert connection.execute(COUNT).fetchone() == (5000,)
    gate.check_trail(since)


def test_reads_never_fall_through_to_the_primary(gate: Gate) -> None:
    """The URL of a replica tier leads to the primary: there is no session at all."""
    since = gate.length()
    for _ in range(2):  # with and without a look before
        with pytest.raises(psycopg.OperationalError, match="is not a replica") as caught:
            gate.connect("wrong")
        assert "HP8015" in str(caught.value)
    refused = [body for kind, body in gate.trail(since) if kind == "session.refused"]
    assert "is not a replica" in refused[0]["reason"]


# --- several replicas, and the loss of one ------------------------------------------------------


def test_sessions_are_balanced_and_the_loss_of_one_server_costs_only_its_own(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with EmbeddedReplica(replicated.primary) as second:
        urls = {
            "primary": replicated.primary.url(database=shop),
            "replica": replicated.replica.url(database=shop),
            "second": second.url(database=shop),
        }
        with gate_before(tmp_path, SEVERAL, **urls) as gate:
            with gate.connect():  # until both have been looked at, one will do
                eventually(lambda: len(_good(gate, "replica")) == 2, "a look at both")
            sessions = [gate.connect() for _ in range(6)]
            ports = [port_of(each) for each in sessions]
            assert sorted(ports.count(port) for port in set(ports)) == [3, 3]
            gone = second.port
            second.stop()
            for session, port in zip(sessions, ports, strict=True):
                if port == gone:
                    with pytest.raises(psycopg.OperationalError):
                        session.execute(COUNT)
                else:
                    assert session.execute(COUNT).fetchone() == (5000,)
            for _ in range(3):
                with gate.connect() as connection:
                    assert port_of(connection) == replicated.replica.port
            for session in sessions:
                session.close()
            gate.check_trail()


def _good(gate: Gate, tier: str) -> list[str]:
    """The places of a tier's servers that are good, as the page about targets says."""
    assert gate.running is not None
    target = gate.config.targets[0]
    found = target.tier(tier)
    assert found is not None
    servers = gate.running.replicas.standing(target, found)
    return [each.place for each in servers if each.good]


def test_the_replica_serves_while_its_primary_is_down_and_until_it_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedPostgres(18, durable=False) as primary, EmbeddedReplica(primary) as replica:
        write(primary.url(), "CREATE TABLE notes (text text)")
        replica.wait_caught_up()
        tiers = SEVERAL.replace(', "file:DIR/second.url"', "")
        with gate_before(tmp_path, tiers, primary=primary.url(), replica=replica.url()) as gate:
            with gate.connect() as connection:
                primary.stop()
                assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
            with gate.connect() as connection:
                assert connection.execute(HERE).fetchone() == (True,)
            with pytest.raises(psycopg.OperationalError, match="cannot be reached"):
                gate.connect("write")
            promote(gate, replica, monkeypatch)


# --- promotion ----------------------------------------------------------------------------------


def promote(gate: Gate, replica: EmbeddedReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a session hears that its replica is one no more."""
    with gate.raw() as idle, gate.raw() as busy:
        assert idle.query(HERE) == "T D:t C:SELECT 1 ZI"
        busy.query(HERE)
        with monkeypatch.context() as patch:
            # No look comes in between: PostgreSQL 14 and later tell with the first answer.
            patch.setattr("holdpoint.engine.replicas.ReplicaSet._objection", lambda *_: None)
            replica.promote()
            assert busy.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
            busy.send(Q("SELECT 2"))
            assert "D:2" not in busy.rest()
        assert idle.rest() == "E:57P01"  # it has sent nothing
    for wire in (busy, idle):
        assert wire.errors[-1]["C"] == "57P01"
        assert wire.errors[-1]["M"].endswith("is no replica any more")
    with pytest.raises(psycopg.OperationalError, match=r"is not? (a )?replica"):
        gate.connect()
    gate.quiet()
    closed = [body for kind, body in gate.trail() if kind == "session.closed"]
    ended = [body["reason"] for body in closed if "reason" in body]
    assert [reason.endswith("is no replica any more") for reason in ended] == [True, True]


# --- lag ----------------------------------------------------------------------------------------


@pytest.fixture
def replica(replicated: Replicated, gate: Gate) -> Iterator[EmbeddedReplica]:
    """The replica behind the gate; up to date at the start and at the end."""
    replicated.replica.wait_caught_up()
    since = gate.length()
    yield replicated.replica
    replicated.replica.resume_replay()
    gate.check_trail(since)


def fall_behind(gate: Gate, replica: EmbeddedReplica, tier: str) -> None:
    """Stop the replay, commit at the primary, and wait until the gate and sessions know it."""
    replica.pause_replay()
    write(gate.direct)
    eventually(lambda: not _good(gate, tier), "the limit is passed")
    if tier != "say":
        eventually(lambda: not any(each.relay.plain for each in _sessions(gate)), "all have heard")


def _sessions(gate: Gate) -> tuple[Session, ...]:
    assert gate.running is not None
    return gate.running.door.sessions()


def test_statements_of_open_sessions_are_refused_while_it_lags(
    gate: Gate, replica: EmbeddedReplica
) -> None:
    since = gate.length()
    with gate.connect("refuse", prepare_threshold=0) as connection:
        assert connection.execute(COUNT).fetchone() == (5000,)  # prepared: the shortest way
        connection.execute("BEGIN")
        fall_behind(gate, replica, "refuse")
        [session] = _sessions(gate)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
            connection.execute(COUNT)
        assert "its replay is paused; the tier's limit is 1 s" in str(caught.value)
        assert caught.value.diag.message_detail == "HP8015"
        connection.execute("ROLLBACK")  # what was begun can be ended
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="its replay is paused"):
            gate.connect("refuse")
        with gate.connect("replica") as unlimited:  # a tier without a limit has none
            assert unlimited.execute(COUNT).fetchone() == (5000,)
        replica.resume_replay()
        eventually(lambda: session.relay.plain, "the session has heard")
        assert connection.execute(COUNT).fetchone() == (5000,)
    gate.quiet()
    denied = [text for kind, text in statements(gate.trail(since), since) if kind == "denied"]
    assert denied == [COUNT, "SELECT 1"]


def test_a_statement_waits_until_the_replica_has_caught_up(
    gate: Gate, replica: EmbeddedReplica
) -> None:
    with gate.connect("wait") as session:
        fall_behind(gate, replica, "wait")
        answers: list[object] = []
        threads = [
            threading.Thread(target=lambda: answers.append(session.execute(COUNT).fetchone())),
            threading.Thread(target=lambda: answers.append(_read_anew(gate, "wait"))),
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: any(each.is_at_gate for each in _sessions(gate)), "it has come")
        assert answers == []
        replica.resume_replay()
        for thread in threads:
            thread.join()
        assert answers == [(5000,), (5000,)]


def _read_anew(gate: Gate, tier: str) -> object:
    with gate.connect(tier) as connection:
        return connection.execute(COUNT).fetchone()


def test_nobody_waits_for_ever_and_a_wait_can_be_cancelled(
    gate: Gate, replica: EmbeddedReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gate.connect("wait") as session:
        fall_behind(gate, replica, "wait")

        def cancel() -> None:
            eventually(lambda: any(each.is_at_gate for each in _sessions(gate)), "it waits")
            session.cancel_safe()

        monkeypatch.setattr("holdpoint.model.limits.REPLICA_WAIT_S", DEADLINE_S)
        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute(COUNT)
        thread.join()
        monkeypatch.setattr("holdpoint.model.limits.REPLICA_WAIT_S", 0.2)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute(COUNT)
        with pytest.raises(psycopg.OperationalError, match="its replay is paused"):
            gate.connect("wait")


def test_what_was_approved_while_the_replica_fell_behind_does_not_run(
    gate: Gate, replica: EmbeddedReplica
) -> None:
    since = gate.length()
    text = "SELECT pg_sleep(0)"
    with gate.connect("refuse") as session:

        def approve() -> None:
            hold = gate.opened(text)
            fall_behind(gate, replica, "refuse")
            gate.answer(hold)

        thread = threading.Thread(target=approve)
        thread.start()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="refused: this"):
            session.execute(text)
        thread.join()
    gate.quiet()
    outcome = gate.outcome_of(text, since)
    assert (outcome["ran"], outcome["sqlstate"]) == (False, "55000")


def test_a_session_on_a_lagging_replica_is_told_so_at_its_start(
    gate: Gate, replica: EmbeddedReplica
) -> None:
    with gate.raw("say") as wire:
        assert _notices(wire) == []
    fall_behind(gate, replica, "say")
    with gate.raw("say") as wire:
        [notice] = _notices(wire)
        assert notice["M"].startswith("this replica is at most ")
        assert notice["S"] == "WARNING"
        assert wire.query(COUNT) == "T D:5000 C:SELECT 1 ZI"


def _notices(wire: Wire) -> list[dict[str, str]]:
    return [
        messages.parse_fields(frame.payload)
        for frame in wire.greeting
        if frame.kind == frames.NOTICE_RESPONSE
    ]
