"""What an agent's client is told when its statement does not run: what, which, what to do next."""

from __future__ import annotations

from dataclasses import replace

import orjson

from holdpoint.model.case import Case
from holdpoint.model.decision import ApprovalNeed, Decision
from holdpoint.model.effects import Reading
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.impact import Basis
from holdpoint.model.steps import Refused
from holdpoint.policy.bounds import writers_of
from holdpoint.policy.words import clipped, described

# SQLSTATE class HP is ours: classes that start with I-Z are left to implementations (ISO/IEC
# 9075-2, subclause 24.1). The others are the server's own (manual, appendix A).
HELD = "HP001"
REJECTED = "HP002"
EXPIRED = "HP003"
SUPERSEDED = "HP005"
INSUFFICIENT_PRIVILEGE = "42501"
SYNTAX_ERROR = "42601"
QUERY_CANCELED = "57014"
LIMIT_EXCEEDED = "53400"  # configuration_limit_exceeded

FEATURE_NOT_SUPPORTED = "0A000"
NOT_IN_STATE = "55000"

SYNTAX_CODE = "HP1001"
OVER_BOUND = "HP8011"  # it ran, changed more rows than its bound and was rolled back
NOT_BOUNDABLE = "HP8012"  # a bound holds for it that cannot be enforced
OVER_BUDGET = "HP8014"
REPLICA = "HP8015"  # the replica is too far behind, or is none any more

# No right is missing, nor would another statement help.
_STATES = {
    NOT_BOUNDABLE: FEATURE_NOT_SUPPORTED,
    OVER_BUDGET: LIMIT_EXCEEDED,
    REPLICA: NOT_IN_STATE,
}


def denied(case: Case, decision: Decision) -> Refused:
    """Return the refusal of a statement that this tier or a rule does not let through."""
    first = decision.findings[0]
    problem = case.reading.problem
    if problem is not None:
        # The server's own words and code: an agent that mistypes should see what it knows.
        return Refused(
            finding=Finding(code=SYNTAX_CODE, message=problem.message),
            sqlstate=SYNTAX_ERROR,
            position=problem.position,
        )
    finding = Finding(
        code=first.code,
        message=f"refused: {first.message}",
        detail=_detail(decision, first),
        hint=first.hint,
    )
    return Refused(finding=finding, sqlstate=_STATES.get(first.code, INSUFFICIENT_PRIVILEGE))


def behind(finding: Finding) -> Refused:
    """Return the refusal of a statement that was approved when its replica had fallen behind."""
    words = replace(finding, message=f"refused: {finding.message}", detail=finding.code)
    return Refused(finding=words, sqlstate=NOT_IN_STATE)


def held_notice(hold: Hold, page: str) -> Finding:
    """Return the notice to a client that waits in place."""
    return Finding(
        code="HP8001",
        message=f"held for approval: {hold.summary}",
        detail=hold_detail(hold),
        hint=f"waiting for a person; see {page}",
    )


def not_approved(hold: Hold, state: HoldState, page: str) -> Refused:
    """Return the refusal for a hold that is not approved (yet); each end has its own words."""
    sqlstate, code, message, hint = _ENDS[state]
    note = _last_note(hold)
    return Refused(
        finding=Finding(
            code=code,
            message=message.format(summary=hold.summary, note=f": {note}" if note else ""),
            detail=hold_detail(hold),
            hint=hint.format(page=page),
        ),
        sqlstate=sqlstate,
        hold_id=hold.id,
    )


_ENDS: dict[HoldState, tuple[str, str, str, str]] = {
    HoldState.OPEN: (
        HELD,
        "HP8001",
        "held for approval: {summary}",
        "wait and run the same statement again, or narrow it; see {page}",
    ),
    HoldState.REJECTED: (
        REJECTED,
        "HP8002",
        "rejected: {summary}{note}",
        "do not send it again; narrow the statement or ask the person; see {page}",
    ),
    HoldState.EXPIRED: (
        EXPIRED,
        "HP8003",
        "nobody answered in time: {summary}",
        "this is no refusal; run the statement again to ask anew; see {page}",
    ),
    HoldState.CANCELLED: (
        QUERY_CANCELED,
        "HP8006",
        "cancelled on the client's request while it was held: {summary}",
        "nothing ran; run the statement again to ask anew",
    ),
    HoldState.ABANDONED: (
        QUERY_CANCELED,
        "HP8007",
        "the client went away while it was held: {summary}",
        "nothing ran; run the statement again to ask anew",
    ),
    HoldState.CLAIMED: (
        EXPIRED,
        "HP8004",
        "the approval was already used: {summary}",
        "an approval covers one execution; run the statement again to ask anew",
    ),
    HoldState.SUPERSEDED: (
        SUPERSEDED,
        "HP8005",
        "the facts have grown past what was approved: {summary}",
        "nothing ran; run the statement again to ask anew; see {page}",
    ),
}


def superseded(hold: Hold, fresh: Case, bound: int | None, page: str) -> Refused:
    """Return the refusal of an approved statement whose case has grown since."""
    refused = not_approved(hold, HoldState.SUPERSEDED, page)
    rows = fresh.impact.most_rows
    if rows.value is None or bound is None:
        return refused
    finding = refused.finding
    return Refused(
        finding=Finding(
            code=finding.code,
            message=finding.message,
            detail=f"now {rows.value:,} rows ({rows.basis.value}), approved for {bound:,}",
            hint=finding.hint,
        ),
        sqlstate=refused.sqlstate,
        hold_id=hold.id,
    )


