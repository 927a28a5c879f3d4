"""Budgets: those of tiers, and those for agents and tasks across tiers."""

from __future__ import annotations

import pytest
from tier_texts import config_of, problem_of, problems_of, tier_of

from holdpoint.model.budget import NO_BUDGET, Budget, BudgetRule

BUDGET = """
statement_time = "30s"
rows = 100000
bytes = "50MB"
statements_per_minute = 600
sessions = 5
rows_written = 10000
idle_in_transaction = "60s"
lock_time = "1500ms"
"""
WHOLE = Budget(
    statement_s=30.0,
    rows=100_000,
    bytes=50 * 1024 * 1024,
    statements_per_minute=600,
    sessions=5,
    rows_written=10_000,
    idle_in_transaction_s=60.0,
    lock_s=1.5,
)


def test_the_budget_of_a_tier() -> None:
    assert tier_of(f"[targets.shop.tiers.t.budget]{BUDGET}").budget == WHOLE
    assert tier_of("").budget == NO_BUDGET
    assert tier_of("budget = { rows_written = 0 }").budget == Budget(rows_written=0)


def test_budgets_across_tiers() -> None:
    assert config_of("").budgets == ()
    config = config_of(
        f'[[budgets]]\nagents = ["ci-*"]\ntasks = "t-*"\ntargets = "sh?p"\ntiers = "t"\n{BUDGET}'
        "[[budgets]]\ntasks = []\nrows = 1\n"
    )
    assert config.budgets == (
        BudgetRule(agents=("ci-*",), tasks=("t-*",), targets=("sh?p",), tiers=("t",), budget=WHOLE),
        BudgetRule(budget=Budget(rows=1)),
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("512kB", 524_288), ("2 GB", 2 * 1024**3), ("1TB", 1024**4)],
)
def test_sizes(text: str, size: int) -> None:
    assert tier_of(f"budget = {{ bytes = '{text}' }}").budget.bytes == size
    assert tier_of(f"budget = {{ bytes = {size} }}").budget.bytes == size


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("statement_time = '0s'", "cannot read the duration `0s`"),
        ("statement_time = '-1s'", "cannot read the duration `-1s`"),
        ("statement_time = '25d'", "at most 24 days"),
        ("lock_time = 5", "`lock_time` must be text"),
        ("idle_in_transaction = ''", "cannot read the duration ``"),
        ("rows = 0", "`rows` must be at least 1"),
        ("rows = -1", "`rows` must be at least 1"),
        ("rows = '5'", "`rows` must be a whole number"),
        ("rows = true", "`rows` must be a whole number"),
        ("sessions = 0", "`sessions` must be at least 1"),
        ("statements_per_minute = 0", "`statements_per_minute` must be at least 1"),
        ("rows_written = -1", "`rows_written` must be at least 0"),
        ("bytes = 0", "cannot read the size `0`"),
        ("bytes = true", "cannot read the size"),
        ("bytes = '50mb'", "write `512kB`, `50MB` or `1GB`"),
        ("bytes = '-1kB'", "cannot read the size"),
        ("bytes = '1.5GB'", "cannot read the size"),
        ("row = 5", "did you mean `rows`?"),
        ("", "the budget sets no limit"),
    ],
)
def test_limits_that_do_not_fit(limit: str, words: str) -> None:
    assert words in problem_of(f"budget = {{ {limit} }}")
    assert words in problem_of(f"[[budgets]]\n{limit}")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("budget = 5", "this must be a table"),
        ("[budgets]\nrows = 5", "must be a list of tables, `[[budgets]]`"),
        ("[[budgets]]\nrows = 5\ntiers = ['tt']", "`tt` fits none of the tiers"),
        ("[[budgets]]\nrows = 5\ntargets = ['shp']", "did you mean `shop`?"),
        ("[[budgets]]\nrows = 5\nagents = ['']", "the pattern is empty"),
        ("[[budgets]]\nrows = 5\nagent = ['x']", "did you mean `agents`?"),
    ],
)
def test_budgets_that_would_never_count(lines: str, words: str) -> None:
    found = problem_of(lines)
    assert words in found
    assert f"line {3 + len(lines.splitlines())}" in found or "budgets, line 4" in found


def test_everything_wrong_with_a_tier_is_said_at_once() -> None:
    found = problems_of(
        "replica = 'no'\n"
        "allow = [{}]\n"
        "grants = { orders = ['selct'] }\n"
        "settings = { role = 'x' }\n"
        "[targets.shop.tiers.t.budget]\n"
        "rows = 0\n"
        "lock_time = 'soon'\n"
        "[[budgets]]\n"
    )
    assert [each.partition(": ")[0] for each in found] == [
        "targets.shop.tiers.t.replica, line 4",
        "targets.shop.tiers.t.allow[1], line 5",
        "targets.shop.tiers.t.grants.orders, line 6",
        "targets.shop.tiers.t.settings.role, line 7",
        "targets.shop.tiers.t.budget.rows, line 9",
        "targets.shop.tiers.t.budget.lock_time, line 10",
        "budgets[1], line 11",
    ]
