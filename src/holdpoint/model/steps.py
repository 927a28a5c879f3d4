"""The steps of the gate: what it asks the outside world to do, each with the type of its reply.

``reply = yield from Step(...)`` reads like a blocking call and does no I/O: ``engine.driver`` is
the only place that carries steps out.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from holdpoint.model.case import Case, Parameter
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Dialect, Reading, SessionView
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.impact import Cascade, Figure, Impact, ReadCost
from holdpoint.model.record import Record
from holdpoint.model.target import Target, Tier

Reply = TypeVar("Reply")


class Step(Generic[Reply]):
    """Something the gate asks for; ``yield from`` it to get the reply."""

    __slots__ = ()

    def __iter__(self) -> Generator[Step[Any], Any, Reply]:
        reply: Reply = yield self
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message of an agent as a door hands it in.

    ``task_tiers`` are the tiers that people gave to its task. ``may_wait`` is False when waiting in
    place would hold database locks: the session's transaction has written. ``task`` is empty when
    the agent came without one. ``barred`` says why nothing may be read or written in this session
    now.
    """

    agent: str
    task: str
    session: str
    peer: str
    target: Target
    tier: Tier
    role: str
    text: str
    dialect: Dialect
    view: SessionView
    parameters: tuple[Parameter, ...] | None = None
    is_limited: bool = False  # a budget must be asked before anything runs
    may_wait: bool = True
    task_tiers: tuple[str, ...] = ()
    barred: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution ended, as the database told.

    ``sqlstate`` is empty on success. ``ran`` is False when the database never got to it. ``rows``
    is the count of the last command tag, -1 when the tag has none. ``complete`` is False when the
    connection broke before the answer: the outcome is unknown. ``changed`` is how many rows were
    counted under a bound, those that it set off included, -1 when none were or could be counted.
    ``rolled_back`` is True when the door took all of it back because of that count.
    """

    tag: str = ""
    rows: int = -1
    sqlstate: str = ""
    duration_us: int = 0
    ran: bool = True
    complete: bool = True
    changed: int = -1
    rolled_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The submission does not run. ``sqlstate`` is what a SQL client is told with the finding.

    ``position`` counts characters of the text from 1 where the grammar stopped; 0 = none.
    """

    finding: Finding
    sqlstate: str
    hold_id: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The submission ran; the database's own answer is in ``execution``."""

    execution: Execution


Outcome = Refused | Done


@dataclass(frozen=True, slots=True)
class Now(Step[datetime]):
    """The time, aware, UTC."""


@dataclass(frozen=True, slots=True)
class LookUpCatalog(Step[Any]):
    """The picture of the target's catalog: a ``sql.names.Catalog``.

    ``fresh`` asks for one that shows what is there now. The reply is None where the door has no
    catalog to look at, and words where it has and the picture cannot be had.
    """

    submission: Submission
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class EstimateRows(Step[Figure]):
    """How many rows the message would change, as the planner estimates."""

    submission: Submission
    reading: Reading


@dataclass(frozen=True, slots=True)
class EstimateTableRows(Step[Figure]):
    """Rows of the largest table that the message alters."""

    submission: Submission
    reading: Reading


@dataclass(frozen=True, slots=True)
class EstimateReadCost(Step[ReadCost]):
    """What the planner expects the dearest read of the message to cost."""

    submission: Submission
    reading: Reading


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Rows that a query would read: ``FROM …`` and all that follows, and the ``$n`` in it.

    ``random`` is True when other rows come each time, so that nothing can be counted.
    """

    text: str
    parameters: frozenset[int] = frozenset()
    random: bool = False


@dataclass(frozen=True, slots=True)
class EstimateCascades(Step[tuple[Cascade, ...]]):
    """How many rows each of ``cascades`` takes; ``queries`` as for ``MeasureImpact``."""

    submission: Submission
    reading: Reading
    cascades: tuple[Cascade, ...]
    queries: tuple[RowQuery | None, ...]


@dataclass(frozen=True, slots=True)
class MeasureImpact(Step[Impact]):
    """Fill in what only the database and the trail can tell the people who are asked.

    ``cascades`` has a query for each cascade of ``impact``, None where there is none. ``relations``
    are the tables concerned by name, each with its oid and those of its partitions.
    """

    submission: Submission
    reading: Reading
    impact: Impact
    cascades: tuple[RowQuery | None, ...] = ()
    relations: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRecord(Step[int]):
    """Put a record into the trail; the reply, its number, comes when it is durable."""

    record: Record


@dataclass(frozen=True, slots=True)
class TakeStatements(Step["Finding | None"]):
    """Count statements against the budget; the reply says why they must not run, if so."""

    count: int
    writes: bool


@dataclass(frozen=True, slots=True)
class ReserveRows(Step["int | Finding | None"]):
    """Set rows aside that the message may change, ``wanted`` at most (None: as many as there are).

    The reply is how many it may change; None when no budget bounds them, a finding when none are
    left. What it did change is counted in their place when it is over.
    """

    wanted: int | None


@dataclass(frozen=True, slots=True)
class FindHold(Step["Hold | None"]):
    """A hold of this agent over the same digest: open, approved or rejected, and not expired."""

    agent: str
    digest: str


@dataclass(frozen=True, slots=True)
class OpenHold(Step[Hold]):
    """Store a new hold and its record together."""

    case: Case
    decision: Decision
    digest: str


@dataclass(frozen=True, slots=True)
class AwaitApproval(Step[Hold]):
    """Wait in place for people; a hold still OPEN in the reply means the wait is over."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class ClaimHold(Step[bool]):
    """Use an approval, once; False when somebody else was faster or it expired."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class EndHold(Step[None]):
    """Bring a hold to one of its ends."""

    hold_id: str
    state: HoldState


@dataclass(frozen=True, slots=True)
class Execute(Step[Execution]):
    """Let the door run the message; the reply comes when the database has answered.

    ``started`` is the number of the durable record of intent, ``reading`` what the text does. With
    ``rows_max`` the door counts the rows that change and takes back what changes more, or what it
    cannot count; None asks for no count.
    """

    started: int
    reading: Reading
    rows_max: int | None = None
