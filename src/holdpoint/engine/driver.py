"""The only loop over the gate's steps: take a step, carry it out, send the reply.

Everything that goes wrong on the way ends in a refusal: a trail that cannot be written, a hold
that cannot be stored, a probe that breaks. There is no path from an exception to running.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from holdpoint import gate
from holdpoint.audit.bodies import case_document
from holdpoint.audit.record import canonical_bytes
from holdpoint.engine.catalogs import CatalogUnavailable
from holdpoint.engine.holds import HoldBook, HoldRefused
from holdpoint.engine.probes import Question
from holdpoint.engine.probes_plans import unknown_cost
from holdpoint.engine.recorder import OUTCOMES, Recorder, TrailUnavailable
from holdpoint.engine.usage import agents_at
from holdpoint.model import limits
from holdpoint.model.case import Case
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Reading
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.impact import Basis, Cascade, Figure, Impact, ReadCost
from holdpoint.model.record import Record
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    EndHold,
    EstimateCascades,
    EstimateReadCost,
    EstimateRows,
    EstimateTableRows,
    Execute,
    Execution,
    FindHold,
    LookUpCatalog,
    MeasureImpact,
    Now,
    OpenHold,
    Outcome,
    Refused,
    ReserveRows,
    RowQuery,
    Step,
    Submission,
    TakeStatements,
    WriteRecord,
)
from holdpoint.policy import refusals
from holdpoint.policy.rules import Policy
from holdpoint.sql.names import Catalog
from holdpoint.store.errors import StoreError

log = structlog.get_logger(__name__)

TRAIL_DOWN = "58030"  # io_error (manual, appendix A)
HOLDS_FULL = "53400"  # configuration_limit_exceeded


class Prober(Protocol):
    """Asks a target's database for figures, harmlessly; failures come back as UNKNOWN figures."""

    @property
    def patience_s(self) -> float:
        """How long a figure may take."""

    async def rows(self, question: Question) -> Figure:
        """How many rows the message would change with its bind values."""

    async def table_rows(self, question: Question) -> Figure:
        """Rows of the largest table that the message alters."""

    async def read_cost(self, question: Question) -> ReadCost:
        """What the dearest read of the message would cost."""

    async def cascades(
        self,
        question: Question,
        cascades: tuple[Cascade, ...],
        queries: tuple[RowQuery | None, ...],
    ) -> tuple[Cascade, ...]:
        """How many rows each cascade takes."""

    async def measure(self, question: Question, step: MeasureImpact) -> Impact:
        """What only the database can tell people; never raises for what it cannot find out."""


class Catalogs(Protocol):
    """Gives pictures of a target's catalog; raises ``CatalogUnavailable``."""

    async def get(self, not_before: float | None = None) -> Catalog:
        """One that is fresh enough; one of ``not_before`` (``time.monotonic``) or later."""


class Keeper(Catalogs, Protocol):
    """Pictures of a target's catalog, kept fresh: see ``engine.catalog_keeper``."""

    @property
    def current(self) -> Catalog | None:
        """The picture, if one is known to be good now."""

    def invalidate(self) -> None:
        """The catalog may have changed."""

    def subscribe(self, callback: Callable[[Catalog], None]) -> None:
        """Have ``callback`` called with every new picture."""


class Passage(Protocol):
    """What a door does for one submission on its way through the gate."""

    cancelled: asyncio.Event

    def waiting(self, hold: Hold, page: str) -> None:
        """Tell the client that it waits for people, and where."""

    def take(self, statements: int, writes: bool) -> Finding | None:
        """Count statements against the budget; a finding says why they must not run."""

    async def reserve(self, wanted: int | None) -> int | Finding | None:
        """Set aside rows of the budget; see ``model.steps.ReserveRows``."""

    async def execute(self, started: int, reading: Reading, rows_max: int | None) -> Execution:
        """Run the message and return how it ended; more than ``rows_max`` rows are taken back."""


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

    async def run(
        self,
        submission: Submission,
        passage: Passage,
        prober: Prober,
        catalogs: Catalogs | None = None,
    ) -> Outcome:
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
                if isinstance(step, LookUpCatalog):
                    reply = await _picture(catalogs, step.fresh)
                else:
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
            case Execute(started, reading, rows_max):
                return await passage.execute(started, reading, rows_max)
            case TakeStatements(count, writes):
                return passage.take(count, writes)
            case ReserveRows(wanted):
                return await passage.reserve(wanted)
            case Now():
                return self.clock()
            case EstimateRows(submission, reading):
                return await _in_time(prober.rows(_question(submission, reading)), prober)
            case EstimateTableRows(submission, reading):
                return await _in_time(prober.table_rows(_question(submission, reading)), prober)
            case EstimateReadCost(submission, reading):
                return await _cost_in_time(prober.read_cost(_question(submission, reading)))
            case EstimateCascades(submission, reading, cascades, queries):
                question = _question(submission, reading)
                return await prober.cascades(question, cascades, queries)
            case MeasureImpact(submission, reading):
                impact = await prober.measure(_question(submission, reading), step)
                return await self._with_agents(submission, impact)
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

    async def _with_agents(self, submission: Submission, impact: Impact) -> Impact:
        """Add the other agents that the trail has seen at the tables lately."""
        names = [table.name for table in impact.tables]
        names += [cascade.table for cascade in impact.cascades]
        place = (submission.target.name, submission.agent)
        try:
            async with asyncio.timeout(limits.MEASURE_TIMEOUT_S):
                users = await asyncio.to_thread(
                    agents_at, self.recorder.recent_starts, *place, names
                )
        except (TimeoutError, StoreError, SQLAlchemyError) as problem:
            words = f"which agents used the tables lately: {problem or 'no answer in time'}"
            return replace(impact, failed=(*impact.failed, words))
        return replace(impact, users=(*impact.users, *users))

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


async def _picture(catalogs: Catalogs | None, fresh: bool) -> Catalog | str | None:
    """Get a picture of the catalog, or words why there is none."""
    if catalogs is None:
        return None
    try:
        return await catalogs.get(time.monotonic() if fresh else None)
    except CatalogUnavailable as problem:
        return str(problem)


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


def _question(submission: Submission, reading: Reading) -> Question:
    return Question(
        reading=reading,
        parameters=submission.parameters,
        view=submission.view,
        unseen=not submission.may_wait,
    )


async def _in_time(probe: Coroutine[Any, Any, Figure], prober: Prober) -> Figure:
    """Give a probe its time; past it, and on any failure, the figure is unknown."""
    try:
        async with asyncio.timeout(prober.patience_s):
            return await probe
    except TimeoutError:
        return Figure(None, Basis.UNKNOWN, f"no answer within {prober.patience_s:g} s")


async def _cost_in_time(probe: Coroutine[Any, Any, ReadCost]) -> ReadCost:
    """Give the probe of a read its time; past it the cost is unknown."""
    try:
        async with asyncio.timeout(limits.PROBE_TIMEOUT_S):
            return await probe
    except TimeoutError:
        return unknown_cost(f"no answer within {limits.PROBE_TIMEOUT_S:g} s")


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
