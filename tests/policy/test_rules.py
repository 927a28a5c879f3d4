"""Rules of a team: what matches, what covers, and how an agent would try to slip past."""

from dataclasses import replace

import pytest
from policy_cases import (
    ALTER,
    CREATE,
    DROP,
    NO_ANSWER,
    NOT_ASKED,
    PUZZLE,
    QUIET,
    SELECT,
    SHOP,
    UPDATE,
    UPDATE_ALL,
    WORKING,
    case,
    estimate,
    exact,
    policy,
    reading,
    rule,
    statement,
)

from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.effects import Access, Effect, ObjectKind, ObjectUse, Reading, Statement
from holdpoint.model.impact import Figure
from holdpoint.model.target import AccessLevel
from holdpoint.model.verdict import Verdict
from holdpoint.policy.careful import EVERY_EFFECT
from holdpoint.policy.decide import decide
from holdpoint.policy.rules import Rule

A, H, D = Verdict.ALLOW, Verdict.HOLD, Verdict.DENY
RO, RW, FULL, OWNER = AccessLevel
READ = Effect.READ
WRITE, BULK, DDL = Effect.WRITE, Effect.BULK_WRITE, Effect.DDL


def verdict_of(rules: Rule | list[Rule], what: Reading | Statement, level=RW, **more) -> Verdict:
    rules = [rules] if isinstance(rules, Rule) else rules
    return decide(policy(*rules), case(what, level, **more)).verdict


# --- hold and deny rules: one statement that meets them is enough ------------------------------


@pytest.mark.parametrize(
    ("when", "what", "matches"),
    [
        ({"objects": "orders"}, SELECT, True),
        ({"objects": "orders"}, statement("SELECT", READ, reads="public.orders"), True),
        ({"objects": "public.orders"}, SELECT, True),  # the search path may lead there
        ({"objects": "public.orders"}, statement("SELECT", READ, reads="app.orders"), False),
        ({"objects": "ord*"}, SELECT, True),
        ({"objects": "ORDERS"}, SELECT, True),  # a pattern written in another case
        ({"objects": "users"}, SELECT, False),
        ({"objects": "app.*"}, statement("SELECT", READ, reads="app.x"), True),
        ({"objects": "orders", "access": [Access.WRITE]}, SELECT, False),
        ({"objects": "orders", "access": [Access.WRITE]}, UPDATE, True),
        ({"access": [Access.DEFINE]}, UPDATE, False),
        ({"tags": "update"}, UPDATE, True),
        ({"tags": "DELETE"}, UPDATE, False),
        ({"functions": "lo_*"}, statement("SELECT", READ, functions=("lo_export",)), True),
        ({"functions": "pg_catalog.lo_*"}, statement("SELECT", READ, functions=("lo_get",)), True),
        ({"functions": "lo_*"}, statement("SELECT", READ, functions=("pg_catalog.lo_get",)), True),
        ({"functions": "lo_*"}, SELECT, False),
        ({"effects": [WRITE]}, UPDATE, True),
        ({"effects": [WRITE]}, UPDATE_ALL, True),  # `write` means writes without a filter, too
        ({"effects": [BULK]}, UPDATE, False),
        ({"agents": "help*"}, SELECT, True),
        ({"agents": "other"}, SELECT, False),
        ({"tasks": "T-1"}, SELECT, False),
        ({"tiers": "read-*"}, SELECT, True),
        ({"tiers": "owner"}, SELECT, False),
        ({"environments": "production"}, SELECT, True),
        ({"business_hours": False}, SELECT, True),
        ({"business_hours": True}, SELECT, False),
        ({"freeze": True}, SELECT, False),
        ({"freeze": False}, SELECT, True),
        ({"objects": "orders", "effects": [WRITE]}, SELECT, False),  # every field must hold
    ],
    ids=str,
)
def test_what_a_deny_rule_matches(when: dict, what: Statement, matches: bool) -> None:
    verdict = verdict_of(rule(D, **when), what, rows=exact(1), at=QUIET)
    assert (verdict is D) == matches


def test_a_statement_hidden_among_others_is_found() -> None:
    deny = rule(D, objects="salaries")
    assert (
        verdict_of(deny, reading(SELECT, SELECT, statement("SELECT", READ, reads="salaries"))) is D
    )


