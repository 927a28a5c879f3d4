"""Holds and answers as rows. State changes are compare-and-set along ``TRANSITIONS``.

The functions that change something take a connection: the caller runs them in the transaction that
also writes the record of the change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, case, func, insert, select, update

from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.finding import Finding
from holdpoint.model.hold import TRANSITIONS, Answer, Approval, Hold, HoldState
from holdpoint.store.database import Database
from holdpoint.store.names import folded
from holdpoint.store.tables import APPROVALS, HOLDS
from holdpoint.store.times import from_us, to_us

FINDABLE = (HoldState.APPROVED, HoldState.OPEN, HoldState.REJECTED)


class Holds:
    """Reading holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, hold_id: str) -> Hold | None:
        """Return one hold with its answers."""
        with self._database.reading() as connection:
            return get(connection, hold_id)

    def find(self, agent: str, digest: str, now: datetime) -> Hold | None:
        """Return this agent's hold over this digest that has not expired.

        An approved one comes before an open one, that before a rejected one; then the oldest.
        """
        rank = case(
            {state.value: place for place, state in enumerate(FINDABLE)}, value=HOLDS.c.state
        )
        wanted = (
            select(HOLDS)
            .where(
                HOLDS.c.agent == agent,
                HOLDS.c.digest == digest,
                HOLDS.c.state.in_([state.value for state in FINDABLE]),
                HOLDS.c.expires_at > to_us(now),
            )
            .order_by(rank, HOLDS.c.created_at, HOLDS.c.id)
            .limit(1)
        )
        with self._database.reading() as connection:
            found = _with_answers(connection, wanted)
        return found[0] if found else None

    def list(self, states: Collection[HoldState] | None, limit: int) -> Sequence[Hold]:
        """Return holds in these states (None = all), newest first."""
        wanted = select(HOLDS).order_by(HOLDS.c.created_at.desc(), HOLDS.c.id).limit(limit)
        if states is not None:
            wanted = wanted.where(HOLDS.c.state.in_([state.value for state in states]))
        with self._database.reading() as connection:
            return _with_answers(connection, wanted)

    def due(self, now: datetime, limit: int) -> Sequence[str]:
        """Return the ids of holds whose time is over but whose state does not say so yet."""
        wanted = (
            select(HOLDS.c.id)
            .where(
                HOLDS.c.state.in_([state.value for state in before(HoldState.EXPIRED)]),
                HOLDS.c.expires_at <= to_us(now),
            )
            .order_by(HOLDS.c.expires_at)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return list(connection.execute(wanted).scalars())


def before(state: HoldState) -> frozenset[HoldState]:
    """Return the states from which ``state`` can be reached in one step."""
    return frozenset(source for source, targets in TRANSITIONS.items() if state in targets)


def get(connection: Connection, hold_id: str) -> Hold | None:
    """Return one hold with its answers."""
    found = _with_answers(connection, select(HOLDS).where(HOLDS.c.id == hold_id))
    return found[0] if found else None


def count_open(connection: Connection, agent: str | None = None) -> int:
    """Return how many holds are open or approved and unused, in all or of one agent."""
    wanted = (
        select(func.count())
        .select_from(HOLDS)
        .where(HOLDS.c.state.in_([HoldState.OPEN.value, HoldState.APPROVED.value]))
    )
    if agent is not None:
        wanted = wanted.where(HOLDS.c.agent == agent)
    return int(connection.execute(wanted).scalar_one())


def insert_hold(connection: Connection, hold: Hold) -> None:
    """Insert a new hold."""
    connection.execute(
        insert(HOLDS).values(
            id=hold.id,
            digest=hold.digest,
            agent=hold.agent,
            task=hold.task,
            session=hold.session,
            target=hold.target,
            tier=hold.tier,
            summary=hold.summary,
            case_json=hold.case_json,
            findings=orjson.dumps([asdict(finding) for finding in hold.findings]).decode(),
            need=orjson.dumps(asdict(hold.need)).decode(),
            state=hold.state.value,
            created_at=to_us(hold.created_at),
            expires_at=to_us(hold.expires_at),
        )
    )


def move(
    connection: Connection, hold_id: str, state: HoldState, *, alive_at: datetime | None = None
) -> bool:
    """Set a hold's state if ``TRANSITIONS`` leads there from where it stands; tell whether it did.

    With ``alive_at`` the hold must also not have expired at that time.
    """
    change = (
        update(HOLDS)
        .where(
            HOLDS.c.id == hold_id,
            HOLDS.c.state.in_([source.value for source in before(state)]),
        )
        .values(state=state.value)
    )
    if alive_at is not None:
        change = change.where(HOLDS.c.expires_at > to_us(alive_at))
    return connection.execute(change).rowcount == 1


def insert_approval(connection: Connection, approval: Approval, groups: frozenset[str]) -> None:
    """Insert one person's answer; a second one of the same person violates the primary key."""
    connection.execute(
        insert(APPROVALS).values(
            hold_id=approval.hold_id,
            approver=approval.approver,
            folded_approver=folded(approval.approver),
            groups=orjson.dumps(sorted(groups)).decode(),
            answer=approval.answer.value,
            note=approval.note,
            at=to_us(approval.at),
        )
    )


def approving_groups(connection: Connection, hold_id: str) -> dict[str, frozenset[str]]:
    """Return who approved a hold, each with the groups they were in when they did."""
    wanted = select(APPROVALS.c.folded_approver, APPROVALS.c.groups).where(
        APPROVALS.c.hold_id == hold_id, APPROVALS.c.answer == Answer.APPROVE.value
    )
    return {
        row.folded_approver: frozenset(orjson.loads(row.groups))
        for row in connection.execute(wanted)
    }


def _with_answers(connection: Connection, wanted: Select[Any]) -> list[Hold]:
    rows = connection.execute(wanted).all()
    answers: dict[str, list[Approval]] = {row.id: [] for row in rows}
    order = (APPROVALS.c.at, APPROVALS.c.folded_approver)
    given = select(APPROVALS).where(APPROVALS.c.hold_id.in_(list(answers))).order_by(*order)
    for row in connection.execute(given) if answers else ():
        answers[row.hold_id].append(
            Approval(
                hold_id=row.hold_id,
                approver=row.approver,
                answer=Answer(row.answer),
                note=row.note,
                at=from_us(row.at),
            )
        )
    return [_hold(row, tuple(answers[row.id])) for row in rows]


def _hold(row: Row[Any], approvals: tuple[Approval, ...]) -> Hold:
    need = orjson.loads(row.need)
    return Hold(
        id=row.id,
        digest=row.digest,
        agent=row.agent,
        task=row.task,
        session=row.session,
        target=row.target,
        tier=row.tier,
        summary=row.summary,
        case_json=row.case_json,
        findings=tuple(Finding(**finding) for finding in orjson.loads(row.findings)),
        need=ApprovalNeed(
            all_of=tuple(Quorum(**quorum) for quorum in need["all_of"]),
            any_of=tuple(Quorum(**quorum) for quorum in need["any_of"]),
            expires_s=need["expires_s"],
        ),
        state=HoldState(row.state),
        created_at=from_us(row.created_at),
        expires_at=from_us(row.expires_at),
        approvals=approvals,
    )
