"""The demo's agent: a real client that reads, writes, is held, and goes on after the answer.

It is scripted, so that the demo is the same everywhere, but it knows no more than any agent does:
a connection string, and what errors, notices and hints tell it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, LiteralString

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo

# What the gate's errors and notices say to any client.
GATE_CLASS: Final = "HP"
HELD_STATE: Final = "HP001"
REJECTED_STATE: Final = "HP002"
GATE_REFUSES: Final = "refused: "  # with the server's own code for missing rights, 42501
RETRY_S: Final = 1.0  # chosen: how soon an agent with a ticket asks again
ANSWER_TIMEOUT_S: Final = 15 * 60.0  # chosen: half a hold's life; then the agent gives up
CONNECT_TIMEOUT_S: Final = 10


class Voice(StrEnum):
    """What a line of the agent's narration is."""

    THOUGHT = "thought"
    SQL = "sql"
    RESULT = "result"
    HELD = "held"
    REFUSED = "refused"


class Ending(StrEnum):
    """How one act ended, as the client saw it."""

    AT_ONCE = "ran at once"
    AFTER_ANSWER = "ran after a person approved it"
    REJECTED = "rejected by a person"
    REFUSED = "refused by the policy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing the agent does. ``tier`` is empty for the target's default tier."""

    name: str
    thought: str
    text: LiteralString
    tier: str = ""
    only_after_rejection: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An act and its end. ``rows`` is the server's count, -1 if it gave none.

    ``replica`` tells whether it ran on one.
    """

    act: Act
    ending: Ending
    rows: int = -1
    replica: bool = False
    message: str = ""
    seconds: float = 0.0


ACTS: Final = (
    Act(
        name="read",
        thought="Which orders are stuck? I look at the replica first.",
        text="SELECT status, count(*) FROM orders GROUP BY status ORDER BY status",
    ),
    Act(
        name="scoped write",
        thought="Order 118000 was picked up this morning; I mark it as shipped.",
        text="UPDATE orders SET status = 'shipped', shipped_at = now() WHERE id = 118000",
        tier="write",
    ),
    Act(
        name="broad delete",
        thought="Cancelled orders make reports slow. I clear them all away.",
        text="DELETE FROM orders WHERE status = 'cancelled'",
        tier="write",
    ),
    Act(
        name="bulk update",
        thought="The task says `10 % off`. I lower the prices.",
        text="UPDATE products SET price = round(price * 0.9, 2)",
        tier="write",
    ),
    Act(
        name="narrower update",
        thought="A person said no, so I read the task again: only discontinued products.",
        text="UPDATE products SET price = round(price * 0.9, 2) WHERE discontinued",
        tier="write",
        only_after_rejection=True,
    ),
    Act(
        name="drop",
        thought="The audit table is large. I could drop it.",
        text="DROP TABLE audit_log",
        tier="write",
    ),
)


def play(
    dsn: str, say: Callable[[Voice, str], None], acts: tuple[Act, ...] = ACTS
) -> tuple[Played, ...]:
    """Play ``acts`` through the gate at ``dsn``, narrating; returns how each of them ended.

    ``dsn`` names the target as its database; the tier is added as ``target/tier``. Raises
    ``psycopg.OperationalError`` when the gate cannot be reached.
    """
    target = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    connections: dict[str, psycopg.Connection] = {}
    played: list[Played] = []
    try:
        for act in acts:
            if act.only_after_rejection and played[-1].ending is not Ending.REJECTED:
                continue
            if act.tier not in connections:
                database = f"{target}/{act.tier}" if act.tier else str(target)
                connections[act.tier] = connect(make_conninfo(dsn, dbname=database), say)
            say(Voice.THOUGHT, act.thought)
            say(Voice.SQL, act.text)
            played.append(perform(connections[act.tier], act, say))
            if connections[act.tier].closed:
                break  # the gate is gone
    finally:
        for connection in connections.values():
            connection.close()
    return tuple(played)


def connect(dsn: str, say: Callable[[Voice, str], None]) -> psycopg.Connection:
    """Open one session at the gate; what the gate says while a statement waits is narrated."""
    connection = psycopg.connect(
        dsn,
        autocommit=True,
        application_name="holdpoint demo agent",
        connect_timeout=CONNECT_TIMEOUT_S,
    )
    connection.add_notice_handler(
        lambda notice: say(Voice.HELD, sentence(notice.message_primary, notice.message_hint))
    )
    return connection


def perform(connection: psycopg.Connection, act: Act, say: Callable[[Voice, str], None]) -> Played:
    """Send one statement; with a ticket, send it again until there is an answer."""
    held = False

    def hear(notice: errors.Diagnostic) -> None:
        nonlocal held
        held = held or (notice.sqlstate or "").startswith(GATE_CLASS)

    connection.add_notice_handler(hear)
    began = time.monotonic()
    try:
        while True:
            try:
                cursor = connection.execute(act.text)
            except psycopg.Error as error:
                seconds = time.monotonic() - began
                if error.sqlstate != HELD_STATE or seconds > ANSWER_TIMEOUT_S:
                    return refused(act, error, seconds, say)
                if not held:
                    say(Voice.HELD, sentence(error.diag.message_primary, error.diag.message_hint))
                held = True
                time.sleep(RETRY_S)
                continue
            seconds = time.monotonic() - began
            ending = Ending.AFTER_ANSWER if held else Ending.AT_ONCE
            # What PostgreSQL 14 and later tell every client.
            replica = connection.info.parameter_status("in_hot_standby") == "on"
            where = " on a replica" if replica else ""
            words = f"{cursor.statusmessage}: {ending}{where} ({seconds * 1000:,.0f} ms)"
            say(Voice.RESULT, words)
            return Played(
                act=act, ending=ending, rows=cursor.rowcount, replica=replica, seconds=seconds
            )
    finally:
        connection.remove_notice_handler(hear)


def refused(
    act: Act, error: psycopg.Error, seconds: float, say: Callable[[Voice, str], None]
) -> Played:
    """Say what was refused, and tell a person's no, the policy's no and any other error apart."""
    message = error.diag.message_primary or str(error)
    say(Voice.REFUSED, sentence(message, error.diag.message_hint))
    ending = Ending.FAILED
    if error.sqlstate == REJECTED_STATE:
        ending = Ending.REJECTED
    elif isinstance(error, errors.InsufficientPrivilege) and message.startswith(GATE_REFUSES):
        ending = Ending.REFUSED
    return Played(act=act, ending=ending, message=message, seconds=seconds)


def sentence(message: str | None, hint: str | None) -> str:
    """A message and its hint on one line."""
    return f"{message or ''} ({hint})" if hint else message or ""
