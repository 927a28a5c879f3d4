"""The budget of a session: of all that apply, the least counts."""

from holdpoint.model.budget import NO_BUDGET, Budget, BudgetRule
from holdpoint.model.limits import BUDGET_IDLE_IN_TRANSACTION_S, BUDGET_LOCK_S
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy.budgets import budget_for

LOGIN = Login(name="robin", agent="robin", scram_verifier="")
OF_TASK = Login(
    name="t-1", agent="robin", scram_verifier="", task="t-1", budget=Budget(rows=7, sessions=1)
)


def tier(budget: Budget = NO_BUDGET) -> Tier:
    return Tier(name="replica", access=AccessLevel.READ_ONLY, url_source="env:X", budget=budget)


def budget_of(*rules: BudgetRule, of: Budget = NO_BUDGET, login: Login = LOGIN) -> Budget:
    its_tier = tier(of)
    return budget_for(rules, its_tier, login, Target(name="shop", tiers=(its_tier,)))


def test_without_a_word_only_what_stops_others_is_limited() -> None:
    usual = Budget(lock_s=BUDGET_LOCK_S, idle_in_transaction_s=BUDGET_IDLE_IN_TRANSACTION_S)
    assert budget_of() == usual


def test_what_is_said_replaces_the_usual_even_where_it_is_more() -> None:
    said = Budget(lock_s=BUDGET_LOCK_S * 2, idle_in_transaction_s=BUDGET_IDLE_IN_TRANSACTION_S * 2)
    assert budget_of(of=said) == said


def test_the_least_of_tier_rules_and_task_counts_limit_by_limit() -> None:
    found = budget_of(
        BudgetRule(budget=Budget(rows=5, bytes=100)),
        BudgetRule(budget=Budget(bytes=50)),
        of=Budget(rows=10, statement_s=30.0),
        login=OF_TASK,
    )
    assert (found.rows, found.bytes, found.statement_s, found.sessions) == (5, 50, 30.0, 1)


def test_a_rule_counts_only_where_everything_it_names_fits() -> None:
    small = Budget(rows=1)
    for rule in (
        BudgetRule(agents=("ro*",), budget=small),
        BudgetRule(targets=("other", "sh?p"), budget=small),
        BudgetRule(tiers=("replica",), agents=("robin",), budget=small),
    ):
        assert budget_of(rule).rows == 1
    for rule in (
        BudgetRule(agents=("Robin",), budget=small),
        BudgetRule(targets=("shop2",), budget=small),
        BudgetRule(tiers=("write",), agents=("robin",), budget=small),
    ):
        assert budget_of(rule).rows is None


def test_a_rule_for_tasks_does_not_fit_an_agent_without_one() -> None:
    for_tasks = BudgetRule(tasks=("*",), budget=Budget(rows_written=3))
    assert budget_of(for_tasks).rows_written is None
    assert budget_of(for_tasks, login=OF_TASK).rows_written == 3


def test_a_limit_of_nothing_is_less_than_any() -> None:
    none = BudgetRule(budget=Budget(rows_written=0))
    assert budget_of(none, of=Budget(rows_written=9)).rows_written == 0
