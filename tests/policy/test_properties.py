"""What must hold for any policy and any case (design, sections 3 and 7)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import SHOP, case, policy

from holdpoint.model.case import Case
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.effects import Access, Effect, ObjectKind, ObjectUse, Reading, Statement
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.target import AccessLevel, Freeze
from holdpoint.model.verdict import Verdict
from holdpoint.policy.approval import combined, people_of
from holdpoint.policy.decide import decide, facts_needed
from holdpoint.policy.rules import Condition, Glob, Policy, Rule

NAMES = st.sampled_from(["orders", "users", "cache", "audit"])
SCHEMAS = st.sampled_from(["", "public", "app"])
PATTERNS = st.sampled_from(["*", "orders", "public.*", "app.users", "C*", "a?dit"])
FREEZE = Freeze(
    name="sale", start=datetime(2026, 11, 25, tzinfo=UTC), end=datetime(2026, 11, 28, tzinfo=UTC)
)
SEASON = replace(SHOP, freezes=(FREEZE,))
TAGS = ["SELECT", "UPDATE", "ALTER TABLE", "CREATE TABLE", "DROP TABLE"]


def tuples(member: st.SearchStrategy[Any], size: int = 2) -> st.SearchStrategy[Any]:
    return st.lists(member, max_size=size, unique=True).map(tuple)


USES = st.builds(
    ObjectUse,
    NAMES,
    SCHEMAS,
    st.sampled_from([ObjectKind.RELATION, ObjectKind.SCHEMA, ObjectKind.DATABASE]),
    st.sampled_from(Access),
)


@st.composite
def statements(draw: Callable[..., Any]) -> Statement:
    effects = draw(st.frozensets(st.sampled_from(Effect), max_size=3))
    return Statement(
        tag=draw(st.sampled_from(TAGS)),
        text="x",
        effects=effects,
        objects=draw(tuples(USES)),
        functions=draw(tuples(st.sampled_from(["now", "lo_export", "app.f"]))),
        unknowns=("something",) if Effect.UNKNOWN in effects else (),
    )


@st.composite
def readings(draw: Callable[..., Any]) -> Reading:
    parts = tuple(draw(st.lists(statements(), max_size=3)))
    return Reading(
        text="x",
        statements=parts,
        effects=frozenset(effect for each in parts for effect in each.effects),
        objects=tuple(use for each in parts for use in each.objects),
        unknowns=tuple(words for each in parts for words in each.unknowns),
        text_only=draw(st.booleans()),
    )


FIGURES = st.one_of(
    st.just(Figure()),
    st.just(Figure(basis=Basis.UNKNOWN, why="no answer")),
    st.just(Figure(basis=Basis.WHEN_RUN)),
    st.builds(
        Figure,
        st.sampled_from([0, 1, 99, 1000, 1001, 200_000]),
        st.sampled_from([Basis.EXACT, Basis.ESTIMATE]),
    ),
)
FIRST = datetime(2026, 11, 20, tzinfo=UTC)
MOMENTS = st.integers(0, 11 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes))


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    findings = draw(tuples(st.just(Finding(code="HP2101", message="a hazard")), 1))
    return case(
        draw(readings()),
        draw(st.sampled_from(AccessLevel)),
        target=SEASON,
        rows=draw(FIGURES),
        table_rows=draw(FIGURES),
        at=draw(MOMENTS),
        findings=findings,
        agent=draw(st.sampled_from(["helper", "other"])),
    )


@st.composite
def rules(draw: Callable[..., Any], kinds: Any = Verdict) -> Rule:
    then = draw(st.sampled_from(kinds))
    effects = draw(st.frozensets(st.sampled_from(Effect), max_size=3))
    allows = then is Verdict.ALLOW
    if allows:
        effects = (effects - {Effect.UNKNOWN}) or frozenset({Effect.WRITE})
    globs = tuples(PATTERNS.map(Glob))
    bound = st.none() | st.sampled_from([0, 100, 1000])
    rows, size = draw(bound), draw(bound)
    if effects and effects.isdisjoint({Effect.WRITE, Effect.BULK_WRITE, Effect.DESTRUCTIVE}):
        rows = None
    if effects and effects.isdisjoint({Effect.DDL, Effect.DESTRUCTIVE}):
        size = None
    when = Condition(
        effects=effects,
        rows_over=None if allows else rows,
        rows_up_to=rows if allows else None,
        table_rows_over=None if allows else size,
        table_rows_up_to=size if allows else None,
        objects=draw(globs),
        access=draw(st.frozensets(st.sampled_from(Access), max_size=2)),
        tags=draw(tuples(st.sampled_from(["UPDATE", "*TABLE"]).map(Glob), 1)),
        agents=draw(tuples(st.just(Glob("help*")), 1)),
        business_hours=draw(st.none() | st.booleans()),
        freeze=draw(st.none() | st.booleans()),
    )
    if when == Condition():
        when = Condition(effects=frozenset({Effect.WRITE}))
    return Rule(id="r", when=when, then=then, reason="we said so")


def numbered(rules: list[Rule]) -> list[Rule]:
    return [replace(rule, id=f"rule-{at}") for at, rule in enumerate(rules)]


def compiled(rules: list[Rule]) -> Policy:
    return policy(*rules, targets=[SEASON])


RULES = st.lists(rules(), max_size=4).map(numbered)
REFUSALS = rules([Verdict.HOLD, Verdict.DENY])


@given(RULES, cases(), st.randoms(use_true_random=False))
def test_order_never_matters(rules: list[Rule], case: Case, random: Any) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)
    first, second = compiled(rules), compiled(shuffled)
    assert first.digest == second.digest
    assert decide(first, case) == decide(second, case)


@given(RULES, REFUSALS, st.sampled_from(["a", "rule-1x", "z"]), cases())
def test_adding_a_hold_or_deny_rule_never_loosens(
    rules: list[Rule], added: Rule, name: str, case: Case
) -> None:
    before = decide(compiled(rules), case)
    after = decide(compiled([*rules, replace(added, id=name)]), case)
    assert after.verdict >= before.verdict
    assert after.memoisable <= before.memoisable


@given(RULES, cases())
def test_every_refusal_has_a_reason_and_same_inputs_give_the_same(
    rules: list[Rule], case: Case
) -> None:
    decision = decide(compiled(rules), case)
    assert decision == decide(compiled(rules), case)
    if decision.verdict is not Verdict.ALLOW:
        assert decision.findings[0].code.startswith(("HP7", "HP2204", "HP33"))
        assert decision.findings[0].message
    for hazard in case.findings:
        assert hazard in decision.findings


@given(RULES, cases())
def test_the_unknown_is_at_least_held(rules: list[Rule], case: Case) -> None:
    unknown = Effect.UNKNOWN in case.reading.effects or case.reading.unknowns
    if unknown:
        assert decide(compiled(rules), case).verdict >= Verdict.HOLD


@given(RULES, cases())
def test_allow_rules_loosen_the_base_alone(rules: list[Rule], case: Case) -> None:
    without = [rule for rule in rules if rule.then is not Verdict.ALLOW]
    only_allow = [rule for rule in rules if rule.then is Verdict.ALLOW]
    strict = decide(compiled(without), case).verdict
    careful = decide(compiled([]), case).verdict
    loosened = decide(compiled(only_allow), case).verdict
    both = decide(compiled(rules), case).verdict
    assert loosened <= careful
    assert loosened <= both <= strict
    if strict > careful:
        assert both == strict, "what the team's own rules refuse, no allow rule gives back"


@given(RULES, cases(), FIGURES, FIGURES, MOMENTS)
def test_what_is_remembered_depends_on_nothing_else(
    rules: list[Rule], case: Case, rows: Figure, size: Figure, at: datetime
) -> None:
    ready = compiled(rules)
    if decide(ready, case).memoisable:
        impact = replace(case.impact, rows=rows, table_rows=size)
        other = replace(case, impact=impact, at=at, agent="somebody", task="else", parameters=())
        assert decide(ready, other).verdict is Verdict.ALLOW


@given(RULES, cases(), st.sampled_from([0, 5_000_000]))
def test_a_figure_that_is_not_needed_changes_nothing(
    rules: list[Rule], case: Case, value: int
) -> None:
    ready = compiled(rules)
    needed = facts_needed(ready, case.target, case.tier, case.reading)
    impact = case.impact
    for fact in ("rows", "table_rows"):
        if fact not in needed:
            impact = replace(impact, **{fact: Figure(value, Basis.EXACT)})
    other = replace(impact, **{
        fact: Figure() for fact in ("rows", "table_rows") if fact not in needed
    })  # fmt: skip
    first = decide(ready, replace(case, impact=impact)).verdict
    assert first == decide(ready, replace(case, impact=other)).verdict


QUORUMS = st.builds(
    Quorum, group=st.sampled_from(["", "dba", "ops", "sec"]), count=st.integers(1, 3)
)
NEEDS = st.builds(
    ApprovalNeed,
    all_of=st.lists(QUORUMS, min_size=1, max_size=2, unique_by=lambda q: q.group).map(tuple),
    any_of=st.lists(QUORUMS, max_size=2, unique_by=lambda q: q.group).map(tuple),
    expires_s=st.sampled_from([60.0, 3600.0]),
)


@given(st.lists(NEEDS, min_size=1, max_size=4))
def test_the_combined_need_meets_each(needs: list[ApprovalNeed]) -> None:
    both = combined(needs)
    assert both == combined(list(reversed(needs)))
    assert people_of(both) >= max(people_of(need) for need in needs)
    counts = {quorum.group: quorum.count for quorum in both.all_of}
    for need in needs:
        assert both.expires_s <= need.expires_s
        for quorum in need.all_of:
            if quorum.group:
                assert counts.get(quorum.group, 0) >= quorum.count
        if need.any_of:
            chosen = both.any_of and set(both.any_of) <= set(need.any_of)
            asked = all(counts.get(q.group, 0) >= q.count for q in need.any_of)
            assert chosen or asked


def test_nothing_to_combine_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nothing"):
        combined([])


settings.register_profile("policy", deadline=None)
settings.load_profile("policy")