def test_dropping_a_schema_or_a_database_touches_all_it_holds() -> None:
    deny = rule(D, objects="audit.*")
    for kind, name, verdict in (
        (ObjectKind.SCHEMA, "audit", D),
        (ObjectKind.SCHEMA, "other", H),
        (ObjectKind.DATABASE, "shop", D),
    ):
        use = ObjectUse(name, kind=kind, access=Access.DEFINE)
        drop = statement("DROP", DDL, Effect.DESTRUCTIVE, objects=(use,))
        assert verdict_of(deny, drop, OWNER) is verdict


def test_a_denial_by_a_rule_gives_the_teams_reason() -> None:
    decision = decide(
        policy(rule(D, "no-salaries", "salaries are for people", objects="orders")), case(SELECT)
    )
    assert decision.findings[0].code == "HP7001"
    assert decision.findings[0].message == "SELECT on `orders`: salaries are for people"
    assert "rule `no-salaries`" in decision.findings[0].detail
    assert decision.rules == ("careful:read", "no-salaries")


# --- rules about rows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "rows", "verdict", "code"),
    [
        (UPDATE, exact(101), H, "HP7001"),
        (UPDATE, estimate(101), H, "HP7001"),
        (UPDATE, exact(100), A, None),
        (UPDATE, NO_ANSWER, H, "HP7004"),
        (UPDATE, NOT_ASKED, A, None),
        (UPDATE_ALL, NOT_ASKED, H, "HP7001"),  # nothing bounds it
        (UPDATE_ALL, exact(3), H, "HP2204"),  # careful holds it; the rule does not match
        (SELECT, NOT_ASKED, A, None),
        (SELECT, NO_ANSWER, A, None),  # reading changes no rows
    ],
)
def test_rows_over(what: Statement, rows: Figure, verdict: Verdict, code: str | None) -> None:
    over = rule(H, rows_over=100)
    decision = decide(policy(over), case(what, RW, rows=rows))
    assert decision.verdict is verdict
    assert (decision.findings[0].code if decision.findings else None) == code


def test_a_deny_rule_without_its_figure_holds() -> None:
    assert verdict_of(rule(D, rows_over=5, effects=[WRITE]), UPDATE, rows=NO_ANSWER) is H


@pytest.mark.parametrize(
    ("what", "size", "verdict"),
    [
        (ALTER, exact(11), D),
        (ALTER, exact(10), A),
        (ALTER, NO_ANSWER, H),
        (ALTER, NOT_ASKED, H),
        (CREATE, NOT_ASKED, A),
    ],
)
def test_table_rows_over(what: Statement, size: Figure, verdict: Verdict) -> None:
    assert verdict_of(rule(D, table_rows_over=10), what, FULL, table_rows=size) is verdict


# --- allow rules: loosen the base, and only where they cover everything ------------------------

CACHE = rule(A, "cache", effects=[WRITE, BULK], objects="cache.*")


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (statement("DELETE", BULK, writes="cache.pages"), A),
        (statement("DELETE", BULK, writes="cache.pages users"), H),  # and something else
        (statement("DELETE", BULK, writes="pages"), H),  # whose `pages`?
        (statement("DELETE", BULK, writes="Cache.pages"), H),  # another schema
        (statement("DELETE", BULK), H),  # nothing known of what it touches
        (statement("DELETE", BULK, Effect.PRIVILEGE, writes="cache.pages"), D),  # more than allowed
        (statement("DELETE", BULK, Effect.UNKNOWN, writes="cache.pages", unknowns=("?",)), H),
        (reading(statement("DELETE", BULK, writes="cache.pages"), UPDATE_ALL), H),  # a passenger
        (reading(statement("DELETE", BULK, writes="cache.pages"), DROP), D),
    ],
)
def test_what_an_allow_rule_covers(what: Reading | Statement, verdict: Verdict) -> None:
    assert verdict_of(CACHE, what) is verdict


def test_reading_elsewhere_needs_access_to_be_named() -> None:
    copying = statement("INSERT", WRITE, READ, writes="cache.pages", reads="users")
    writes_only = replace(CACHE, when=replace(CACHE.when, access=frozenset({Access.WRITE})))
    assert verdict_of(CACHE, copying, RO) is D
    assert verdict_of(writes_only, copying, RO) is A
    reads_only = replace(CACHE, when=replace(CACHE.when, access=frozenset({Access.READ})))
    assert verdict_of(reads_only, copying, RO) is D, "what it writes is not covered by reading"


