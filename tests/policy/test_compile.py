"""Compiling: rules are checked against each other, the targets and their own examples."""

from dataclasses import replace

import pytest
from policy_cases import SHOP, policy, rule

from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.effects import Effect
from holdpoint.model.target import AccessLevel
from holdpoint.model.verdict import Verdict
from holdpoint.policy.compile import PolicyError, compile_policy, nearest
from holdpoint.policy.rules import Condition, Example, Rule, Thresholds

A, H, D = Verdict.ALLOW, Verdict.HOLD, Verdict.DENY
WRITE, BULK, DDL = Effect.WRITE, Effect.BULK_WRITE, Effect.DDL


def problems(*rules: Rule) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        compile_policy(rules, (SHOP,))
    return [f"{problem.message}; {problem.hint}" for problem in caught.value.problems]


BULKY = Rule(
    id="bulk-change",
    when=Condition(effects=frozenset({WRITE, BULK}), rows_over=1000),
    then=H,
    reason="more than 1,000 rows change",
    examples=(
        Example(sql="UPDATE orders SET status = 'x'", expect=H),
        Example(sql="UPDATE orders SET status = 'x' WHERE id = 1", expect=A),
        Example(sql="DELETE FROM orders WHERE old", expect=H, rows=1001),
        Example(sql="DELETE FROM orders WHERE old", expect=A, rows=1000),
    ),
)


def test_the_example_of_the_design_compiles() -> None:
    assert compile_policy([BULKY], [SHOP]).rules[0].id == "bulk-change"


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (Example(sql="SELECT 1", expect=H), "does not match its example of hold, `SELECT 1`"),
        (Example(sql="DELETE FROM orders", expect=A), "matches its example of allow"),
        (Example(sql="DELETE FROM orders WHERE old", expect=H), "give the figure"),
        (Example(sql="selct", expect=H), "cannot be read: syntax error"),
        (Example(sql="-- nothing", expect=H), "has no statement"),
    ],
)
def test_an_example_that_does_not_hold_is_an_error(example: Example, words: str) -> None:
    (problem,) = problems(replace(BULKY, examples=(example,)))
    assert words in problem


def test_what_an_example_does_not_say_is_taken_as_met() -> None:
    when = replace(BULKY.when, agents=rule(H, agents="bot-*").when.agents, business_hours=True)
    assert compile_policy([replace(BULKY, when=when)], [SHOP])


def test_an_allow_rule_must_cover_the_whole_example() -> None:
    allow = rule(A, "cache", effects=[BULK], objects="cache.*")
    good = Example(sql="DELETE FROM cache.pages", expect=A)
    stowaway = Example(sql="DELETE FROM cache.pages; DELETE FROM users", expect=H)
    assert compile_policy([replace(allow, examples=(good, stowaway))], [SHOP])
    wrong = replace(stowaway, expect=A)
    assert "does not match" in problems(replace(allow, examples=(wrong,)))[0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (rule(H, "Bulk Change", effects=[WRITE]), "an id has small letters"),
        (rule(H, reason=" ", effects=[WRITE]), "the reason is empty"),
        (rule(H), "matches every statement"),
        (rule(A, objects="cache.*"), "must name the effects"),
        (rule(A, effects=[WRITE, Effect.UNKNOWN]), "cannot be allowed"),
        (rule(A, effects=[WRITE], rows_over=5), "takes `rows_up_to`"),
        (rule(D, effects=[WRITE], rows_up_to=5), "takes `rows_over`"),
        (rule(D, effects=[DDL], table_rows_up_to=5), "takes `table_rows_over`"),
        (rule(D, effects=[DDL], rows_over=5), "says nothing about these effects"),
        (rule(D, effects=[WRITE], table_rows_over=5), "says nothing about these effects"),
        (rule(D, effects=[WRITE], rows_over=-1), "below zero"),
        (rule(D, targets="shp"), "no target fits `shp`; did you mean `shop`?"),
        (rule(D, tiers="read-rite"), "did you mean `read-write`?"),
        (rule(D, environments="staging"), "no environment fits `staging`; valid here"),
        (replace(rule(D, effects=[WRITE]), need=ApprovalNeed()), "only a rule that holds"),
    ],
)
def test_what_a_rule_must_not_be(wrong: Rule, words: str) -> None:
    assert any(words in problem for problem in problems(wrong))


def test_all_problems_come_at_once_with_their_places() -> None:
    with pytest.raises(PolicyError) as caught:
        compile_policy([rule(H), BULKY, rule(A, objects="x", reason=""), BULKY], (SHOP,))
    places = [problem.place for problem in caught.value.problems]
    assert places == [
        ("rules", 0, "when"),
        ("rules", 2, "reason"),
        ("rules", 2, "when"),
        ("rules", 2, "id"),
        ("rules", 3, "id"),
    ]


def test_the_digest_covers_what_decides_and_nothing_else() -> None:
    base = policy(BULKY)
    assert len(base.digest) == 64
    tier = SHOP.tiers[0]
    elsewhere = replace(tier, url_source="env:ELSEWHERE")
    other_names = replace(tier, settings=(("search_path", "app"),))
    same = [
        policy(replace(BULKY, examples=())),
        policy(BULKY, targets=[replace(SHOP, tiers=(elsewhere, *SHOP.tiers[1:]))]),
    ]
    other = [
        policy(),
        policy(replace(BULKY, then=D, examples=())),
        policy(replace(BULKY, reason="another reason")),
        policy(replace(BULKY, when=replace(BULKY.when, rows_over=999), examples=())),
        policy(replace(BULKY, need=ApprovalNeed(expires_s=1.0))),
        policy(BULKY, thresholds=Thresholds(write_rows_max=1)),
        policy(BULKY, need=ApprovalNeed(expires_s=1.0)),
        policy(BULKY, targets=[replace(SHOP, environment="staging")]),
        policy(BULKY, targets=[replace(SHOP, timezone="UTC")]),
        policy(BULKY, targets=[replace(SHOP, business_hours=None)]),
        policy(BULKY, targets=[replace(SHOP, tiers=(replace(tier, access=AccessLevel.OWNER),))]),
        policy(BULKY, targets=[replace(SHOP, tiers=(other_names, *SHOP.tiers[1:]))]),
    ]
    assert {each.digest for each in same} == {base.digest}
    digests = [each.digest for each in other]
    assert base.digest not in digests
    assert len(set(digests)) == len(digests)


def test_nearest() -> None:
    assert nearest("Reed", ["read", "write"]) == "did you mean `read`?"
    assert nearest("zzz", ["b", "a"]) == "valid here: `a`, `b`"
    assert nearest("zzz", []) == ""
