"""The hold book: holds are opened, answered, claimed and ended here, and nowhere else.

Every change of state and its record are one database transaction, so the trail and the holds can
never tell different stories, and an answer survives whatever dies after it. Changes are
compare-and-set along ``model.hold.TRANSITIONS``: two processes cannot both win.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, ParamSpec, TypeVar

import orjson
from sqlalchemy import Connection

from holdpoint.audit.bodies import finding_document
from holdpoint.audit.record import CanonicalError, canonical_bytes
from holdpoint.engine import answering
from holdpoint.engine.answering import AnswerRefused
from holdpoint.engine.changes import Changes, Subscription
from holdpoint.engine.ids import new_id
from holdpoint.engine.recorder import Recorder, TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.hold import Answer, Approval, Hold, HoldState
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store, StoreError
from holdpoint.store import holds as rows
from holdpoint.store.times import to_us

__all__ = ["AnswerRefused", "HoldBook", "HoldRefused"]

#: Ends that ``HoldBook.end`` may set: the others come from answers and claims.
ENDS: Final = frozenset(
    {HoldState.EXPIRED, HoldState.ABANDONED, HoldState.CANCELLED, HoldState.SUPERSEDED}
)


_Arguments = ParamSpec("_Arguments")
_Found = TypeVar("_Found")


class HoldRefused(Exception):
    """A hold cannot be opened; the message says why and what to do next."""


class _NotMoved(Exception):
    """A compare-and-set found another state; the transaction is given up."""


class HoldBook:
    """All holds of one store. Belongs to the event loop that uses it."""

    def __init__(self, store: Store, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        """``clock`` gives the time, aware, UTC."""
        self._store: Final = store
        self._recorder: Final = recorder
        self._clock: Final = clock
        self._changes: Final = Changes()

    # --- the gate's side ------------------------------------------------------------------------

    async def open(self, hold: Hold, kind: RecordKind = RecordKind.STATEMENT_HELD) -> Hold:
        """Store a new hold with its record, of ``kind``, and return it with its id.

        Raises ``HoldRefused`` if too many are open, ``TrailUnavailable`` if it cannot be recorded.
        """
        body: dict[str, Any] = {}
        kept: list[Hold] = []

        def insert(connection: Connection) -> None:
            _refuse_if_full(connection, hold.agent)
            new = replace(hold, id=_new_id(connection), state=HoldState.OPEN, approvals=())
            rows.insert_hold(connection, new)
            body.update(_held_body(new))
            kept.append(new)

        await self._recorder.write(Record(kind, body), also=insert)
        self._changes.publish(kept[-1])
        return kept[-1]

    async def find(self, agent: str, digest: str) -> Hold | None:
        """Return this agent's unexpired hold over this digest: approved, open or rejected."""
        return await _read(self._store.holds.find, agent, digest, self._clock())

    async def claim(self, hold_id: str) -> bool:
        """Use an approval; True exactly once, and only before it expires."""
        now = self._clock()
        return await self._move(hold_id, HoldState.CLAIMED, alive_at=now) is not None

    async def claim_for(
        self, hold_id: str, kind: RecordKind, work: Callable[[Connection, Hold], dict[str, Any]]
    ) -> bool:
        """Use an approval for what ``work`` does in the same transaction: both happen or neither.

        One record of ``kind`` tells both; ``work`` returns what it adds. True exactly once.
        """
        return (
            await self._move(
                hold_id, HoldState.CLAIMED, alive_at=self._clock(), kind=kind, work=work
            )
            is not None
        )

    async def end(self, hold_id: str, state: HoldState) -> bool:
        """Bring a hold to ``state``, one of ``ENDS``; False if that cannot follow."""
        assert state in ENDS, "answers and claims have their own ways"
        return await self._move(hold_id, state) is not None

    async def wait(self, hold_id: str, timeout_s: float) -> Hold:
        """Return the hold when it is no longer open, or as it stands after ``timeout_s``.

        Raises ``HoldRefused`` if there is no such hold.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        with self._changes.subscribe(hold_id) as changes:
            while True:
                hold = await self.get(hold_id)
                if hold is None:
                    raise HoldRefused(f"there is no hold `{hold_id}`: send the statement again")
                left = deadline - asyncio.get_running_loop().time()
                if hold.state is not HoldState.OPEN or left <= 0:
                    return hold
                if hold.expires_at <= self._clock():
                    await self.end(hold_id, HoldState.EXPIRED)
                    continue
                # Another process may answer: then no change is published here, so look again.
                await changes.within(min(left, limits.HOLD_POLL_S))

    # --- people's side --------------------------------------------------------------------------

    async def answer(
        self,
        hold_id: str,
        approver: str,
        answer: Answer,
        note: str,
        *,
        approver_groups: frozenset[str],
    ) -> Hold:
        """Add one person's answer and return the hold as it then stands.

        The caller has made sure who ``approver`` is. Raises ``AnswerRefused`` with the reason: no
        such hold, not open, expired, answered before, the agent's owner, in no group that counts.
        """
        approval = Approval(
            hold_id=hold_id, approver=approver, answer=answer, note=note, at=self._clock()
        )
        body: dict[str, Any] = {}
        kept: list[Hold] = []

        def add(connection: Connection) -> None:
            hold = answering.add(connection, approval, approver_groups)
            body.update(answering.answered_body(hold, approval))
            kept.append(hold)

        await self._recorder.write(Record(RecordKind.HOLD_ANSWERED, body), also=add)
        self._changes.publish(kept[-1])
        return kept[-1]

    async def get(self, hold_id: str) -> Hold | None:
        """Return one hold."""
        return await _read(self._store.holds.get, hold_id)

    async def list(
        self,
        states: Collection[HoldState] | None = None,
        limit: int = limits.HOLDS_OPEN_MAX,
    ) -> Sequence[Hold]:
        """Return holds in these states (None = all), newest first."""
        return await _read(self._store.holds.list, states, limit)

    def subscribe(self) -> Subscription:
        """Return an async iterator of every hold that changes from now on.

        A slow reader gets the newest state of each hold, and never loses one that is still open.
        """
        return self._changes.subscribe()

    async def run_expiry(self) -> None:
        """Bring holds whose time is over to their end, until cancelled."""
        while True:
            # A store that cannot be used now is tried again: nothing passes in the meantime,
            # because `find` and `claim` look at the clock themselves.
            with contextlib.suppress(StoreError, TrailUnavailable):
                await self.expire_due()
            await asyncio.sleep(limits.HOLD_POLL_S)

    async def expire_due(self) -> int:
        """Bring every hold whose time is over to its end; returns how many."""
        due = await _read(self._store.holds.due, self._clock(), limits.HOLDS_OPEN_MAX)
        ended = [await self._move(hold_id, HoldState.EXPIRED) for hold_id in due]
        return sum(hold is not None for hold in ended)

    # --- inside ---------------------------------------------------------------------------------

    async def _move(
        self,
        hold_id: str,
        state: HoldState,
        *,
        alive_at: datetime | None = None,
        kind: RecordKind = RecordKind.HOLD_ENDED,
        work: Callable[[Connection, Hold], dict[str, Any]] | None = None,
    ) -> Hold | None:
        kept: list[Hold] = []
        body: dict[str, Any] = {}

        def move(connection: Connection) -> None:
            if not rows.move(connection, hold_id, state, alive_at=alive_at):
                raise _NotMoved
            hold = rows.get(connection, hold_id)
            assert hold is not None, "it was just changed"
            body.update({"hold": hold_id, "state": state.value, "agent": hold.agent})
            if work is not None:
                body.update(work(connection, hold))
            kept.append(hold)

        try:
            await self._recorder.write(Record(kind, body), also=move)
        except _NotMoved:
            return None
        self._changes.publish(kept[-1])
        return kept[-1]


async def _read(
    method: Callable[_Arguments, _Found], *arguments: _Arguments.args, **more: _Arguments.kwargs
) -> _Found:
    """Read the store off the event loop: a slow disk must not stop the relay."""
    try:
        return await asyncio.to_thread(method, *arguments, **more)
    except StoreError as error:
        raise TrailUnavailable(str(error)) from error


def _refuse_if_full(connection: Connection, agent: str) -> None:
    if rows.count_open(connection, agent) >= limits.HOLDS_OPEN_PER_AGENT_MAX:
        raise HoldRefused(
            f"agent `{agent}` has {limits.HOLDS_OPEN_PER_AGENT_MAX} statements held already: "
            "wait for answers before sending more"
        )
    if rows.count_open(connection) >= limits.HOLDS_OPEN_MAX:
        raise HoldRefused(
            f"{limits.HOLDS_OPEN_MAX:,} statements are held already: "
            "people must answer some before more can be held"
        )


def _new_id(connection: Connection) -> str:
    """Return an id that no hold has."""
    found = new_id("h-", lambda each: rows.get(connection, each) is not None)
    if found is None:
        raise HoldRefused("no free hold id was found: archive the store and begin a new one")
    return found


def _held_body(hold: Hold) -> dict[str, Any]:
    """Return the record of a new hold: all that people see, under the chain."""
    try:
        case: Any = orjson.loads(hold.case_json)
        canonical_bytes(case)
    except (ValueError, CanonicalError):
        case = hold.case_json  # not ours to mend: kept as the text that it is
    return {
        "hold": hold.id,
        "digest": hold.digest,
        "agent": hold.agent,
        "task": hold.task,
        "session": hold.session,
        "target": hold.target,
        "tier": hold.tier,
        "summary": hold.summary,
        "findings": [finding_document(finding) for finding in hold.findings],
        "need": {
            "all_of": [{"group": q.group, "count": q.count} for q in hold.need.all_of],
            "any_of": [{"group": q.group, "count": q.count} for q in hold.need.any_of],
            "expires_us": timedelta(seconds=hold.need.expires_s) // timedelta(microseconds=1),
        },
        "expires_at_us": to_us(hold.expires_at),
        "case": case,
    }
