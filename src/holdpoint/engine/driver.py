"""The only loop over the gate's steps: take a step, carry it out, send the reply.

Everything that goes wrong on the way ends in a refusal: a trail that cannot be written, a hold
that cannot be stored, a probe that breaks. There is no path from an exception to running.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from holdpoint import gate
from holdpoint.audit.bodies import case_document
from holdpoint.audit.record import canonical_bytes
from holdpoint.engine.holds import HoldBook, HoldRefused
from holdpoint.engine.recorder import OUTCOMES, Recorder, TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.case import Case, Parameter
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Reading
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.record import Record
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    EndHold,
    EstimateRows,
    EstimateTableRows,
    Execute,
    Execution,
    FindHold,
    Now,
    OpenHold,
    Outcome,
    Refused,
    Step,
    Submission,
    WriteRecord,
)
from holdpoint.policy import refusals
from holdpoint.policy.rules import Policy

log = structlog.get_logger(__name__)

TRAIL_DOWN = "58030"  # io_error (manual, appendix A)
HOLDS_FULL = "53400"  # configuration_limit_exceeded


class Prober(Protocol):
    """Asks a target's database for figures, harmlessly; failures come back as UNKNOWN figures."""

    async def rows(self, reading: Reading, parameters: tuple[Parameter, ...] | None) -> Figure:
        """How many rows the message would change with these bind values."""

    async def table_rows(self, reading: Reading) -> Figure:
        """Rows of the largest table that the message alters."""


class Passage(Protocol):
    """What a door does for one submission on its way through the gate."""

    cancelled: asyncio.Event

    def waiting(self, hold: Hold, page: str) -> None:
        """Tell the client that it waits for people, and where."""

    async def execute(self, started: int, reading: Reading) -> Execution:
        """Run the message and return how it ended."""


class Engine:
    """Carries submissions through the gate, for every door alike."""

    def __init__(
        self,
        policy: Policy,
        recorder: Recorder,
        book: HoldBook,
        clock: Callable[[], datetime],
        page: str,
        wait_s: float = limits.HOLD_WAIT_S,
    ) -> None:
        self.policy = policy
        self.recorder = recorder
        self.book = book
        self.clock = clock
        self.page = page
        self.wait_s = wait_s
        self._waiting: Counter[str] = Counter()  # passages by the hold they wait for

    async def run(self, submission: Submission, passage: Passage, prober: Prober) -> Outcome:
        """Carry one submission to its outcome; never raises but for cancellation."""
        steps = gate.admit(self.policy, submission, self.page)
        reply: Any = None
        try:
            while True:
                # A long text takes long to read and to redact: not on the loop of all sessions.
                if len(submission.text) > limits.LOOP_TEXT_CHARS_MAX:
                    step = await asyncio.to_thread(_next, steps, reply)
                else:
                    step = _next(steps, reply)
                if not isinstance(step, Step):
                    return step
                reply = await self._carry_out(step, passage, prober)
        except TrailUnavailable as problem:
            return _trail_down(problem)
        except HoldRefused as problem:
            return Refused(
                finding=Finding(code="HP8008", message=f"refused: {problem}"), sqlstate=HOLDS_FULL
            )
        finally:
            steps.close()

    async def _carry_out(self, step: Step[Any], passage: Passage, prober: Prober) -> Any:
        match step:
            case WriteRecord(record):
                return await self._record(record)
            case Execute(started, reading):
                return await passage.execute(started, reading)
            case Now():
                return self.clock()
            case EstimateRows(submission, reading):
                return await _in_time(prober.rows(reading, submission.parameters))
            case EstimateTableRows(_, reading):
                return await _in_time(prober.table_rows(reading))
            case FindHold(agent, digest):
                return await self.book.find(agent, digest)
            case OpenHold():
                return await self._open(step)
            case AwaitApproval(hold):
                return await self._wait(hold, passage)
            case ClaimHold(hold_id):
                return await self.book.claim(hold_id)
            case EndHold(hold_id, state):
                return await self.book.end(hold_id, state)
        raise AssertionError(f"no way to carry out {type(step).__name__}")

    async def _record(self, record: Record) -> int:
        """Write a record; an outcome waits until the trail can be written again.

        What has run cannot be taken back, and its client has its answer: only the record is missing
        still. While it waits nothing new runs, so there are never many of them.
        """
        while True:
            try:
                return await self.recorder.write(record)
            except TrailUnavailable as problem:
                if record.kind not in OUTCOMES:
                    raise
                log.error("trail.outcome_waits", problem=str(problem))
                await asyncio.sleep(limits.TRAIL_RETRY_S)

    async def _open(self, step: OpenHold) -> Hold:
        case, decision = step.case, step.decision
        now = self.clock()
        hold = Hold(
            id="",
            digest=step.digest,
            agent=case.agent,
            task=case.task,
            session=case.session,
            target=case.target.name,
            tier=case.tier.name,
            summary=refusals.summary_of(case, decision),
            case_json=await asyncio.to_thread(_case_json, case, decision),
            findings=decision.findings,
            need=decision.need,
            state=HoldState.OPEN,
            created_at=now,
            expires_at=now + timedelta(seconds=decision.need.expires_s),
        )
        return await self.book.open(hold)

    async def _wait(self, hold: Hold, passage: Passage) -> Hold:
        """Wait in place; a cancel request and a client that goes away have their own ends."""
        passage.waiting(hold, self.page + hold.id)
        self._waiting[hold.id] += 1
        answer = asyncio.ensure_future(self.book.wait(hold.id, self.wait_s))
        cancelled = asyncio.ensure_future(passage.cancelled.wait())
        try:
            await asyncio.wait({answer, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            return await self._end_early(hold, HoldState.CANCELLED)
        except asyncio.CancelledError:
            # The same statement may wait in another session of the agent: then it goes on.
            if self._waiting[hold.id] == 1:
                await asyncio.shield(self._end_early(hold, HoldState.ABANDONED))
            raise
        finally:
            answer.cancel()
            cancelled.cancel()
            self._waiting[hold.id] -= 1
            self._waiting += Counter()  # drops the zeros

    async def _end_early(self, hold: Hold, state: HoldState) -> Hold:
        """End a hold from the client's side, unless people were faster."""
        await self.book.end(hold.id, state)
        ended = await self.book.get(hold.id)
        return ended if ended is not None else hold


def _next(steps: gate.Steps, reply: Any) -> Step[Any] | Outcome:
    """Advance the gate to its next step, or to its outcome."""
    try:
        return steps.send(reply)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def _case_json(case: Case, decision: Decision) -> str:
    """Return the case as people will see it; redacting a long text takes long."""
    return canonical_bytes(case_document(case, decision)).decode()


async def _in_time(probe: Any) -> Figure:
    """Give a probe its time; past it, and on any failure, the figure is unknown."""
    try:
        async with asyncio.timeout(limits.PROBE_TIMEOUT_S):
            figure: Figure = await probe
            return figure
    except TimeoutError:
        return Figure(None, Basis.UNKNOWN, f"no answer within {limits.PROBE_TIMEOUT_S:g} s")


def _trail_down(problem: TrailUnavailable) -> Refused:
    log.error("trail.unavailable", problem=str(problem))
    return Refused(
        finding=Finding(
            code="HP8009",
            message=f"refused: the audit trail cannot be written: {problem}",
            hint="nothing ran; the operator must mend the trail, `holdpoint doctor` says how",
        ),
        sqlstate=TRAIL_DOWN,
    )
