"""From rules to a policy: every rule is checked and runs its own examples; all errors at once.

Rules are put in order of their ids, so that neither decisions nor the digest depend on the order
in the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.effects import Dialect, Effect, Reading, SessionView
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.limits import HOLD_EXPIRES_S
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy import careful
from holdpoint.policy.match import Match, figures_met, speaks_of
from holdpoint.policy.rules import Condition, Example, Glob, Policy, Rule, Thresholds
from holdpoint.policy.table import build_table, widened

__all__ = [
    "Policy",
    "PolicyError",
    "PolicyProblem",
    "check_rule",
    "compile_policy",
    "nearest",
    "read_postgres",
]

Reader = Callable[[str], Reading]

_ID_SHAPE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ROWS_CHANGE: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE, Effect.DESTRUCTIVE})
_SIZED: Final = frozenset({Effect.DDL, Effect.DESTRUCTIVE})


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """What is wrong with a rule. ``place`` is the path in the file: ``("rules", 2, "when")``."""

    place: tuple[str | int, ...]
    message: str
    hint: str = ""


class PolicyError(Exception):
    """The rules cannot be compiled; ``problems`` holds every reason, never none."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def compile_policy(
    rules: Iterable[Rule] = (),
    targets: Iterable[Target] = (),
    *,
    thresholds: Thresholds | None = None,
    need: ApprovalNeed | None = None,
    read: Reader | None = None,
) -> Policy:
    """Check the rules against the targets and their own examples, and build the policy.

    ``need`` is what a hold asks for where its rule says nothing. ``read`` turns the text of an
    example into a reading; the reader of ``holdpoint.sql`` unless given. Raises ``PolicyError``.
    """
    wide = [widened(rule) for rule in rules]
    known = tuple(targets)
    problems: list[PolicyProblem] = []
    seen: set[str] = set()
    for at, rule in enumerate(wide):
        problems += check_rule(rule, known, ("rules", at), read or read_postgres)
        if rule.id in seen:
            words = f"there is another rule `{rule.id}`"
            problems.append(PolicyProblem(("rules", at, "id"), words, "give each rule its own id"))
        seen.add(rule.id)
    if problems:
        raise PolicyError(problems)
    ordered = tuple(sorted(wide, key=lambda rule: rule.id))
    limits = thresholds or Thresholds()
    asked = need or ApprovalNeed(expires_s=HOLD_EXPIRES_S)
    return Policy(
        rules=ordered,
        thresholds=limits,
        need=asked,
        digest=_digest(ordered, known, limits, asked),
        tables={
            (target.name, tier.name): build_table(ordered, target, tier)
            for target in known
            for tier in target.tiers
        },
    )


def read_postgres(text: str) -> Reading:
    """Read a text as PostgreSQL would, in a session as it stands after connecting."""
    from holdpoint.sql import read  # only rules with examples need the grammar at load

    return read(text, Dialect.POSTGRES, SessionView())


def check_rule(
    rule: Rule, targets: tuple[Target, ...], place: tuple[str | int, ...], read: Reader
) -> list[PolicyProblem]:
    """Everything wrong with one rule that has been put together."""
    problems = [
        PolicyProblem((*place, *path), f"rule `{rule.id}`: {message}", hint)
        for path, message, hint in (
            *_check_shape(rule),
            *_check_figures(rule),
            *_check_names(rule.when, targets),
        )
    ]
    if problems:
        return problems
    for at, example in enumerate(rule.examples):
        nth = sum(1 for other in rule.examples[:at] if other.expect is example.expect)
        where = (*place, "examples", example.expect.name.lower(), nth)
        found = _check_example(rule, example, read)
        if found:
            problems.append(PolicyProblem(where, f"rule `{rule.id}`: {found[0]}", found[1]))
    return problems


_Trouble = tuple[tuple[str | int, ...], str, str]


