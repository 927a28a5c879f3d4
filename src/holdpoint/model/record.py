"""Entries of the audit trail: what they are called and what they must say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RecordKind(StrEnum):
    """The closed set of record kinds."""

    TRAIL_OPENED = "trail.opened"  # the server started; names the policy and the key
    TRAIL_CLOSED = "trail.closed"
    SESSION_OPENED = "session.opened"
    SESSION_REFUSED = "session.refused"
    SESSION_CLOSED = "session.closed"
    STATEMENT_DENIED = "statement.denied"
    STATEMENT_HELD = "statement.held"
    STATEMENT_STARTED = "statement.started"
    STATEMENT_FINISHED = "statement.finished"
    STATEMENT_OUTCOME_UNKNOWN = "statement.outcome_unknown"  # started, and then the gate died
    READS = "reads"  # a group of plain reads: intents and outcomes
    HOLD_ANSWERED = "hold.answered"
    HOLD_ENDED = "hold.ended"
    TIER_REQUESTED = "tier.requested"  # a hold like any other: an agent asks for a tier
    TASK_STARTED = "task.started"
    TASK_ENDED = "task.ended"  # before its time: by a person
    AGENT_ADDED = "agent.added"
    AGENT_REVOKED = "agent.revoked"
    CREDENTIAL_ROTATED = "credential.rotated"  # an agent has a new secret, the old one is dead


@dataclass(frozen=True, slots=True)
class Record:
    """One entry before it is chained. ``body`` holds only JSON values without floats (RFC 8785)."""

    kind: RecordKind
    body: dict[str, Any]
