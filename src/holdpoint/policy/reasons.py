"""The findings of policy: what they say and what to do next. Their pages are in docs/hazards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdpoint.model.case import Case
from holdpoint.model.effects import Effect, Statement, SyntaxProblem
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Figure, Impact, ReadCost
from holdpoint.model.target import Freeze, Target, Tier
from holdpoint.policy.careful import TABLE, Answer
from holdpoint.policy.rules import Rule
from holdpoint.policy.tiers import how_to_ask, may_use
from holdpoint.policy.words import EFFECT_WORDS, counted, described, listed, plain, quoted

UNREADABLE: Final = "HP1001"  # the server's grammar refuses the text
BY_RULE: Final = "HP7001"  # a rule of the team matched
NOT_GIVEN: Final = "HP7002"  # the tier does not give the effect
RAISED: Final = "HP7003"  # a rule could not be worked out
NO_FIGURE: Final = "HP7004"  # a figure was needed and none came
MANY_ROWS: Final = "HP2204"  # more rows than may change unseen
HOURS: Final = "HP3301"  # a schema change in business hours
FREEZE: Final = "HP3302"  # a schema change in a freeze
BIG_TABLE: Final = "HP3303"  # a schema change on a big table
COSTLY_READ: Final = "HP6104"  # a read that the planner expects to cost too much
HELD_EFFECT: Final = "HP7005"  # an effect that always waits for a person
UNKNOWN: Final = "HP7006"  # something was not understood

_WAIT: Final = "wait for the approval and send the same statement again"


def unreadable(problem: SyntaxProblem) -> Finding:
    """HP1001: the server would refuse the text, too."""
    where = f" at character {problem.position:,}" if problem.position > 0 else ""
    return Finding(
        code=UNREADABLE,
        message=f"the statement cannot be read{where}: {plain(problem.message)}",
        hint="mend the statement; nothing of it was run",
    )


def by_rule(case: Case, statement: Statement, rule: Rule) -> Finding:
    """HP7001: the team's own reason, with the figures the rule rests on."""
    detail = f"rule `{rule.id}`"
    if rule.when.about_rows:
        detail += f"; rows that change: {counted(case.impact.most_rows)}"
    if rule.when.about_table_rows:
        detail += f"; rows of the table: {counted(case.impact.table_rows)}"
    denied = rule.then.name == "DENY"
    bounded = rule.when.about_rows and rule.when.rows_over is not None
    hint = _WAIT
    if denied:
        hint = "do it another way; nobody can approve this here"
    elif bounded:
        hint = f"narrow it to at most {rule.when.rows_over:,} rows, or {_WAIT}"
    return Finding(
        code=BY_RULE, message=f"{described(statement)}: {rule.reason}", detail=detail, hint=hint
    )


def not_given(case: Case, statement: Statement, effects: Sequence[Effect]) -> Finding:
    """HP7002: names the tier of this target that gives it, and how to ask for it."""
    words = listed([EFFECT_WORDS[effect] for effect in effects])
    tier = quoted(case.tier.name)
    return Finding(
        code=NOT_GIVEN,
        message=f"{described(statement)}: tier {tier} does not give {words}",
        detail=f"tier {tier} of {quoted(case.target.name)} has access `{case.tier.access.value}`",
        hint=_where_given(case, statement.effects),
    )


def _where_given(case: Case, effects: frozenset[Effect]) -> str:
    """Which tier of the target gives the effects, and how to reach it."""
    found = giving_tier(case.target, effects)
    if found is None:
        return (
            f"no tier of {quoted(case.target.name)} gives this; "
            "ask the people who run this gate to do it or to add a tier that does"
        )
    answers = TABLE[found.access]
    held = any(answers[effect] is not Answer.ALLOW for effect in effects)
    then = ", where it may wait for approval" if held else ""
    if not found.url_source:  # judged without a configuration: there is no such tier to name
        return f"a tier with access `{found.access.value}` gives this{then}"
    path = quoted(f"{case.target.name}/{found.name}")
    if not may_use(case.target, found, case.agent, case.task, case.task_tiers, case.at):
        return how_to_ask(f"{case.target.name}/{found.name}")
    return f"connect to database {path} (access `{found.access.value}`){then}"


def giving_tier(target: Target, effects: frozenset[Effect]) -> Tier | None:
    """The tier with the least access that does not deny the effects."""
    for tier in target.by_access():
        if all(TABLE[tier.access][effect] is not Answer.DENY for effect in effects):
            return tier
    return None


def raised(rule_id: str, error: BaseException) -> Finding:
    """HP7003: fail closed on a rule that cannot be worked out."""
    words = plain(str(error)) or "no reason given"
    return Finding(
        code=RAISED,
        message=f"rule `{rule_id}` could not be worked out, so the statement waits for a person",
        detail=words,
        hint="check the rule with `holdpoint policy check`",
    )


