"""Tasks and agents' secrets through real sign-ins: what they open, and how they end."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from door_support import SECRET, TABLES, Gate, eventually, free_port
from sqlalchemy import update
from wire_client import DEADLINE_S, Q, RefusedError, Wire

from holdpoint.config.values import Address
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine import journal, tasks
from holdpoint.model import limits
from holdpoint.model.hold import HoldState
from holdpoint.model.record import RecordKind
from holdpoint.model.task import Task
from holdpoint.store import Store, agents
from holdpoint.store.tables import CREDENTIALS
from holdpoint.store.times import to_us
from holdpoint.wire.postgres import frames
from holdpoint.wire.postgres.frames import frame
from holdpoint.wire.postgres.scram import make_verifier
from support.servers import fresh_database

HOUR = timedelta(hours=1)
ALLOWANCES = """
[[targets.shop.tiers.write.allow]]
agents = ["gpt"]
[[targets.shop.tiers.owner.allow]]
agents = ["nobody"]
"""
TOKEN = "hpa_" + "s" * 43
UPDATE = "UPDATE orders SET status = 'mine' WHERE id = 1"


@pytest.fixture(scope="module")
def shop(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate whose write tier is for agent `gpt`, and whose owner tier is for nobody."""
    with (
        pytest.MonkeyPatch.context() as patch,
        fresh_database(postgres18, TABLES) as name,
        pages_at_a_known_port(
            Gate.at(
                tmp_path_factory.mktemp("tasks"), postgres18.url(database=name), more=ALLOWANCES
            )
        ) as gate,
    ):
        patch.setattr(limits, "WATCH_S", 0.1)
        yield gate


def pages_at_a_known_port(gate: Gate) -> Gate:
    """The same gate, whose pages can be asked."""
    port = free_port()
    web = {"web": Address("127.0.0.1", port), "web_url": f"http://127.0.0.1:{port}"}
    gate.config = replace(gate.config, server=replace(gate.config.server, **web))
    return gate


def verifier(secret: str = SECRET) -> str:
    return make_verifier(secret, secrets.token_bytes(16))


def give(gate: Gate, *tiers: str, agent: str = "claude", expires: timedelta = HOUR) -> str:
    """Start a task as `holdpoint task start` does while the gate runs; its id."""
    now = datetime.now(UTC)
    asked = Task(
        id="", agent=agent, description="mend it", created_by="sam", created_at=now,
        expires_at=now + expires, tiers=tiers,
    )  # fmt: skip
    kept: list[Task] = []

    def work(connection: Any) -> dict[str, Any]:
        kept.append(tasks.start(connection, asked, verifier()))
        return tasks.started_body(kept[-1])

    with Store.open(gate.config.server.store) as store:
        journal.change(store, RecordKind.TASK_STARTED, work)
    return kept[-1].id


def end(gate: Gate, task: str) -> None:
    with Store.open(gate.config.server.store) as store:
        journal.change(
            store, RecordKind.TASK_ENDED, lambda each: tasks.end(each, task, datetime.now(UTC))
        )


def rotate(gate: Gate, agent: str, secret: str) -> None:
    with Store.open(gate.config.server.store) as store:
        store.agents.rotate(agent, verifier(secret), datetime.now(UTC))


def refusal(gate: Gate, name: str, secret: str = SECRET, database: str = "shop") -> dict[str, str]:
    """What somebody who is turned away is told."""
    with Wire.open(gate.port) as wire, pytest.raises(RefusedError) as refused:
        wire.sign_in(name, secret, database)
    return refused.value.fields


def recorded(gate: Gate, kind: str, since: int) -> list[dict[str, Any]]:
    return [body for each, body in gate.trail(since) if each == kind]


def fatal(wire: Wire) -> dict[str, str]:
    """Read until the server closes; the last error."""
    wire.rest()
    return wire.errors[-1]