def test_an_allow_rule_never_loosens_another_rule_nor_the_unknown() -> None:
    bulk = statement("DELETE", BULK, writes="cache.pages")
    assert verdict_of([CACHE, rule(H, tags="DELETE")], bulk) is H
    assert verdict_of([CACHE, rule(D, tags="DELETE")], bulk) is D
    assert verdict_of(CACHE, PUZZLE) is H


def test_allowing_a_schema_is_not_allowing_its_drop_by_name() -> None:
    use = ObjectUse("cache", kind=ObjectKind.SCHEMA, access=Access.DEFINE)
    drop = statement("DROP SCHEMA", DDL, Effect.DESTRUCTIVE, objects=(use,))
    effects = [DDL, Effect.DESTRUCTIVE]
    assert verdict_of(rule(A, effects=effects, objects="cache"), drop, OWNER) is H
    assert verdict_of(rule(A, effects=effects, objects="cache.p*"), drop, OWNER) is H
    assert verdict_of(rule(A, effects=effects, objects="cache.*"), drop, OWNER) is A


@pytest.mark.parametrize(("rows", "verdict"), [(exact(5000), A), (exact(5001), H), (NO_ANSWER, H)])
def test_rows_up_to(rows: Figure, verdict: Verdict) -> None:
    assert verdict_of(rule(A, effects=[WRITE], rows_up_to=5000), UPDATE, rows=rows) is verdict


def test_allowing_by_the_clock_is_not_remembered() -> None:
    bulk = statement("DELETE", BULK, writes="cache.pages")
    assert decide(policy(CACHE), case(bulk)).memoisable
    at_night = replace(CACHE, when=replace(CACHE.when, business_hours=False))
    decision = decide(policy(at_night), case(bulk, at=QUIET))
    assert decision.verdict is A
    assert not decision.memoisable
    assert decide(policy(at_night), case(bulk, at=WORKING)).verdict is H


def test_a_rule_about_an_agent_makes_reads_it_speaks_of_unmemorable() -> None:
    held = policy(rule(H, agents="other", objects="orders"))
    assert not decide(held, case(SELECT)).memoisable
    assert decide(held, case(statement("SELECT", READ, reads="notes"))).memoisable


# --- rules that break ---------------------------------------------------------------------------


class Broken:
    """Stands in for anything inside a rule that raises."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("this part is broken")


@pytest.mark.parametrize("then", [A, H, D])
def test_a_rule_that_raises_holds(then: Verdict) -> None:
    fine = rule(then, effects=[BULK], objects="orders")
    broken = replace(fine, when=replace(fine.when, objects=(Broken(),)))
    ready = policy(fine)
    table = ready.tables["shop", "read-write"]
    field = "allowing" if then is A else "refusing"
    table = replace(table, **{field: ((EVERY_EFFECT, broken),)})
    ready = replace(ready, tables={("shop", "read-write"): table})
    decision = decide(ready, case(UPDATE_ALL))
    assert decision.verdict is H
    assert "HP7003" in [finding.code for finding in decision.findings]


def test_a_calendar_that_raises_holds() -> None:
    lost = replace(SHOP, timezone="Not/AZone")
    decision = decide(policy(targets=[lost]), case(CREATE, FULL, target=lost))
    assert decision.verdict is H
    assert decision.findings[0].code == "HP7003"
    by_hours = policy(rule(D, business_hours=True), targets=[lost])
    assert decide(by_hours, case(SELECT, target=lost)).verdict is H


# --- who must approve ---------------------------------------------------------------------------


def test_every_rule_that_holds_is_met_by_the_need() -> None:
    dba = ApprovalNeed(all_of=(Quorum(group="dba"),), expires_s=600.0)
    two = ApprovalNeed(all_of=(Quorum(count=2),), expires_s=7200.0)
    rules = [
        replace(rule(H, "one", effects=[WRITE]), need=dba),
        replace(rule(H, "two", effects=[WRITE]), need=two),
    ]
    need = decide(policy(*rules), case(UPDATE)).need
    assert need == ApprovalNeed(all_of=(Quorum(), Quorum(group="dba")), expires_s=600.0)


def test_a_rule_without_a_need_asks_what_the_policy_asks() -> None:
    usual = ApprovalNeed(all_of=(Quorum(group="ops"),))
    assert decide(policy(rule(H, effects=[READ]), need=usual), case(SELECT)).need == usual
