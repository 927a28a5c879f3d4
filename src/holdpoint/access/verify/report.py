"""What was verified, in words and as a document; always in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from holdpoint.access.verify.drift import Drift
from holdpoint.access.verify.verify import Verified
from holdpoint.model.target import AccessLevel
from holdpoint.policy.words import quoted

EXIT_DRIFT: Final = 1
EXIT_CONFIGURATION: Final = 3
EXIT_UNREACHABLE: Final = 4
OWNER: Final = AccessLevel.OWNER.value


def exit_code(results: Sequence[Verified]) -> int:
    """Return 1 for drift, else 3 for a wrong configuration, else 4 for what could not be asked."""
    if any(each.drifted for each in results):
        return EXIT_DRIFT
    if any(each.problems for each in results):
        return EXIT_CONFIGURATION
    return EXIT_UNREACHABLE if any(each.unreachable for each in results) else 0


def summary(results: Sequence[Verified]) -> str:
    """Return everything in one line."""
    drifted = [each for each in results if each.drifted]
    down = sum(bool(each.unreachable) for each in results)
    wrong = sum(bool(each.problems) for each in results)
    tiers = _number(len(results), "tier")
    roles = _number(sum(len(each.roles) for each in results), "role")
    ends = [
        *([f"{_number(down, 'tier')} not wholly verified"] if down else []),
        *([f"{_number(wrong, 'tier')} with a wrong configuration"] if wrong else []),
    ]
    if drifted:
        count = _number(sum(each.drifted for each in results), "difference")
        begin = f"drift: {count} in {len(drifted):,} of {tiers}"
    elif ends:
        begin = f"no drift seen in {tiers}, {roles}"
    else:
        begin = f"ok: {tiers}, {roles}, as the configuration says"
    return "; ".join([begin, *ends])


def lines(result: Verified) -> Iterator[str]:
    """Yield what was found of one tier, for people; a name that holds a line's end begins none."""
    for line in _lines(result):
        yield line.replace("\n", "<U+000A>")


def _lines(result: Verified) -> Iterator[str]:
    yield f"{result.target}/{result.tier}  {result.access}  {_state(result)}"
    for problem in result.problems:
        yield f"  configuration: {problem}"
    if result.unreachable:
        yield f"  not verified: {result.unreachable}"
    for each in result.drift:
        if not (each.note and result.access == OWNER):
            yield from _told(each)
    yield from _owners(result)
    if result.untried and not result.unreachable:
        yield f"  nothing was tried: {result.untried}"
    for note in result.notes:
        yield f"  note: {note}"


def _state(result: Verified) -> str:
    roles = ", ".join(quoted(each) for each in result.roles) or "no role"
    where = " on a replica" if result.in_recovery else ""
    tried = ""
    if result.statements:
        sample = "" if result.objects == result.of else f" {result.objects:,} of"
        tried = (
            f", tried {_number(result.statements, 'statement')} on{sample} "
            f"{_number(result.of, 'table')}{where}"
        )
    count = _number(result.drifted, "difference") if result.drifted else "as configured"
    return f"{roles}: {'not verified' if not result.roles else count}{tried}"


def _owners(result: Verified) -> Iterator[str]:
    """What an owner's roles have, a line each: all of it is theirs to have; JSON tells it whole."""
    if result.access != OWNER:
        return
    notes = [each for each in result.drift if each.note]
    for role in dict.fromkeys(each.role for each in notes):
        has = [each.about for each in notes if each.role == role]
        yield f"  note: {quoted(role)}, as an owner may: {'; '.join(has)} (`--json`: all)"


def _told(drift: Drift) -> Iterator[str]:
    kind = "note" if drift.note else drift.kind.value
    yield f"  {kind}: {quoted(drift.role)}, {drift.about}"
    yield f"    {drift.what}"
    if drift.source:
        yield f"    from: {drift.source}"
    if drift.tried:
        yield f"    {drift.tried}"
    for statement in drift.mend:
        yield f"    mend: {statement}"


def document(results: Sequence[Verified]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "ok": exit_code(results) == 0,
        "summary": summary(results),
        "tiers": [_tier(each) for each in results],
    }


def _tier(result: Verified) -> dict[str, Any]:
    return {
        "target": result.target,
        "tier": result.tier,
        "access": result.access,
        "roles": list(result.roles),
        "drifted": result.drifted,
        "drift": [_drift(each) for each in result.drift],
        "problems": list(result.problems),
        "unreachable": result.unreachable,
        "replica": result.in_recovery,
        "tried": {
            "statements": result.statements,
            "tables": result.objects,
            "of_tables": result.of,
            "why_not": result.untried,
        },
        "notes": list(result.notes),
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "role": drift.role,
        "kind": drift.kind.value,
        "about": drift.about,
        "what": drift.what,
        "source": drift.source,
        "mend": list(drift.mend),
        "note": drift.note,
        "tried": drift.tried,
    }


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