def test_a_task_signs_in_and_the_trail_names_agent_and_task(shop: Gate) -> None:
    since = shop.length()
    task = give(shop)
    with shop.connect(agent=task) as connection:
        assert connection.execute("SELECT status FROM orders WHERE id = 7").fetchone() == ("new",)
        connection.execute("EXPLAIN ANALYZE SELECT 1")
    shop.quiet()
    (opened,) = recorded(shop, "session.opened", since)
    assert (opened["agent"], opened["task"], opened["tier"]) == ("claude", task, "replica")
    assert all(
        (body["agent"], body["task"]) == ("claude", task)
        for body in recorded(shop, "statement.started", since)
    )
    assert shop.report().ok, "a record that a command wrote beside the server is in the chain"


def test_a_tier_given_to_a_task_is_open_to_it_and_to_nothing_else(shop: Gate) -> None:
    given, other = give(shop, "shop/write"), give(shop)
    with shop.connect("write", agent=given) as connection:
        connection.execute("UPDATE orders SET status = 'done' WHERE id = 2")
    for name in (other, "claude"):
        assert "may not use" in refusal(shop, name, database="shop/write")["M"]
    for name in (given, other):
        assert "may not use" in refusal(shop, name, database="shop/owner")["M"]
    with shop.connect(agent=given) as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",), "the least"


@pytest.mark.parametrize("what", ["expired", "ended", "revoked agent", "rotated", "unknown"])
def test_who_may_not_come_in_is_told_nothing_and_the_trail_is(shop: Gate, what: str) -> None:
    since = shop.length()
    name, secret, why = "t-ZZZZZZ", SECRET, "no agent or task has this name"
    if what == "expired":
        name, why = give(shop, expires=timedelta(microseconds=1)), "expired at"
    elif what == "ended":
        name = give(shop)
        end(shop, name)
        why = "was ended at"
    elif what == "revoked agent":
        with Store.open(shop.config.server.store) as store, store.database.writing() as connection:
            agents.add(connection, "leaver", "sam", verifier(), datetime.now(UTC))
        name = give(shop, agent="leaver")
        with Store.open(shop.config.server.store) as store:
            store.agents.revoke("leaver", datetime.now(UTC))
        why = "agent `leaver` was revoked"
    elif what == "rotated":
        name, secret, why = "claude", "an old secret", "the secret was wrong"
    told = refusal(shop, name, secret)
    wrong = refusal(shop, "claude", "a wrong secret")
    assert {key: value.replace(name, "claude") for key, value in told.items()} == wrong
    first = recorded(shop, "session.refused", since)[0]
    assert first["agent"] == name
    assert why in first["reason"]


def test_what_a_name_is_asked_with_does_not_tell_whether_it_exists(shop: Gate) -> None:
    """Salt and iterations of an unknown name stay the same, and those of a task that ends."""
    task = give(shop)
    before = {name: challenge(shop, name) for name in (task, "t-000000")}
    end(shop, task)
    assert {name: challenge(shop, name) for name in before} == before
    assert len({salt for salt, _ in before.values()}) == 2
    assert len({count for _, count in before.values()}) == 1


