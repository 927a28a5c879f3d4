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
from wire_client import Q, Wire

from holdpoint.config import load
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.store import Store
from holdpoint.wire.postgres import frames, messages, scram
from support.servers import Replicated, fresh_database

LIMIT = "500ms"
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


@contextmanager
def gate_before(
    folder: Path, primary: str, replicas: list[str], policy: str = ""
) -> Iterator[Gate]:
    """A gate with a tier on replicas, the default, and one on the primary."""
    for number, url in enumerate([primary, *replicas]):
        (folder / f"{number}.url").write_text(url)
    urls = ", ".join(f'"file:{folder}/{number + 1}.url"' for number in range(len(replicas)))
    path = folder / "holdpoint.toml"
    path.write_text(
        '[server]\nlisten = "127.0.0.1:0"\nweb = "127.0.0.1:0"\n[targets.shop]\n'
        f'[targets.shop.tiers.replica]\naccess = "read-only"\nurl = [{urls}]\nreplica = true\n'
        f'{policy}\n[targets.shop.tiers.write]\naccess = "read-write"\n'
        f'url = "file:{folder}/0.url"\n'
    )
    config = load(path)
    with Store.open(config.server.store) as store:
        for agent in AGENTS:
            verifier = scram.make_verifier(SECRET, secrets.token_bytes(16), 4096)
            store.agents.add(agent, "sam", verifier, datetime.now(UTC))
    with Gate(config, primary) as gate:
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
    """Its replica tier leads to the replica as a superuser: far too much, on purpose."""
    primary, replica = replicated.primary.url(database=shop), replicated.replica.url(database=shop)
    with gate_before(tmp_path_factory.mktemp("replicas"), primary, [replica]) as gate:
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