def _check_shape(rule: Rule) -> list[_Trouble]:
    """Id, reason, and what only some verdicts may have."""
    found: list[_Trouble] = []
    if not _ID_SHAPE.fullmatch(rule.id):
        found.append((("id",), "an id has small letters, digits, `-`, `_` and `.`", ""))
    if not rule.reason.strip():
        found.append((("reason",), "the reason is empty", "say why, in words for the agent"))
    if rule.need is not None and rule.then is not Verdict.HOLD:
        words = "only a rule that holds asks for approval"
        found.append((("approve",), words, 'write `then = "hold"` or leave `approve` out'))
    if rule.then is Verdict.ALLOW:
        if not rule.when.effects:
            words = "an allow rule must name the effects it allows"
            found.append((("when",), words, 'add `effect = ["write"]` to `when`'))
        if Effect.UNKNOWN in rule.when.effects:
            words = "what is not understood cannot be allowed"
            found.append((("when", "effect"), words, "leave `unknown` out"))
    elif rule.when == Condition():
        words = "the rule matches every statement"
        found.append((("when",), words, "name at least one condition, such as `targets`"))
    return found


def _check_figures(rule: Rule) -> list[_Trouble]:
    """Bounds of the right kind, on statements that have such a figure."""
    found: list[_Trouble] = []
    when = rule.when
    wrong, right = ("over", "up_to") if rule.then is Verdict.ALLOW else ("up_to", "over")
    given = {
        "rows_over": when.rows_over,
        "rows_up_to": when.rows_up_to,
        "table_rows_over": when.table_rows_over,
        "table_rows_up_to": when.table_rows_up_to,
    }
    for kind, having in (("rows", _ROWS_CHANGE), ("table_rows", _SIZED)):
        name = f"{kind}_{wrong}"
        if given[name] is not None:
            verb = "an allow rule" if rule.then is Verdict.ALLOW else "a hold or deny rule"
            found.append((("when", name), f"{verb} takes `{kind}_{right}`, not `{name}`", ""))
        for bound in (f"{kind}_over", f"{kind}_up_to"):
            value = given[bound]
            if value is not None and value < 0:
                found.append((("when", bound), f"`{bound}` is below zero", ""))
            if value is not None and when.effects and when.effects.isdisjoint(having):
                effects = ", ".join(f"`{effect.value}`" for effect in sorted(having))
                words = f"`{bound}` says nothing about these effects; it counts for {effects}"
                found.append((("when", bound), words, ""))
    return found