def over_bound(reading: Reading, changed: int, bound: int) -> Finding:
    """Return the reason of a hold over what was rolled back for its count of rows."""
    return Finding(
        code=OVER_BOUND,
        message=f"{_writers(reading)} changed {changed:,} rows, over the bound of {bound:,}",
        detail="counted while it ran, in one table or all that it writes itself; rolled back",
        hint=f"narrow it to at most {bound:,} rows, or wait for the approval and send it again",
    )


def is_over_bound(hold: Hold) -> bool:
    """Tell whether the hold came from a statement that was rolled back for its count."""
    return any(finding.code == OVER_BOUND for finding in hold.findings)


def rolled_back(hold: Hold, over: Finding, page: str) -> Refused:
    """Return the refusal of what ran, was rolled back and is now held with its true count."""
    finding = Finding(
        code=over.code,
        message=f"rolled back: {over.message}",
        detail=hold_detail(hold),
        hint=f"nothing of it is left; {over.hint}; see {page}",
    )
    return Refused(finding=finding, sqlstate=HELD, hold_id=hold.id)


def uncounted(reading: Reading, bound: int) -> Refused:
    """Return the refusal of what was rolled back because its rows could not be counted."""
    finding = Finding(
        code=NOT_BOUNDABLE,
        message=f"rolled back: the rows that {_writers(reading)} changed could not be counted",
        detail=f"it may change at most {bound:,} rows",
        hint="nothing of it is left; the operator must turn `track_counts` on in the database",
    )
    return Refused(finding=finding, sqlstate=FEATURE_NOT_SUPPORTED)


def not_boundable(reading: Reading, bound: int, why: str) -> Finding:
    """Return the reason of a refusal to run what may change so many rows and cannot be held to."""
    return Finding(
        code=NOT_BOUNDABLE,
        message=f"{_writers(reading)} may change at most {bound:,} rows, and {why}",
        detail="the rows are counted before they are committed",
        hint="nothing ran; send each statement as a message of its own "
        "(psql: one `-c` for each, or a file)",
    )


def over_rate(per_minute: int, count: int, seconds: int) -> Finding:
    """Return the reason why statements must wait; a negative number of seconds never ends."""
    if seconds < 0:
        what, then = f"one message has {count:,}", "send them one by one"
    else:
        what, then = "they are used up", f"there is room again in {seconds} s"
    return Finding(
        code=OVER_BUDGET,
        message=f"the budget `statements_per_minute` of {per_minute:,} is not enough: {what}",
        hint=f"nothing ran; {then}",
    )


def no_rows_left(limit: int, written: int, reserved: int) -> Finding:
    """Return the reason why nothing more may be written."""
    aside = f", {reserved:,} are set aside for statements that run now" if reserved else ""
    return Finding(
        code=OVER_BUDGET,
        message=f"the budget `rows_written` of {limit:,} rows is used up",
        detail=f"{written:,} rows were written{aside}",
        hint="nothing ran; a new task has rows of its own, as far as the tier's `budget` lets it",
    )


def over_rows_written(reading: Reading, changed: int, left: int) -> Refused:
    """Return the refusal of what was rolled back because so few rows may still be written."""
    finding = Finding(
        code=OVER_BUDGET,
        message=f"rolled back: {_writers(reading)} changed {changed:,} rows, and the budget "
        f"`rows_written` has {left:,} left",
        detail=f"{OVER_BUDGET}; counted while it ran",
        hint="nothing of it is left; narrow it, or ask people for a larger budget",
    )
    return Refused(finding=finding, sqlstate=LIMIT_EXCEEDED)


def _writers(reading: Reading) -> str:
    """Name what changes rows: the statement, or how many of the message."""
    writers = writers_of(reading)
    if len(writers) == 1:
        return described(writers[0])
    return f"{len(writers)} statements of one message"


def summary_of(case: Case, decision: Decision) -> str:
    """Return the case in one line: what would be done to what, and to how much of it."""
    first = decision.findings[0]
    rows = case.impact.rows  # those of cascades are told beside it
    if rows.value is None or f"{rows.value:,}" in first.message:
        return first.message
    if rows.basis is Basis.EXACT:
        return f"{first.message} ({rows.value:,} rows)"
    return f"{first.message} (about {rows.value:,} rows, estimate)"


def hold_detail(hold: Hold) -> str:
    """Return who must answer a hold, until when, and what the summary does not say."""
    code = hold.findings[0].code if hold.findings else ""
    case = orjson.loads(hold.case_json)
    rules = ", ".join(f"`{rule}`" for rule in case.get("rules", ()))
    # The first sentence says what the summary does; people read all of them on the page.
    words = case.get("impact", {}).get("words", ())[1:2]
    more = f"{clipped(words[0])}; " if words else ""
    return (
        f"{more}rule {rules} ({code}); hold {hold.id}; expires at {hold.expires_at:%H:%M} UTC; "
        f"approvals needed: {_needed(hold.need)}"
    )


def _needed(need: ApprovalNeed) -> str:
    parts = [
        f"{quorum.count} of `{quorum.group}`" if quorum.group else str(quorum.count)
        for quorum in need.all_of
    ]
    if need.any_of:
        parts.append("1 of " + " or ".join(f"`{quorum.group}`" for quorum in need.any_of))
    return " and ".join(parts)


def _detail(decision: Decision, first: Finding) -> str:
    rules = ", ".join(f"`{rule}`" for rule in decision.rules)
    head = f"rule {rules} ({first.code})" if rules else first.code
    return f"{head}; {first.detail}" if first.detail else head


def _last_note(hold: Hold) -> str:
    notes = [item.note for item in hold.approvals if item.answer is Answer.REJECT and item.note]
    return notes[-1] if notes else ""