def test_reads_never_fall_through_to_the_primary(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    """The URL of the replica tier leads to the primary: there is no session at all."""
    primary = replicated.primary.url(database=shop)
    with gate_before(tmp_path, primary, [primary]) as gate:
        with pytest.raises(psycopg.OperationalError, match="is not a replica") as caught:
            gate.connect()
        assert "HP8015" in str(caught.value)
        with gate.connect("write") as connection:  # the other tier is none the worse
            assert connection.execute(HERE).fetchone() == (False,)
    [refused] = [body for kind, body in gate.trail() if kind == "session.refused"]
    assert "is not a replica" in refused["reason"]


# --- several replicas, and the loss of one ------------------------------------------------------


def test_sessions_are_balanced_and_the_loss_of_one_server_costs_only_its_own(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with EmbeddedReplica(replicated.primary) as second:
        servers = [replicated.replica.url(database=shop), second.url(database=shop)]
        with gate_before(tmp_path, replicated.primary.url(database=shop), servers) as gate:
            with gate.connect():  # until both have been looked at, one will do
                eventually(lambda: len(_good(gate)) == 2, "a look at both")
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


def _good(gate: Gate) -> list[str]:
    """The places of the replica tier's servers that are good, as the page about targets says."""
    assert gate.running is not None
    target = gate.config.targets[0]
    servers = gate.running.replicas.standing(target, target.tiers[0])
    return [each.place for each in servers if each.good]


def test_the_replica_serves_while_its_primary_is_down(tmp_path: Path) -> None:
    with EmbeddedPostgres(18, durable=False) as primary, EmbeddedReplica(primary) as replica:
        write(primary.url(), "CREATE TABLE notes (text text)")
        replica.wait_caught_up()
        with gate_before(tmp_path, primary.url(), [replica.url()]) as gate:
            with gate.connect() as connection:
                primary.stop()
                assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
            with gate.connect() as connection:
                assert connection.execute(HERE).fetchone() == (True,)
            with pytest.raises(psycopg.OperationalError, match="cannot be reached"):
                gate.connect("write")


# --- promotion ----------------------------------------------------------------------------------


@pytest.fixture
def doomed(
    replicated: Replicated, shop: str, tmp_path: Path
) -> Iterator[tuple[Gate, EmbeddedReplica]]:
    """A gate before a replica that the test may promote."""
    with EmbeddedReplica(replicated.primary) as replica:
        primary = replicated.primary.url(database=shop)
        with gate_before(tmp_path, primary, [replica.url(database=shop)]) as gate:
            yield gate, replica


def test_an_idle_session_ends_when_its_replica_is_promoted(
    doomed: tuple[Gate, EmbeddedReplica],
) -> None:
    gate, replica = doomed
    with gate.raw() as wire:
        assert wire.query(HERE) == "T D:t C:SELECT 1 ZI"
        replica.promote()
        assert wire.rest() == "E:57P01"
        assert wire.errors[-1]["M"].endswith("is no replica any more")
    with pytest.raises(psycopg.OperationalError, match=r"is not? (a )?replica"):
        gate.connect()
    gate.quiet()
    closed = [body for kind, body in gate.trail() if kind == "session.closed"]
    assert closed[0]["reason"].endswith("is no replica any more")


def test_after_the_servers_own_word_nothing_more_is_sent(
    doomed: tuple[Gate, EmbeddedReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look comes in between: PostgreSQL 14 and later tell with the first answer."""
    gate, replica = doomed
    with gate.raw() as wire:
        wire.query(HERE)
        monkeypatch.setattr("holdpoint.engine.replicas.ReplicaSet._objection", lambda *_: None)
        replica.promote()
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        wire.send(Q("SELECT 2"))
        assert "D:2" not in wire.rest()
        assert wire.errors[-1]["C"] == "57P01"


# --- lag ----------------------------------------------------------------------------------------


@contextmanager
def lagging(
    replicated: Replicated, shop: str, folder: Path, when: str
) -> Iterator[tuple[Gate, EmbeddedReplica]]:
    """A gate before a replica of its own, with a limit; the replica is up to date so far."""
    with EmbeddedReplica(replicated.primary) as replica:
        policy = f'lag_over = "{LIMIT}"\nwhen_lagging = "{when}"\n'
        urls = [replica.url(database=shop)]
        with gate_before(folder, replicated.primary.url(database=shop), urls, policy) as gate:
            yield gate, replica


def fall_behind(gate: Gate, replica: EmbeddedReplica) -> None:
    """Stop the replay, commit at the primary, and wait until the gate has seen it."""
    replica.pause_replay()
    write(gate.direct)
    eventually(lambda: not _good(gate), "the limit is passed")


def test_statements_of_open_sessions_are_refused_while_it_lags(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with lagging(replicated, shop, tmp_path, "refuse") as (gate, replica):
        with gate.connect(prepare_threshold=0) as connection:
            assert connection.execute(COUNT).fetchone() == (5000,)  # prepared: the shortest way
            connection.execute("BEGIN")
            fall_behind(gate, replica)
            session = next(iter(gate.running.door._sessions.values()))  # type: ignore[union-attr]
            eventually(lambda: not session.relay.plain, "the session has heard")
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
                connection.execute(COUNT)
            assert "its replay is paused; the tier's limit is 0.5 s" in str(caught.value)
            assert caught.value.diag.message_detail == "HP8015"
            connection.execute("ROLLBACK")  # what was begun can be ended
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                connection.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="its replay is paused"):
                gate.connect()
            replica.resume_replay()
            eventually(lambda: session.relay.plain, "the session has heard")
            assert connection.execute(COUNT).fetchone() == (5000,)
        gate.check_trail()
        denied = [text for kind, text in statements(gate.trail()) if kind == "denied"]
        assert denied == [COUNT, "SELECT 1"]


def test_a_statement_waits_until_the_replica_has_caught_up(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with lagging(replicated, shop, tmp_path, "wait") as (gate, replica), gate.connect() as session:
        fall_behind(gate, replica)
        answers: list[object] = []
        threads = [
            threading.Thread(target=lambda: answers.append(session.execute(COUNT).fetchone())),
            threading.Thread(target=lambda: answers.append(_read_anew(gate))),
        ]
        for thread in threads:
            thread.start()
        door = gate.running.door  # type: ignore[union-attr]
        eventually(
            lambda: any(each._passage is not None for each in door.sessions()), "it has come"
        )
        assert answers == []
        replica.resume_replay()
        for thread in threads:
            thread.join()
        assert answers == [(5000,), (5000,)]


def _read_anew(gate: Gate) -> object:
    with gate.connect() as connection:
        return connection.execute(COUNT).fetchone()


def test_nobody_waits_for_ever(
    replicated: Replicated, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lagging(replicated, shop, tmp_path, "wait") as (gate, replica), gate.connect() as session:
        fall_behind(gate, replica)
        monkeypatch.setattr("holdpoint.model.limits.REPLICA_WAIT_S", 0.2)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute(COUNT)
        with pytest.raises(psycopg.OperationalError, match="its replay is paused"):
            gate.connect()


def test_a_statement_that_waits_can_be_cancelled(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with lagging(replicated, shop, tmp_path, "wait") as (gate, replica), gate.connect() as session:
        fall_behind(gate, replica)
        door = gate.running.door  # type: ignore[union-attr]

        def cancel() -> None:
            waits = [each for each in door.sessions() if each._passage is not None]
            eventually(lambda: any(_waits(each) for each in door.sessions()), str(waits))
            session.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute(COUNT)
        thread.join()


def _waits(session: object) -> bool:
    passage = session._passage  # type: ignore[attr-defined]
    return passage is not None and passage.is_waiting


def test_a_session_on_a_lagging_replica_is_told_so_at_its_start(
    replicated: Replicated, shop: str, tmp_path: Path
) -> None:
    with lagging(replicated, shop, tmp_path, "say") as (gate, replica):
        with gate.raw() as wire:
            assert _notices(wire) == []
        fall_behind(gate, replica)
        with gate.raw() as wire:
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