def no_figure(statement: Statement, asked: str, figure: Figure, rule_id: str) -> Finding:
    """HP7004: what cannot be counted is not taken for little."""
    return Finding(
        code=NO_FIGURE,
        message=f"{described(statement)}: {asked} is not known",
        detail=f"rule `{rule_id}`; {counted(figure)}",
        hint="send it where the database can be asked, make it easier to count, or " + _WAIT,
    )


def many_rows(statement: Statement, impact: Impact, bound: int) -> Finding:
    """HP2204 for a filtered write over the threshold, by itself or by what foreign keys take."""
    words = f"{described(statement)} changes {_rows(impact.rows)}"
    taken: dict[str, int] = {}
    for cascade in impact.cascades:
        taken[cascade.table] = taken.get(cascade.table, 0) + (cascade.rows.value or 0)
    most = max(taken, key=taken.__getitem__, default="")
    if taken.get(most, 0) > (impact.rows.value or 0):
        words += f", and foreign keys change {_rows(impact.most_rows)} of {quoted(most)}"
    return Finding(
        code=MANY_ROWS,
        message=words,
        detail=f"rule `careful:write`; writes over {bound:,} rows wait for a person",
        hint=f"narrow it to at most {bound:,} rows, or {_WAIT}",
    )


def _rows(rows: Figure) -> str:
    """``48,211 rows (exact)`` or ``about 48,211 rows (estimate)``."""
    number, _, basis = counted(rows).partition(" (")
    return f"{number} rows ({basis}"


def held_effect(case: Case, statement: Statement, effect: Effect) -> Finding:
    """HP2204 for writes without a filter, HP7005 for every other effect that always waits."""
    detail = f"rule `careful:{effect.value}`"
    if effect is Effect.BULK_WRITE:
        return Finding(
            code=MANY_ROWS,
            message=f"{described(statement)} changes every row: nothing filters it",
            detail=f"{detail}; rows: {counted(case.impact.most_rows)}",
            hint=f"add a filter, or {_WAIT}",
        )
    return Finding(
        code=HELD_EFFECT,
        message=f"{described(statement)}: {EFFECT_WORDS[effect]} waits for a person",
        detail=f"{detail}; tier {quoted(case.tier.name)} has access `{case.tier.access.value}`",
        hint=_WAIT,
    )


def in_freeze(statement: Statement, target: Target, freeze: Freeze) -> Finding:
    """HP3302."""
    end = freeze.end.strftime("%Y-%m-%d %H:%M UTC")
    return Finding(
        code=FREEZE,
        message=f"{described(statement)}: {quoted(target.name)} is frozen until {end}",
        detail=f"rule `careful:ddl`; freeze {quoted(freeze.name)}",
        hint=f"send it after {end}, or {_WAIT}",
    )


def in_hours(statement: Statement, target: Target, environment: str) -> Finding:
    """HP3301."""
    hours = target.business_hours
    if hours is None:
        detail = "rule `careful:ddl`; no `business_hours` are set, so every hour counts"
        hint = _WAIT
    else:
        span = f"{hours.start:%H:%M}-{hours.end:%H:%M} {target.timezone}"
        detail = f"rule `careful:ddl`; business hours {span}"
        hint = f"send it outside business hours, or {_WAIT}"
    return Finding(
        code=HOURS,
        message=(
            f"{described(statement)}: the schema of {quoted(target.name)} "
            f"({quoted(environment)}) changes in business hours only with approval"
        ),
        detail=detail,
        hint=hint,
    )


def big_table(statement: Statement, size: Figure, bound: int) -> Finding:
    """HP3303."""
    return Finding(
        code=BIG_TABLE,
        message=f"{described(statement)}: the table has {_rows(size)}",
        detail=f"rule `careful:ddl`; schema changes on tables over {bound:,} rows wait",
        hint=_WAIT,
    )


def costly_read(statement: Statement, read: ReadCost, bound: int, rule_id: str) -> Finding:
    """HP6104: a read whose plan costs more than the target lets pass."""
    words = f"{described(statement)}: the planner expects it to cost {read.cost:,} units"
    return Finding(
        code=COSTLY_READ,
        message=f"{words}, {plain(read.hurts)}" if read.hurts else words,
        detail=f"rule `{rule_id}`; about {read.rows:,} rows come back; over {bound:,} units wait",
        hint="add a condition that an index serves or a LIMIT, or " + _WAIT,
    )


def unknown(unknowns: Sequence[str]) -> Finding:
    """HP7006: what is not understood is held everywhere, and no rule can loosen that."""
    return Finding(
        code=UNKNOWN,
        message=f"not understood: {plain(unknowns[0])}",
        detail="; ".join(plain(words) for words in unknowns[1:]),
        hint="write it in a way that shows what it does, or " + _WAIT,
    )