def _check_names(when: Condition, targets: tuple[Target, ...]) -> list[_Trouble]:
    """Patterns of targets, tiers and environments must fit something that exists."""
    if not targets:
        return []
    tiers = [tier.name for target in targets for tier in target.tiers]
    environments = [each.environment_of(tier) for each in targets for tier in each.tiers]
    found: list[_Trouble] = []
    for key, globs, names in (
        ("targets", when.targets, [target.name for target in targets]),
        ("tiers", when.tiers, tiers),
        ("environments", when.environments, environments),
    ):
        for glob in globs:
            if not any(glob.matches(name) for name in names):
                words = f"no {key[:-1]} fits `{glob.pattern}`"
                found.append((("when", key), words, nearest(glob.pattern, names)))
    return found


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest valid name, or with all of them if they are few."""
    known = sorted(set(names))
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{by_lower[close[0]]}`?"
    if 0 < len(known) <= 12:
        return "valid here: " + ", ".join(f"`{each}`" for each in known)
    return ""


def _check_example(rule: Rule, example: Example, read: Reader) -> tuple[str, str] | None:
    """What is wrong with an example, and a hint."""
    shown = example.sql if len(example.sql) <= 80 else example.sql[:79] + "…"
    reading = read(example.sql)
    if reading.problem is not None:
        return f"the example `{shown}` cannot be read: {reading.problem.message}", ""
    if not reading.statements:
        return f"the example `{shown}` has no statement", ""
    matches = _example_matches(rule, example, reading)
    if matches == (example.expect is rule.then):
        return None
    effects = ", ".join(sorted(effect.value for effect in reading.effects)) or "none"
    hint = f"its effects are: {effects}"
    if rule.when.about_rows and example.rows is None:
        hint += '; give the figure: `{ sql = "…", rows = 5000 }`'
    if rule.when.about_table_rows and example.table_rows is None:
        hint += '; give the figure: `{ sql = "…", table_rows = 5000 }`'
    verb = "matches" if matches else "does not match"
    return f"it {verb} its example of {example.expect.name.lower()}, `{shown}`", hint


def _example_matches(rule: Rule, example: Example, reading: Reading) -> bool:
    """Whether the rule matches, with everything the example does not say taken as met."""
    rows, table_rows = _figure(example.rows), _figure(example.table_rows)
    answers = [
        speaks_of(rule, statement)
        and figures_met(rule, statement, rows, table_rows) is not Match.NO
        for statement in reading.statements
    ]
    return all(answers) if rule.then is Verdict.ALLOW else any(answers)


def _figure(value: int | None) -> Figure:
    """The figure of an example: exact, or no database."""
    return Figure() if value is None else Figure(value, Basis.EXACT)


def _digest(
    rules: tuple[Rule, ...], targets: tuple[Target, ...], limits: Thresholds, need: ApprovalNeed
) -> str:
    """SHA-256 over canonical JSON of everything that decides; where URLs come from does not."""
    document = {
        "careful": [careful.VERSION, limits.write_rows_max, limits.big_table_rows],
        "need": _need_document(need),
        "rules": [_rule_document(rule) for rule in rules],
        "targets": {target.name: _target_document(target) for target in targets},
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _rule_document(rule: Rule) -> dict[str, Any]:
    """What of a rule decides, or is part of what a person sees. Examples are neither."""
    when: dict[str, Any] = {}
    for name in Condition.__slots__:
        value = getattr(rule.when, name)
        if isinstance(value, frozenset):
            value = sorted(member.value for member in value)
        elif isinstance(value, tuple):
            value = sorted(_pattern(glob) for glob in value)
        when[name] = value
    need = None if rule.need is None else _need_document(rule.need)
    return {"id": rule.id, "when": when, "then": rule.then.name, "why": rule.reason, "need": need}


def _pattern(glob: Glob) -> str:
    """The text of a pattern."""
    return glob.pattern


def _need_document(need: ApprovalNeed) -> dict[str, Any]:
    """A need without floats."""

    def quorums(members: tuple[Quorum, ...]) -> list[list[Any]]:
        return sorted([quorum.group, quorum.count] for quorum in members)

    return {
        "all": quorums(need.all_of),
        "any": quorums(need.any_of),
        "expires_ms": round(need.expires_s * 1000),
    }


def _tier_document(tier: Tier) -> list[Any]:
    """What of a tier decides: what it gives, what its role may do, and what names mean there."""
    grants = None
    if tier.grants is not None:
        grants = sorted(
            [each.kind.value, each.label, sorted(map(str, each.privileges))] for each in tier.grants
        )
    settings = sorted([name, value] for name, value in tier.settings)
    return [tier.access.value, tier.environment, grants, settings]


def _target_document(target: Target) -> dict[str, Any]:
    """What of a target decides."""
    hours = target.business_hours
    return {
        "engine": target.engine,
        "environment": target.environment,
        "timezone": target.timezone,
        "hours": hours and [sorted(hours.days), hours.start.isoformat(), hours.end.isoformat()],
        "freezes": sorted(
            [freeze.start.isoformat(), freeze.end.isoformat(), freeze.name]
            for freeze in target.freezes
        ),
        "tiers": {tier.name: _tier_document(tier) for tier in target.tiers},
        "counts": None if target.exact_rows_s is None else round(target.exact_rows_s * 1000),
        "read_cost_over": target.read_cost_over,
    }
