"""What was tried, beside what was read: proof of known drift, and drift that only trying shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdpoint.access.verify.attempts import SET_ROLE, Answer, Outcome, Tried
from holdpoint.access.verify.drift import Drift, Kind
from holdpoint.access.verify.promises import Promise
from holdpoint.policy.words import quoted


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one role: ``known`` are rights that differ, as place and verb."""

    promise: Promise
    drift: tuple[Drift, ...]
    known: frozenset[tuple[str, str]] = frozenset()
    in_recovery: bool = False


def with_tries(drift: Sequence[Drift], mine: Found, tried: Tried) -> tuple[Drift, ...]:
    """Mark drift that trying has proved; what only trying has shown is drift of its own."""
    found = list(drift)
    for outcome in tried.surprises:
        known = (outcome.attempt.place, outcome.attempt.verb) in mine.known
        for place, each in enumerate(found):
            if each.role == mine.promise.role and _is_about(each, outcome):
                found[place] = replace(each, tried=f"tried: the database {outcome.answer.value}")
                known = True
        if not known:
            found.append(_shown_by_trying(mine.promise, outcome))
    return tuple(found)


def _is_about(drift: Drift, outcome: Outcome) -> bool:
    attempt = outcome.attempt
    if attempt.verb == SET_ROLE:
        return drift.about == f"membership in {quoted(attempt.place)}"
    if (drift.kind is Kind.MISSING) is not attempt.must_work:
        return False
    if attempt.verb == "temporary":
        return "temporary" in drift.privileges
    return attempt.place in drift.places and attempt.verb in drift.privileges


def _shown_by_trying(promise: Promise, outcome: Outcome) -> Drift:
    attempt = outcome.attempt
    statement = attempt.statement.removeprefix("EXPLAIN ")
    if outcome.answer is Answer.REFUSED:
        return Drift(
            role=promise.role,
            kind=Kind.MISSING,
            about=f"table `{attempt.place}`",
            what=f"the tier gives {attempt.verb.upper()}, and the database refused "
            f"`{statement}`: {outcome.words}",
            source="seen when it was tried",
            tried="tried: the database refused it",
        )
    return Drift(
        role=promise.role,
        kind=Kind.SURPLUS,
        about=f"{attempt.verb} {quoted(attempt.place)}",
        what=f"the database took `{statement}`, which the tier does not give",
        source="seen when it was tried; no access list tells why",
        tried="tried: the database took it",
    )
