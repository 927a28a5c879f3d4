"""The life of one statement, from a door to its outcome. Read this first.

``admit`` is a generator of typed steps: it decides what happens and in which order, and does no
I/O itself. ``engine.driver`` carries the steps out; a test replays them as a transcript. The order
is the promise of the product:

1. read the text; 2. assess the impact, as far as policy needs it; 3. build the case; 4. decide;
5. record the decision; 6. hold until people answer, then judge again on fresh facts;
7. record the start, execute, record the end.

``pass_at_once`` is the fast lane: a text that policy lets through on its own, to be remembered.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from holdpoint import sql
from holdpoint.audit.bodies import decided_record, digest_of, finished_record, row_bound_of
from holdpoint.impact import hazards
from holdpoint.impact.assess import assess, gather
from holdpoint.model.case import Case
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Dialect, Effect, Mark, MarkKind, Reading, SessionView
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.impact import Basis, Figure, Impact
from holdpoint.model.record import RecordKind
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    Done,
    EndHold,
    Execute,
    FindHold,
    LookUpCatalog,
    Now,
    OpenHold,
    Outcome,
    Refused,
    ReserveRows,
    Step,
    Submission,
    TakeStatements,
    WriteRecord,
)
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy import bounds, refusals
from holdpoint.policy.decide import decide, facts_needed, passes_on_text
from holdpoint.policy.rules import Policy
from holdpoint.sql.names import Catalog

Steps = Generator[Step[Any], Any, Outcome]

PLAIN_READ = frozenset({Effect.READ})
ENDING_TAGS = frozenset(
    {
        "COMMIT",
        "ROLLBACK",
        "RELEASE",
        "CLOSE CURSOR",
        "DEALLOCATE",
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "UNLISTEN",
    }
)
# ``*`` is what RESET ALL and DISCARD ALL set.
NAMING_SETTINGS = frozenset({"search_path", "role", "session_authorization", "*"})


def pass_at_once(
    policy: Policy,
    target: Target,
    tier: Tier,
    text: str,
    dialect: Dialect,
    view: SessionView,
    catalog: Catalog | None = None,
) -> Reading | None:
    """Return the reading of a plain read that passes on its text alone, else None.

    None decides nothing: the submission then goes through ``admit``. Nobody's name, no parameter
    and no clock comes in here, so what passes may be remembered for everybody in the tier, as long
    as the catalog stays the same. What changes the meaning of later names goes the whole way.
    """
    reading = sql.read(text, dialect, view, catalog)
    if reading.effects != PLAIN_READ or not passes_on_text(policy, target, tier, reading):
        return None
    if catalog is not None and (_missing(reading) or changes_names(reading)):
        return None
    return reading


def admit(policy: Policy, submission: Submission, page: str = "") -> Steps:
    """Carry one submission from its text to its outcome.

    ``page`` is the address under which holds are shown to people; a hold's id is appended.
    """
    reading = yield from _read(submission)
    if submission.is_limited and not _only_ends(reading):
        writes = bool(bounds.writers_of(reading))
        over = yield from TakeStatements(len(reading.statements) or 1, writes)
        if over is not None:
            return (yield from _over_budget(policy, submission, reading, over))
    case, decision = yield from _judge(policy, submission, reading)
    barred = submission.barred
    if barred is not None and decision.verdict is not Verdict.DENY and not _only_ends(reading):
        decision = Decision(verdict=Verdict.DENY, findings=(barred,))
    if decision.verdict is Verdict.DENY:
        return (yield from _deny(case, decision))
    bound = bounds.to_enforce(reading, _bound_of(policy, case, decision))
    why = bounds.obstacle(reading) if bound is not None else ""
    if bound is not None and why:
        finding = refusals.not_boundable(reading, bound, why)
        decision = Decision(verdict=Verdict.DENY, findings=(finding,), rules=decision.rules)
        return (yield from _deny(case, decision))
    hold = yield from _hold_for(submission, case, decision, bound)
    if hold is not None:
        refused = yield from _pass_hold(policy, submission, hold, page)
        if refused is not None:
            return refused
        bound = bounds.to_enforce(reading, _approved_rows(hold))
    room: int | None = None
    if submission.is_limited and bounds.writers_of(reading):
        reserved = yield from _reserve(reading, bound)
        if isinstance(reserved, Finding):
            return (yield from _over_budget(policy, submission, reading, reserved))
        room, bound = reserved
    started = yield from WriteRecord(
        decided_record(RecordKind.STATEMENT_STARTED, case, decision, hold.id if hold else "")
    )
    execution = yield from Execute(started, case.reading, bound)
    yield from WriteRecord(finished_record(started, case.session, execution))
    if execution.rolled_back and room is not None and bound == room:
        return refusals.over_rows_written(reading, execution.changed, room)
    if execution.rolled_back and bound is not None:
        return (yield from _over_bound(policy, submission, case, execution.changed, bound, page))
    return Done(execution=execution)


def _only_ends(reading: Reading) -> bool:
    """Tell whether a text only ends what was begun: a barred session can still do that."""
    tags = [statement.tag for statement in reading.statements]
    return bool(tags) and all(tag in ENDING_TAGS for tag in tags)


def _reserve(
    reading: Reading, bound: int | None
) -> Generator[Step[Any], Any, tuple[int | None, int | None] | Finding]:
    """Set rows of the budget aside; return how many, if they are the bound, and the bound.

    A finding says that there are none, or that nobody could see to it that no more are written.
    """
    room = yield from ReserveRows(bounds.rows_wanted(reading, bound))
    if room is None or isinstance(room, Finding):
        return room if isinstance(room, Finding) else (None, bound)
    if bound is not None and bound <= room:
        return None, bound
    enforced = bounds.to_enforce(reading, room)
    why = bounds.obstacle(reading) if enforced is not None else ""
    if why:
        return refusals.not_boundable(reading, room, why)
    return enforced, enforced


def _over_budget(
    policy: Policy, submission: Submission, reading: Reading, over: Finding
) -> Generator[Step[Any], Any, Refused]:
    """Refuse what the budget has no room for; nothing is asked of the database for it."""
    now = yield from Now()
    case = _case(policy, submission, reading, Impact(), (over,), now)
    return (yield from _deny(case, Decision(verdict=Verdict.DENY, findings=(over,), rules=())))


def judge(
    policy: Policy, submission: Submission
) -> Generator[Step[Any], Any, tuple[Case, Decision]]:
    """Read the text and decide, and go no further: for those who only ask what would happen."""
    reading = yield from _read(submission)
    return (yield from _judge(policy, submission, reading))


def _bound_of(policy: Policy, case: Case, decision: Decision) -> int | None:
    """Return how many rows the case may change, approved by people or allowed by policy."""
    if decision.verdict is Verdict.HOLD:
        return row_bound_of(case.impact)
    return bounds.rows_allowed(policy, case) if bounds.writers_of(case.reading) else None


def _read(submission: Submission) -> Generator[Step[Any], Any, Reading]:
    """Read the text with the target's catalog; what that does not show is looked for once more.

    Something new may stand behind a name that the picture lacks: only a fresh one can tell that
    there is nothing, and that the server will say so. Without a picture everything that uses a
    name is unknown.
    """
    view, dialect = submission.view, submission.dialect
    catalog = yield from LookUpCatalog(submission)
    if not isinstance(catalog, str):
        reading = sql.read(submission.text, dialect, view, catalog)
        if catalog is None or not _missing(reading):
            return reading
        catalog = yield from LookUpCatalog(submission, fresh=True)
        if not isinstance(catalog, str):
            return sql.read(submission.text, dialect, view, catalog)
    doubt = Mark(MarkKind.NO_CATALOG, "", catalog)
    return sql.read(submission.text, dialect, replace(view, unsure=(*view.unsure, doubt)))


def _missing(reading: Reading) -> bool:
    """Tell whether the text uses a relation or function that the catalog does not show."""
    return any(
        any(use.oid == 0 and not sql.is_built_in(use) for use in statement.uses)
        or any(mark.kind is MarkKind.UNKNOWN_FUNCTION for mark in statement.marks)
        for statement in reading.statements
    )


def changes_names(reading: Reading) -> bool:
    """Tell whether the text changes what later names mean, or as whom later statements run."""
    return any(
        name in NAMING_SETTINGS for statement in reading.statements for name, _ in statement.sets
    )


def _judge(
    policy: Policy, submission: Submission, reading: Reading
) -> Generator[Step[Any], Any, tuple[Case, Decision]]:
    """Assess what policy needs, build the case, decide."""
    needed = facts_needed(policy, submission.target, submission.tier, reading)
    impact = yield from assess(submission, reading, needed)
    now = yield from Now()
    findings = (*hazards.findings_of(reading), *hazards.findings_of_impact(impact))
    case = _case(policy, submission, reading, impact, findings, now)
    return case, decide(policy, case)


def _case(
    policy: Policy,
    submission: Submission,
    reading: Reading,
    impact: Impact,
    findings: tuple[Finding, ...],
    at: datetime,
) -> Case:
    return Case(
        agent=submission.agent,
        task=submission.task,
        session=submission.session,
        target=submission.target,
        tier=submission.tier,
        role=submission.role,
        peer=submission.peer,
        reading=reading,
        parameters=submission.parameters,
        impact=impact,
        findings=findings,
        policy_digest=policy.digest,
        at=at,
        task_tiers=submission.task_tiers,
    )


def _deny(case: Case, decision: Decision) -> Generator[Step[Any], Any, Refused]:
    yield from WriteRecord(decided_record(RecordKind.STATEMENT_DENIED, case, decision))
    return refusals.denied(case, decision)


def _hold_for(
    submission: Submission, case: Case, decision: Decision, bound: int | None
) -> Generator[Step[Any], Any, Hold | None]:
    """Return the hold that the submission must pass, a new one if need be; None when it needs none.

    What policy allows on an estimate needs one still when it ran before and was rolled back for
    its true count: the estimate may be as wrong as it was then. Not so a COPY: its data is no part
    of its text, so fewer rows may come this time. An approval it uses all the same.
    """
    allowed = decision.verdict is Verdict.ALLOW
    if allowed and bound is None:
        return None
    digest = digest_of(case)
    hold = yield from FindHold(case.agent, digest)
    if allowed:
        if hold is None or not refusals.is_over_bound(hold):
            return None
        return None if case.reading.reads_data and hold.state is HoldState.OPEN else hold
    if hold is None:
        hold = yield from _open(submission, case, decision, digest)
    return hold


def _open(
    submission: Submission, case: Case, decision: Decision, digest: str
) -> Generator[Step[Any], Any, Hold]:
    """Find out what people will want to know, and open the hold with it."""
    impact = yield from gather(submission, case.reading, case.impact)
    known = {finding.code for finding in decision.findings}
    told = [each for each in hazards.findings_of_impact(impact) if each.code not in known]
    decision = replace(decision, findings=(*decision.findings, *told))
    return (yield from OpenHold(replace(case, impact=impact), decision, digest))


def _pass_hold(
    policy: Policy, submission: Submission, hold: Hold, page: str
) -> Generator[Step[Any], Any, Refused | None]:
    """Wait for people and use their approval: None when it may run now.

    Never holds database locks while a human thinks: a submission that may not wait gets a ticket
    at once, and the same statement, sent again, finds its hold by digest.
    """
    if hold.state is HoldState.OPEN and submission.may_wait:
        hold = yield from AwaitApproval(hold)
    if hold.state is not HoldState.APPROVED:
        return refusals.not_approved(hold, hold.state, page + hold.id)
    return (yield from _claim(policy, submission, hold, page))


def _over_bound(
    policy: Policy, submission: Submission, case: Case, changed: int, bound: int, page: str
) -> Generator[Step[Any], Any, Refused]:
    """Hold what was rolled back, with its true count; a negative ``changed`` is not known."""
    if changed < 0:
        return refusals.uncounted(case.reading, bound)
    now = yield from Now()
    case = replace(bounds.with_rows(case, changed), at=now)
    decision = decide(policy, case)
    if decision.verdict is Verdict.DENY:
        return (yield from _deny(case, decision))
    over = refusals.over_bound(case.reading, changed, bound)
    held = decision.verdict is Verdict.HOLD
    decision = Decision(
        verdict=Verdict.HOLD,
        findings=(over, *decision.findings),
        rules=decision.rules,
        need=decision.need if held else policy.need,
    )
    digest = digest_of(case)
    hold = yield from FindHold(case.agent, digest)  # another session may have been here first
    if hold is None or hold.state is not HoldState.OPEN or not refusals.is_over_bound(hold):
        hold = yield from _open(submission, case, decision, digest)
    return refusals.rolled_back(hold, over, page + hold.id)


def _claim(
    policy: Policy, submission: Submission, hold: Hold, page: str
) -> Generator[Step[Any], Any, Refused | None]:
    """Judge again on fresh facts and use the approval: the case may have shrunk, never grown."""
    reading = yield from _read(submission)
    fresh, decision = yield from _judge(policy, submission, reading)
    bound = _approved_rows(hold)
    if (
        decision.verdict is Verdict.DENY
        or digest_of(fresh) != hold.digest
        or _grown(fresh.impact.most_rows, bound)
    ):
        yield from EndHold(hold.id, HoldState.SUPERSEDED)
        return refusals.superseded(hold, fresh, bound, page + hold.id)
    if (yield from ClaimHold(hold.id)):
        return None
    return refusals.not_approved(hold, HoldState.CLAIMED, page + hold.id)


def _approved_rows(hold: Hold) -> int | None:
    """Return the row bound that people saw; None when no figure was known then."""
    bound = orjson.loads(hold.case_json).get("row_bound")
    return int(bound) if bound is not None else None


def _grown(rows: Figure, bound: int | None) -> bool:
    """Tell whether fresh rows exceed the approved bound; a probe that fails now counts as over."""
    if bound is None:
        return False
    return rows.basis is Basis.UNKNOWN or (rows.value is not None and rows.value > bound)
