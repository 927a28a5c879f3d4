"""The grants of a tier: the gate refuses by the list that the database's role is made from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_cases import SHOP, case

from holdpoint import sql
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Effect
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.compile import compile_policy
from holdpoint.policy.decide import decide, passes_on_text
from holdpoint.policy.rules import Condition, Policy, Rule

RW = AccessLevel.READ_WRITE


def grant(name: str, *privileges: str, schema: str = "public") -> Grant:
    """``grant("orders", "select", "update:status,note")``."""
    parts = [each.partition(":") for each in privileges]
    made = [
        GrantedPrivilege(verb, tuple(cols.split(",")) if cols else ()) for verb, _, cols in parts
    ]
    return Grant(schema, name, tuple(made))


def shop(*grants: Grant) -> Target:
    """The shop, with these grants in its read-write tier."""
    tiers = [replace(tier, grants=grants) if tier.access is RW else tier for tier in SHOP.tiers]
    return replace(SHOP, tiers=tuple(tiers))


def tier_of(target: Target) -> Tier:
    tier = target.tier(RW.value)
    assert tier is not None
    return tier


def decided(target: Target, text: str, policy: Policy | None = None) -> Decision:
    return decide(policy or compile_policy((), (target,)), case(sql.read(text), RW, target=target))


GIVEN = shop(
    grant("orders", "select", "insert", "update:status,note"),
    grant("users", "select:id,name"),
    grant("*", "select", schema="sales"),
)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM orders",
        "SELECT * FROM public.orders WHERE id IN (SELECT id FROM users)",
        "SELECT relname FROM pg_class WHERE relname = 'x'",
        "SELECT * FROM sales.anything",
        "WITH users AS (SELECT 1) SELECT * FROM users",
        "SELECT 1",
    ],
)
def test_reads_within_the_grants_pass_on_their_text(text: str) -> None:
    reading = sql.read(text)
    assert passes_on_text(compile_policy((), (GIVEN,)), GIVEN, tier_of(GIVEN), reading)
    assert decided(GIVEN, text).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("text", "words", "detail"),
    [
        ("SELECT * FROM payments", "SELECT on `payments`", "it gives nothing on `payments`"),
        ("SELECT * FROM orders, payments", "SELECT on `payments`", "nothing"),
        ("SELECT * FROM (SELECT * FROM app.orders) AS x", "SELECT on `app.orders`", "nothing"),
        ("DELETE FROM orders WHERE id = 1", "DELETE on `orders`", "only SELECT, INSERT and UPDATE"),
        (
            "UPDATE orders SET total = 1 WHERE id = 1",
            "UPDATE (total) on `orders`",
            "(note, status)",
        ),
        ("UPDATE orders SET status = 'x', total = 1 WHERE id = 1", "(status, total)", "UPDATE"),
        ("INSERT INTO users VALUES (1)", "INSERT on `users`", "only SELECT(id, name)"),
        (
            "WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT * FROM d",
            "DELETE on `orders`",
            "SELECT",
        ),
        ("COPY payments TO STDOUT", "SELECT on `payments`", "nothing"),
        ("EXPLAIN ANALYZE SELECT * FROM payments", "SELECT on `payments`", "nothing"),
        ("PREPARE p AS SELECT * FROM payments; EXECUTE p", "SELECT on `payments`", "nothing"),
        ("INSERT INTO sales.x VALUES (1)", "INSERT on `sales.x`", "only SELECT"),
    ],
)
def test_what_the_grants_do_not_cover_is_denied(text: str, words: str, detail: str) -> None:
    decision = decided(GIVEN, text)
    assert decision.verdict is Verdict.DENY
    finding = next(each for each in decision.findings if each.code == "HP7007")
    assert words in finding.message
    assert detail in finding.detail
    reading = sql.read(text)
    assert not passes_on_text(compile_policy((), (GIVEN,)), GIVEN, tier_of(GIVEN), reading)


def test_columns_of_two_grants_add_up() -> None:
    target = shop(grant("orders", "update:status"), grant("*", "update:note"))
    both = "UPDATE orders SET status = 'x', note = 'y' WHERE id = 1"
    assert not decided(target, both).findings
    assert decided(target, "UPDATE orders SET total = 1 WHERE id = 1").verdict is Verdict.DENY


def test_an_allow_rule_widens_no_grant() -> None:
    when = Condition(effects=frozenset({Effect.READ, Effect.WRITE}))
    rule = Rule(id="mine", when=when, then=Verdict.ALLOW, reason="all is well")
    policy = compile_policy((rule,), (GIVEN,))
    assert decided(GIVEN, "SELECT * FROM payments", policy).verdict is Verdict.DENY


def test_a_tier_that_names_no_grants_gives_what_its_access_level_gives() -> None:
    assert decided(SHOP, "SELECT * FROM payments").verdict is Verdict.ALLOW


def test_empty_grants_give_nothing() -> None:
    assert decided(shop(), "SELECT * FROM orders").verdict is Verdict.DENY


def test_sequences_and_functions_are_left_to_the_database() -> None:
    usage = (GrantedPrivilege("usage"),)
    target = shop(Grant("public", "orders_id_seq", usage, ObjectClass.SEQUENCE))
    assert decided(target, "SELECT * FROM orders_id_seq").verdict is Verdict.DENY
    assert decided(target, "SELECT length('x')").verdict is Verdict.ALLOW


def test_the_hint_names_the_tier_that_grants_it() -> None:
    tiers = tuple(
        replace(tier, grants=(grant("payments", "select"),))
        if tier.access is AccessLevel.OWNER
        else tier
        for tier in GIVEN.tiers
    )
    target = replace(GIVEN, tiers=tiers)
    (finding,) = decided(target, "SELECT * FROM payments").findings
    assert "connect to database `shop/owner`" in finding.hint
    others = (Allowance(agents=("somebody-else",)),)
    closed = tuple(
        replace(tier, allowances=others) if tier.access is AccessLevel.OWNER else tier
        for tier in tiers
    )
    (finding,) = decided(replace(GIVEN, tiers=closed), "SELECT * FROM payments").findings
    assert "holdpoint task request shop/owner" in finding.hint


def test_the_hint_names_a_tier_that_no_grants_bound() -> None:
    (finding,) = decided(GIVEN, "SELECT * FROM payments").findings
    assert "database `shop/full-no-drop` has none" in finding.hint
    bounded = tuple(replace(tier, grants=tier.grants or ()) for tier in GIVEN.tiers)
    (finding,) = decided(replace(GIVEN, tiers=bounded), "SELECT * FROM payments").findings
    assert finding.hint.startswith("no tier grants this")


def test_what_the_access_level_does_not_give_is_said_first() -> None:
    reads = (grant("orders", "select"),)
    tiers = [
        replace(tier, grants=reads) if tier.access is AccessLevel.READ_ONLY else tier
        for tier in SHOP.tiers
    ]
    target = replace(SHOP, tiers=tuple(tiers))
    update = sql.read("UPDATE orders SET status = 'x' WHERE id = 1")
    decision = decide(
        compile_policy((), (target,)), case(update, AccessLevel.READ_ONLY, target=target)
    )
    assert [finding.code for finding in decision.findings][:2] == ["HP7002", "HP7007"]


def test_the_digest_of_a_policy_covers_the_grants() -> None:
    digests = {compile_policy((), (target,)).digest for target in (SHOP, GIVEN, shop())}
    assert len(digests) == 3
