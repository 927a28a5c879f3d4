"""What ``holdpoint access suggest`` says, in words, as TOML and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import visible

if TYPE_CHECKING:
    from holdpoint.access.suggest.suggest import Drop, Suggested, Suggestion
    from holdpoint.access.suggest.workload import Evidence, Example
    from holdpoint.model.grants import Grant

SHOWN_CHARS_MAX: Final = 120
SHOWN_EXAMPLES_MAX: Final = 3
SHOWN_DROPS_MAX: Final = 40
SHOWN_ALIKE_MAX: Final = 5  # of drops for one and the same reason


def one_line(text: str) -> str:
    """Text of an agent for one line: no name of its making begins another."""
    return " ".join(visible(text).split())


def is_lacking(line: Suggested, suggestion: Suggestion) -> bool:
    """Whether the role does not hold now what is suggested."""
    [privilege] = line.grant.privileges
    rights = suggestion.rights
    if rights.superuser or not rights.exists:
        return False
    held = {
        each.column
        for each in rights.held
        if (each.kind, each.schema, each.privilege)
        == (line.grant.kind, line.grant.schema, privilege.name)
        and each.name == line.grant.name.partition("(")[0]
    }
    return "" not in held and not (privilege.columns and set(privilege.columns) <= held)


def print_toml(suggestions: Sequence[Suggestion], notes: Sequence[str]) -> None:
    """Print tables for holdpoint.toml; what is to be said stands in comments."""
    from holdpoint.access.suggest.toml import toml_of

    for note in notes:
        click.echo(f"# {one_line(note)}")
    for each in suggestions:
        click.echo(f"# {_basis(each)}")
        for doubt in each.doubts:
            click.echo(f"# {one_line(doubt.words)} ({_count(doubt.evidence)})")
        click.echo(toml_of(each.target, each.tier, each.as_grants()), nl=False)


def print_words(suggestions: Sequence[Suggestion], notes: Sequence[str], target: str) -> None:
    """Print suggestions for people."""
    for note in notes:
        click.echo(f"note: {one_line(note)}")
    if not suggestions:
        click.echo(f"nothing was done on target `{target}` in that time")
    for each in suggestions:
        _print_one(each)


def _print_one(suggestion: Suggestion) -> None:
    click.echo(f"\n{suggestion.target}/{suggestion.tier}: {_basis(suggestion)}")
    if suggestion.grants:
        click.echo("  the least grants that would have covered them:")
    for line in suggestion.grants:
        mark = "+" if is_lacking(line, suggestion) else " "
        click.echo(f"  {mark} {_grant_words(line.grant)}  ({_evidence(line.evidence)})")
        if len(line.by_column) > 1:
            counts = ", ".join(f"{one_line(name)} {count:,}" for name, count in line.by_column)
            click.echo(f"        by column: {counts}")
        for example in line.evidence.examples[:1]:
            click.echo(f"        {_example(example)}")
    if suggestion.everybody:
        labels = ", ".join(each.label for each in suggestion.everybody)
        click.echo(f"  open to PUBLIC, so not listed: {one_line(labels)}")
    _print_drops(suggestion)
    for need, evidence in suggestion.refused:
        count = _count(evidence)
        click.echo(f"  without `{one_line(need.label)}`: {count} would have been refused")
        for example in evidence.examples[:SHOWN_EXAMPLES_MAX]:
            click.echo(f"        {_example(example)}")
    for doubt in suggestion.doubts[:SHOWN_DROPS_MAX]:
        click.echo(f"  ? {one_line(doubt.words)} ({_count(doubt.evidence)})")
        for example in doubt.evidence.examples[:1]:
            click.echo(f"        {_example(example)}")


def _print_drops(suggestion: Suggestion) -> None:
    rights = suggestion.rights
    if rights.superuser:
        click.echo(
            f"  role `{one_line(rights.role)}` is a superuser: no grant bounds it; use another role"
        )
    for holder in (rights.role, ""):
        mine = [each for each in suggestion.drops if each.holder == holder]
        if not mine or (holder and rights.superuser):
            continue
        whom = f"role `{one_line(holder)}` holds" if holder else "the configuration grants"
        click.echo(f"  {whom}, and nothing used:")
        plain = [each for each in mine if not each.why]
        for drop in plain[:SHOWN_DROPS_MAX]:
            click.echo(f"  - {_drop_words(drop)}")
        if len(plain) > SHOWN_DROPS_MAX:
            click.echo(f"    and {len(plain) - SHOWN_DROPS_MAX:,} more: `--json`")
        for why in dict.fromkeys(each.why for each in mine if each.why):
            alike = [_grant_words(each.grant) for each in mine if each.why == why]
            more = (
                f", and {len(alike) - SHOWN_ALIKE_MAX:,} more"
                if len(alike) > SHOWN_ALIKE_MAX
                else ""
            )
            click.echo(f"  - {'; '.join(alike[:SHOWN_ALIKE_MAX])}{more}: {one_line(why)}")


def _drop_words(drop: Drop) -> str:
    words = _grant_words(drop.grant)
    return f"{words}; used: {one_line(', '.join(drop.used))}" if drop.used else words


def _grant_words(grant: Grant) -> str:
    from holdpoint.access.suggest.toml import words_of

    privileges = ", ".join(words_of(each) for each in grant.privileges)
    return one_line(f"{privileges} on {grant.kind.value} {grant.label}")


def _basis(suggestion: Suggestion) -> str:
    workload = suggestion.workload
    parts = ["1 statement ran" if workload.ran == 1 else f"{workload.ran:,} statements ran"]
    for name, evidence in (
        ("failed", workload.failed),
        ("were denied", workload.denied),
        ("have no known end", workload.open),
    ):
        if evidence.count:
            parts.append(f"{evidence.count:,} {name} and do not count")
    return "; ".join(parts) + _span(workload.period)


def _day(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1_000_000, UTC):%Y-%m-%d %H:%M} UTC"


def _count(evidence: Evidence) -> str:
    return f"{evidence.count:,} statement{'' if evidence.count == 1 else 's'}"


def _evidence(evidence: Evidence) -> str:
    words = _count(evidence)
    return words + _span(evidence)


def _span(evidence: Evidence) -> str:
    """From when to when; nothing where the source does not tell."""
    if not evidence.first_us:
        return ""
    first, last = _day(evidence.first_us), _day(evidence.last_us)
    return f", {first}" if first == last else f", {first} to {last}"


def _example(example: Example) -> str:
    text = one_line(example.text)
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 1] + "…"
    return f"record {example.seq:,}: {text}" if example.seq else text


def document(
    suggestions: Sequence[Suggestion], notes: Sequence[str], target: str
) -> dict[str, Any]:
    """Return suggestions as JSON values."""
    return {
        "target": target,
        "notes": list(notes),
        "tiers": [_suggestion_document(each) for each in suggestions],
    }


def _suggestion_document(suggestion: Suggestion) -> dict[str, Any]:
    from holdpoint.access.suggest.toml import toml_of

    workload = suggestion.workload
    return {
        "tier": suggestion.tier,
        "role": suggestion.rights.role,
        "superuser": suggestion.rights.superuser,
        "statements": {
            "ran": workload.ran,
            "failed": workload.failed.count,
            "denied": workload.denied.count,
            "open": workload.open.count,
        },
        "grants": [
            {
                **_grant_document(each.grant),
                "lacking": is_lacking(each, suggestion),
                "evidence": _evidence_document(each.evidence),
                "by_column": dict(each.by_column),
            }
            for each in suggestion.grants
        ],
        "public": [each.label for each in suggestion.everybody],
        "drops": [
            {
                **_grant_document(each.grant),
                "holder": each.holder,
                "used": list(each.used),
                "why": each.why,
            }
            for each in suggestion.drops
        ],
        "refused": [
            {"without": need.label, "evidence": _evidence_document(evidence)}
            for need, evidence in suggestion.refused
        ],
        "doubts": [
            {"words": each.words, "evidence": _evidence_document(each.evidence)}
            for each in suggestion.doubts
        ],
        "toml": toml_of(suggestion.target, suggestion.tier, suggestion.as_grants()),
    }


def _grant_document(grant: Grant) -> dict[str, Any]:
    [privilege] = grant.privileges
    return {
        "kind": grant.kind.value,
        "schema": grant.schema,
        "name": grant.name,
        "privilege": privilege.name,
        "columns": list(privilege.columns),
    }


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
    return {
        "statements": evidence.count,
        "first": _day(evidence.first_us) if evidence.first_us else None,
        "last": _day(evidence.last_us) if evidence.last_us else None,
        "examples": [{"record": each.seq or None, "text": each.text} for each in evidence.examples],
    }
