"""The built-in policy: the table of the design, row by row, and what stands behind BY_ROWS."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from policy_cases import (
    ALTER,
    CAREFUL,
    COPY_PROGRAM,
    CREATE,
    DROP,
    ESCAPE,
    GRANT,
    NO_ANSWER,
    NOT_ASKED,
    PUZZLE,
    QUIET,
    SELECT,
    SHOP,
    SLEEP,
    UPDATE,
    UPDATE_ALL,
    WORKING,
    case,
    estimate,
    exact,
    policy,
    reading,
    statement,
)  # fmt: skip

from holdpoint.model.effects import Effect, Reading, Statement, SyntaxProblem
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Figure
from holdpoint.model.target import AccessLevel, Allowance, Freeze
from holdpoint.model.verdict import Verdict
from holdpoint.policy.decide import decide
from holdpoint.policy.rules import Thresholds

A, H, D = Verdict.ALLOW, Verdict.HOLD, Verdict.DENY
RO, RW, FULL, OWNER = AccessLevel

# Columns: read-only, read-write, full-no-drop, owner. Rows of the figures are few, it is quiet.
TABLE = [
    (SELECT, (A, A, A, A)),
    (UPDATE, (D, A, A, A)),
    (UPDATE_ALL, (D, H, H, H)),
    (CREATE, (D, D, A, A)),
    (ALTER, (D, D, A, A)),
    (DROP, (D, D, D, H)),
    (GRANT, (D, D, D, H)),
    (COPY_PROGRAM, (D, D, D, H)),
    (ESCAPE, (D, D, D, H)),
    (SLEEP, (H, H, H, H)),
    (PUZZLE, (H, H, H, H)),
]


@pytest.mark.parametrize(("what", "verdicts"), TABLE, ids=lambda each: getattr(each, "tag", ""))
def test_table_of_the_design(what: Statement, verdicts: tuple[Verdict, ...]) -> None:
    for level, verdict in zip(AccessLevel, verdicts, strict=True):
        decision = decide(CAREFUL, case(what, level, rows=exact(1), table_rows=exact(10)))
        assert decision.verdict is verdict, level


@pytest.mark.parametrize(
    ("rows", "verdict", "code"),
    [
        (exact(1000), A, None),
        (exact(1001), H, "HP2204"),
        (estimate(48_211), H, "HP2204"),
        (NO_ANSWER, H, "HP7004"),
        (NOT_ASKED, A, None),
        (
            Figure(None, exact(0).basis),
            H,
            "HP7004",
        ),  # a figure that claims to be exact and is not there
    ],
)
def test_rows_of_a_filtered_write(rows: Figure, verdict: Verdict, code: str | None) -> None:
    decision = decide(CAREFUL, case(UPDATE, RW, rows=rows))
    assert decision.verdict is verdict
    assert [finding.code for finding in decision.findings] == ([code] if code else [])


def test_a_held_write_says_how_much_on_what_and_how_sure_we_are() -> None:
    (finding,) = decide(CAREFUL, case(UPDATE, RW, rows=estimate(48_211))).findings
    assert finding.message == "UPDATE on `orders` changes about 48,211 rows (estimate)"
    assert "narrow it to at most 1,000 rows" in finding.hint


def test_no_filter_is_held_even_for_three_rows() -> None:
    assert decide(CAREFUL, case(UPDATE_ALL, OWNER, rows=exact(3))).verdict is H


def test_thresholds_can_be_set() -> None:
    strict = policy(thresholds=Thresholds(write_rows_max=5, big_table_rows=10))
    assert decide(strict, case(UPDATE, RW, rows=exact(6))).verdict is H
    assert decide(strict, case(ALTER, FULL, table_rows=exact(11))).verdict is H
    assert decide(strict, case(ALTER, FULL, table_rows=exact(10))).verdict is A


@pytest.mark.parametrize(
    ("what", "size", "at", "environment", "verdict"),
    [
        (ALTER, exact(10), WORKING, "production", H),
        (ALTER, exact(10), QUIET, "production", A),
        (ALTER, exact(10), WORKING, "staging", A),
        (ALTER, exact(10), WORKING, "prod", H),  # a name nobody foresaw is production
        (ALTER, exact(100_001), QUIET, "staging", H),
        (ALTER, NO_ANSWER, QUIET, "staging", H),
        (ALTER, NOT_ASKED, QUIET, "staging", H),
        (CREATE, NOT_ASKED, QUIET, "production", A),
        (CREATE, NOT_ASKED, WORKING, "production", H),
        (statement("CREATE INDEX", Effect.DDL, writes="orders"), NOT_ASKED, QUIET, "staging", H),
        (statement("SOMETHING NEW", Effect.DDL), NOT_ASKED, QUIET, "staging", H),
    ],
)
def test_schema_changes(
    what: Statement, size: Figure, at: datetime, environment: str, verdict: Verdict
) -> None:
    target = replace(SHOP, environment=environment)
    decision = decide(
        policy(targets=[target]), case(what, FULL, target=target, table_rows=size, at=at)
    )
    assert decision.verdict is verdict
    assert not decision.memoisable, "it rests on the clock"


def test_without_business_hours_every_hour_of_production_counts() -> None:
    target = replace(SHOP, business_hours=None)
    assert decide(policy(targets=[target]), case(CREATE, FULL, target=target)).verdict is H


def test_a_freeze_holds_schema_changes_and_names_its_end() -> None:
    freeze = Freeze(
        name="sale",
        start=datetime(2026, 11, 20, tzinfo=UTC),
        end=datetime(2026, 11, 23, tzinfo=UTC),
    )
    target = replace(SHOP, freezes=(freeze,))
    frozen = policy(targets=[target])
    decision = decide(frozen, case(CREATE, FULL, target=target))
    assert decision.verdict is H
    assert decision.findings[0].code == "HP3302"
    assert "until 2026-11-23 00:00 UTC" in decision.findings[0].message
    over = case(CREATE, FULL, target=target, at=freeze.end)  # a Monday, 01:00 in Berlin
    assert decide(frozen, over).verdict is A
    assert decide(frozen, case(UPDATE, FULL, target=target, rows=exact(1))).verdict is A


def test_a_tier_of_another_environment_is_free_to_change_its_schema() -> None:
    tiers = tuple(replace(tier, environment="sandbox") for tier in SHOP.tiers)
    sandbox = replace(SHOP, tiers=tiers)
    known = case(ALTER, OWNER, target=sandbox, at=WORKING, table_rows=exact(1))
    assert decide(policy(targets=[sandbox]), known).verdict is A
    assert decide(CAREFUL, case(ALTER, OWNER, at=WORKING, table_rows=exact(1))).verdict is H


def test_a_denial_names_the_lowest_tier_that_gives_it() -> None:
    (finding,) = decide(CAREFUL, case(UPDATE, RO)).findings
    assert finding.code == "HP7002"
    assert "`read-only` does not give changing rows" in finding.message
    assert "connect to database `shop/read-write`" in finding.hint
    (finding,) = decide(CAREFUL, case(DROP, RW)).findings
    assert "`shop/owner`" in finding.hint


def test_a_denial_says_how_to_ask_for_a_tier_of_other_agents() -> None:
    others = (Allowance(agents=("somebody-else",)),)
    tiers = tuple(
        replace(tier, allowances=others) if tier.access is OWNER else tier for tier in SHOP.tiers
    )
    target = replace(SHOP, tiers=tiers)
    (finding,) = decide(policy(targets=[target]), case(DROP, RW, target=target)).findings
    assert "`holdpoint task request shop/owner --reason ...`" in finding.hint


def test_the_strictest_statement_of_a_message_counts() -> None:
    hidden = reading(SELECT, DROP, SELECT)
    decision = decide(CAREFUL, case(hidden, RW))
    assert decision.verdict is D
    assert "DROP TABLE" in decision.findings[0].message


def test_a_text_that_cannot_be_read_is_denied_once_and_for_all_to_see() -> None:
    problem = SyntaxProblem('syntax error at or near "selct"', 1)
    read = Reading(
        text="selct",
        problem=problem,
        effects=frozenset({Effect.UNKNOWN}),
        unknowns=(problem.message,),
    )
    hazard = Finding(code="HP1001", message="the same in other words")
    decision = decide(CAREFUL, case(read, OWNER, findings=(hazard,)))
    assert decision.verdict is D
    assert [finding.code for finding in decision.findings] == ["HP1001"]
    assert "at character 1" in decision.findings[0].message


def test_an_empty_message_runs() -> None:
    for effects in (frozenset[Effect](), frozenset({Effect.READ})):
        assert decide(CAREFUL, case(Reading(text="", effects=effects), RO)).verdict is A


@pytest.mark.parametrize(
    "read",
    [
        Reading(text="x", effects=frozenset({Effect.READ, Effect.DDL}), statements=(SELECT,)),
        Reading(text="x", effects=frozenset({Effect.WRITE})),
        Reading(text="x", effects=frozenset({Effect.READ}), unknowns=("what is this",)),
        Reading(text="x", effects=frozenset({Effect.READ}), objects=UPDATE.objects),
        Reading(text="x", effects=frozenset({Effect.READ}), statements=(PUZZLE,)),
        Reading(
            text="x",
            effects=frozenset({Effect.READ}),
            statements=(replace(SELECT, unknowns=("?",)),),
        ),
    ],
)
def test_a_reading_that_contradicts_itself_is_held(read: Reading) -> None:
    for level in AccessLevel:
        assert decide(CAREFUL, case(read, level)).verdict >= H


def test_a_reading_whose_whole_hides_a_write_is_denied_by_its_part() -> None:
    read = Reading(text="x", effects=frozenset({Effect.READ}), statements=(DROP,))
    assert decide(CAREFUL, case(read, RO)).verdict is D


def test_the_reason_that_decided_stands_first_and_hazards_follow() -> None:
    hazard = Finding(code="HP2101", message="UPDATE without WHERE")
    decision = decide(CAREFUL, case(UPDATE_ALL, RW, findings=(hazard,)))
    assert [finding.code for finding in decision.findings] == ["HP2204", "HP2101"]
    both = decide(CAREFUL, case(reading(SLEEP, DROP), RW, findings=(hazard,)))
    assert [finding.code for finding in both.findings] == ["HP7002", "HP2101"]


def test_a_denial_is_not_mixed_with_what_would_only_have_held() -> None:
    decision = decide(CAREFUL, case(DROP, FULL, at=WORKING))
    assert [finding.code for finding in decision.findings] == ["HP7002"]


def test_only_what_rests_on_the_text_is_remembered() -> None:
    assert decide(CAREFUL, case(SELECT)).memoisable
    assert not decide(CAREFUL, case(reading(SELECT, text_only=False))).memoisable
    assert not decide(CAREFUL, case(UPDATE, rows=exact(1))).memoisable
    assert not decide(CAREFUL, case(UPDATE)).memoisable
    hazard = Finding(code="HP2101", message="only a remark")
    assert decide(CAREFUL, case(SELECT, findings=(hazard,))).memoisable
    assert decide(CAREFUL, case(SELECT, findings=(hazard,))).findings == (hazard,)


def test_a_tier_the_policy_was_not_compiled_with_is_judged_by_its_access() -> None:
    stranger = replace(SHOP, name="stranger")
    assert decide(CAREFUL, case(UPDATE, RO, target=stranger)).verdict is D
    # Nor does a tier of the same name lend its access level to another.
    impostor = replace(SHOP, tiers=(replace(SHOP.tiers[0], name="read-write"),))
    assert decide(CAREFUL, case(UPDATE, RW, target=impostor)).verdict is D


def test_user_text_in_messages_stays_on_one_line_between_backticks() -> None:
    evil = statement("UPDATE", Effect.WRITE, writes="x`\n\x1b[2Japproved:`")
    (finding,) = decide(CAREFUL, case(evil, RO)).findings
    assert "\n" not in finding.message
    assert "\x1b" not in finding.message
    assert finding.message.count("`") == 4
