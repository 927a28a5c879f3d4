"""The rules of answering a hold, applied inside the transaction that keeps the answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from holdpoint.engine.quorum import eligible, satisfied
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Answer, Approval, Hold, HoldState
from holdpoint.store import agents, people
from holdpoint.store import holds as rows
from holdpoint.store.names import folded

ANSWER_CODE = "HP8010"


class AnswerRefused(Exception):
    """An answer does not count; ``finding`` says why in the shape of every door."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.finding = Finding(code=ANSWER_CODE, message=message, hint=hint)


def add(connection: Connection, approval: Approval, groups: frozenset[str]) -> Hold:
    """Check and keep one answer and move the hold if it decides; returns the hold as it stands.

    Raises ``AnswerRefused``. The caller's transaction is the only writer, so that what is checked
    here still holds when it commits.
    """
    hold = rows.get(connection, approval.hold_id)
    if hold is None:
        raise AnswerRefused(f"there is no hold `{approval.hold_id}`", "check the id")
    _check_hold(hold, approval)
    _check_person(connection, hold, approval, groups)
    rows.insert_approval(connection, approval, groups)
    state = _state_after(connection, hold, approval)
    if state is not HoldState.OPEN and not rows.move(connection, hold.id, state):
        raise AnswerRefused(f"hold `{hold.id}` was answered in the meantime", "look at it again")
    after = rows.get(connection, hold.id)
    assert after is not None, "it is in this transaction"
    return after


def answered_body(hold: Hold, approval: Approval) -> dict[str, Any]:
    """Return the record of an answer; ``state`` is where the hold stands after it."""
    return {
        "hold": hold.id,
        "digest": hold.digest,
        "agent": hold.agent,
        "approver": approval.approver,
        "answer": approval.answer.value,
        "note": approval.note,
        "state": hold.state.value,
    }


def _check_hold(hold: Hold, approval: Approval) -> None:
    if hold.state is not HoldState.OPEN:
        raise AnswerRefused(
            f"hold `{hold.id}` is {hold.state.value}, no longer open", "nothing is left to answer"
        )
    if hold.expires_at <= approval.at:
        raise AnswerRefused(
            f"hold `{hold.id}` expired at {hold.expires_at:%H:%M:%S} UTC",
            "the agent can send the statement again",
        )
    if len(approval.note) > limits.NOTE_CHARS_MAX:
        raise AnswerRefused(
            f"the note has {len(approval.note):,} characters; {limits.NOTE_CHARS_MAX:,} fit",
            "shorten it",
        )
    if any(folded(given.approver) == folded(approval.approver) for given in hold.approvals):
        raise AnswerRefused(
            f"`{approval.approver}` has answered hold `{hold.id}` already",
            "one answer per person counts",
        )


def _check_person(
    connection: Connection, hold: Hold, approval: Approval, groups: frozenset[str]
) -> None:
    """Refuse the requester in every guise, people without a say, and people shut out."""
    name = approval.approver
    if folded(name) == folded(hold.agent) or agents.is_agent(connection, name):
        raise AnswerRefused(f"`{name}` is an agent", "agents never answer holds")
    if people.is_revoked(connection, name):
        raise AnswerRefused(f"`{name}` was revoked", "ask somebody else")
    agent = agents.find(connection, hold.agent)
    if agent is None:
        if approval.answer is Answer.APPROVE:
            raise AnswerRefused(
                f"agent `{hold.agent}` is unknown or revoked, so nobody answers for it",
                "reject the hold",
            )
    elif folded(agent.owner) == folded(name):
        raise AnswerRefused(
            f"`{name}` answers for agent `{hold.agent}`", "somebody else must decide"
        )
    if not eligible(hold.need, groups):
        wanted = sorted({quorum.group for quorum in hold.need.all_of + hold.need.any_of})
        raise AnswerRefused(
            f"`{name}` is in no group that counts for hold `{hold.id}`",
            "ask someone of " + ", ".join(f"`{group}`" for group in wanted),
        )


def _state_after(connection: Connection, hold: Hold, approval: Approval) -> HoldState:
    if approval.answer is Answer.REJECT:
        return HoldState.REJECTED
    approvers = rows.approving_groups(connection, hold.id)
    return HoldState.APPROVED if satisfied(hold.need, approvers) else HoldState.OPEN