def challenge(gate: Gate, name: str) -> tuple[str, str]:
    """The salt and the iterations that a name is asked with."""
    from holdpoint.wire.postgres import messages, startup

    with Wire.open(gate.port) as wire:
        wire.send(startup.startup_message({"user": name, "database": "shop"}))
        wire.frame()
        wire.send(messages.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqrst"))
        found = messages.parse_authentication(wire.frame().payload).data.decode()
    parts = dict(part.split("=", 1) for part in found.split(","))
    return parts["s"], parts["i"]


@pytest.mark.parametrize("what", ["end", "expire", "revoke", "rotate"])
def test_access_that_is_taken_away_ends_open_sessions(shop: Gate, what: str) -> None:
    since = shop.length()
    agent = f"robin-{what}"
    with Store.open(shop.config.server.store) as store:
        store.agents.add(agent, "sam", verifier(), datetime.now(UTC))
    name = agent if what == "rotate" else give(shop, agent=agent)
    with shop.raw("replica", agent=name) as wire, shop.connect() as other:
        words = {"end": "was ended", "expire": "expired", "revoke": "was revoked"}
        if what == "end":
            end(shop, name)
        elif what == "expire":
            with Store.open(shop.config.server.store) as store, store.database.writing() as each:
                change = update(CREDENTIALS).where(CREDENTIALS.c.login == name)
                each.execute(change.values(expires_at=to_us(datetime.now(UTC))))
        elif what == "revoke":
            with Store.open(shop.config.server.store) as store:
                store.agents.revoke(agent, datetime.now(UTC))
        elif what == "rotate":
            rotate(shop, agent, "a new secret")
        told = fatal(wire)
        assert (told["S"], told["C"]) == ("FATAL", "57P01")
        assert words.get(what, "was replaced") in told["M"]
        assert other.execute("SELECT 1").fetchone() == (1,), "nobody else is touched"
    shop.quiet()
    closed = {body["agent"]: body for body in recorded(shop, "session.closed", since)}
    assert closed[agent]["reason"] == told["M"]
    assert "reason" not in closed["claude"]


def test_a_session_of_the_new_secret_outlives_the_old_one(shop: Gate) -> None:
    with Store.open(shop.config.server.store) as store:
        store.agents.add("keeper", "sam", verifier(), datetime.now(UTC))
    with shop.raw("replica", agent="keeper") as old:
        rotate(shop, "keeper", "a new secret")
        with Wire.connect(shop.port, "keeper", "a new secret", "shop") as new:
            assert "was replaced" in fatal(old)["M"]
            assert new.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_what_runs_is_cancelled_and_nothing_of_it_stays(shop: Gate) -> None:
    since = shop.length()
    task = give(shop, "shop/write")
    with psycopg.connect(shop.direct) as blocker, shop.raw("write", agent=task) as wire:
        blocker.execute("SELECT FROM orders WHERE id = 1 FOR UPDATE")
        wire.send(Q(UPDATE))
        waits_for_lock(shop)
        end(shop, task)
        told = fatal(wire)
        assert told["C"] == "57P01"
        assert "57014" in [each["C"] for each in wire.errors], "the server cancelled it"
        blocker.rollback()
        assert blocker.execute("SELECT status FROM orders WHERE id = 1").fetchone() == ("new",)
    shop.check_trail(since)
    assert shop.outcome_of(UPDATE, since)["sqlstate"] == "57014"


def test_rows_that_still_come_are_not_taken(shop: Gate) -> None:
    since = shop.length()
    task = give(shop, "shop/write")
    with shop.raw("write", agent=task) as wire:
        wire.send(Q("COPY markers FROM STDIN"))
        assert wire.until("G")[-1] == "G"
        wire.send(frame(frames.COPY_DATA, b"first\n"))
        end(shop, task)
        assert fatal(wire)["C"] == "57P01"
    with psycopg.connect(shop.direct) as connection:
        assert connection.execute("SELECT count(*) FROM markers").fetchone() == (0,)
    shop.check_trail(since)


def test_what_was_sent_in_one_go_does_not_go_on(shop: Gate) -> None:
    """The statement behind the one that runs is not begun, and a transaction is rolled back."""
    since = shop.length()
    task = give(shop, "shop/write")
    with psycopg.connect(shop.direct) as blocker, shop.raw("write", agent=task) as wire:
        blocker.execute("SELECT FROM orders WHERE id = 1 FOR UPDATE")
        wire.query("BEGIN")
        wire.query("UPDATE orders SET status = 'mine' WHERE id = 5")
        wire.send(Q(UPDATE), Q("UPDATE orders SET status = 'mine' WHERE id = 6"), Q("COMMIT"))
        waits_for_lock(shop)
        end(shop, task)
        assert fatal(wire)["C"] == "57P01"
        blocker.rollback()
        taken = "SELECT count(*) FROM orders WHERE status = 'mine'"
        assert blocker.execute(taken).fetchone() == (0,)
    shop.check_trail(since)


def test_a_statement_that_waits_for_people_does_not_survive_its_task(shop: Gate) -> None:
    task = give(shop, "shop/write")
    with shop.raw("write", agent=task) as wire:
        wire.send(Q("DELETE FROM orders"))
        hold = shop.opened("DELETE FROM orders")
        assert hold.task == task
        end(shop, task)
        assert fatal(wire)["C"] == "57P01"
    eventually(lambda: shop.hold(hold.id).state.value == "abandoned", "the end of the hold")
    with psycopg.connect(shop.direct) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (5000,)


def test_a_client_that_does_not_read_is_cut_off(
    shop: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENDING_S", 0.3)
    task = give(shop)
    with shop.raw("replica", agent=task) as wire:
        wire.send(Q("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"))
        eventually(lambda: backends(shop, "active"), "the statement")
        end(shop, task)
        eventually(lambda: not backends(shop, "active"), "the end of the statement")
        eventually(lambda: shop.running.door.session_count == 0, "the end of the session")
        wire.rest()


def waits_for_lock(gate: Gate) -> None:
    eventually(lambda: backends(gate, "active", "Lock"), "a statement that waits for a lock")


def backends(gate: Gate, state: str, waits: str = "") -> int:
    """How many other client sessions of the database are in a state, waiting for something."""
    with psycopg.connect(gate.direct, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state = %s"
            " AND (%s = '' OR wait_event_type = %s)",
            (state, waits, waits),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_an_approval_is_for_the_task_that_asked(shop: Gate) -> None:
    """People saw what the task is; another task of the same agent has to ask for itself."""
    asked, other = give(shop, "shop/write"), give(shop, "shop/write")
    text = "DELETE FROM markers"
    with (
        shop.waiting(0.0),
        shop.raw("write", agent=asked) as mine,
        shop.raw("write", agent=other) as theirs,
    ):
        assert mine.query(text).endswith("E:HP001 ZI")
        hold = shop.opened(text)
        shop.answer(hold)
        assert theirs.query(text).endswith("E:HP001 ZI")
        assert mine.query(text) == "C:DELETE 0 ZI"
    assert shop.hold(hold.id).state.value == "claimed"
    for each in shop.holds(HoldState.OPEN):
        shop.on_loop(shop.book.end(each.id, HoldState.EXPIRED))


def test_an_agent_asks_for_a_tier_and_uses_it(shop: Gate) -> None:
    """From the refusal through the request and the answer to the first row that changes."""
    since = shop.length()
    with Store.open(shop.config.server.store) as store:
        store.agents.add("asker", "sam", verifier(TOKEN), datetime.now(UTC))
    hint = refusal(shop, "asker", TOKEN, "shop/write")["H"]
    assert "holdpoint task request shop/write" in hint
    pages = {"base_url": shop.config.server.web_url, "auth": ("asker", TOKEN)}
    with httpx2.Client(**pages, timeout=DEADLINE_S) as client:
        body = {"tier": "shop/write", "reason": "mend order 4", "for_s": 600}
        asked = client.post("/agent/requests", json=body).json()["request"]
        shop.answer(shop.hold(asked["id"]))
        got = client.post(f"/agent/requests/{asked['id']}/collect", json={}).json()
    with psycopg.connect(got["connection"], autocommit=True) as connection:
        connection.execute("UPDATE orders SET status = 'mended' WHERE id = 4")
    assert "may not use" in refusal(shop, "asker", TOKEN, "shop/write")["M"], "only the task may"
    shop.check_trail(since)
    (started,) = recorded(shop, "statement.started", since)
    assert (started["agent"], started["task"]) == ("asker", got["task"]["id"])


def test_changes_beside_a_busy_server_leave_the_chain_whole(shop: Gate) -> None:
    """Commands and the server append to one trail at the same time."""
    since = shop.length()
    gone = threading.Event()

    def busy() -> None:
        with shop.connect("write", agent="gpt") as connection:
            while not gone.is_set():
                connection.execute("UPDATE orders SET status = 'x' WHERE id = 3")

    thread = threading.Thread(target=busy)
    thread.start()
    given = [give(shop) for _ in range(15)]
    gone.set()
    thread.join(DEADLINE_S)
    shop.check_trail(since)
    assert [body["task"] for body in recorded(shop, "task.started", since)] == given
