"""Holds and the answers to them; the state machine is a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.finding import Finding


class HoldState(StrEnum):
    """Where a hold stands. The last six are ends, never merged with each other."""

    OPEN = "open"
    APPROVED = "approved"  # answered yes, not yet used
    CLAIMED = "claimed"  # used: the statement ran, once
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABANDONED = "abandoned"  # the client went away while it waited
    CANCELLED = "cancelled"  # the client sent CancelRequest
    SUPERSEDED = "superseded"  # the facts grew past what was approved


TRANSITIONS: Final[dict[HoldState, frozenset[HoldState]]] = {
    HoldState.OPEN: frozenset(
        {
            HoldState.APPROVED,
            HoldState.REJECTED,
            HoldState.EXPIRED,
            HoldState.ABANDONED,
            HoldState.CANCELLED,
        }
    ),
    HoldState.APPROVED: frozenset({HoldState.CLAIMED, HoldState.EXPIRED, HoldState.SUPERSEDED}),
    HoldState.CLAIMED: frozenset(),
    HoldState.REJECTED: frozenset(),
    HoldState.EXPIRED: frozenset(),
    HoldState.ABANDONED: frozenset(),
    HoldState.CANCELLED: frozenset(),
    HoldState.SUPERSEDED: frozenset(),
}


class Answer(StrEnum):
    """One person's answer."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's answer to one hold."""

    hold_id: str
    approver: str
    answer: Answer
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A submission that waits for people.

    ``digest`` binds it to text, parameters, target, tier, role, row bound and policy. ``case_json``
    is exactly what the human sees (see ``gate.case_document``). Times are aware, UTC.
    """

    id: str
    digest: str
    agent: str
    task: str
    session: str
    target: str
    tier: str
    summary: str
    case_json: str
    findings: tuple[Finding, ...]
    need: ApprovalNeed
    state: HoldState
    created_at: datetime
    expires_at: datetime
    approvals: tuple[Approval, ...] = ()
