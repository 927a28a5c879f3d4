"""Budgets: those of tiers, and ``[[budgets]]`` for agents and tasks across tiers."""

from __future__ import annotations

from collections.abc import Iterable

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.config.quantities import read_limit_s, read_size
from holdpoint.config.schema import BudgetRuleTable, BudgetTable, checked
from holdpoint.model.budget import NO_BUDGET, Budget, BudgetRule
from holdpoint.model.limits import SERVER_TIMEOUT_MAX_S
from holdpoint.model.target import Target
from holdpoint.policy.compile import nearest
from holdpoint.policy.tiers import fits


def read_budget(value: object, path: Path, notes: Notes) -> Budget:
    """The budget of a tier; none for a key that is not there."""
    if value is None:
        return NO_BUDGET
    table, whole = checked(BudgetTable, value, path, notes)
    return _budget(table, path, notes, whole=whole) if table is not None else NO_BUDGET


def read_budgets(
    value: object, targets: tuple[Target, ...], notes: Notes
) -> tuple[BudgetRule, ...]:
    """``[[budgets]]``."""
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.problem(("budgets",), "must be a list of tables, `[[budgets]]`")
        return ()
    rules: list[BudgetRule] = []
    for at, member in enumerate(value):
        path: Path = ("budgets", at)
        table, whole = checked(BudgetRuleTable, member, path, notes)
        if table is None:
            continue
        rule = BudgetRule(  # an empty list means all: the budget then counts for more
            agents=read_patterns(table.agents or None, (*path, "agents"), notes),
            tasks=read_patterns(table.tasks or None, (*path, "tasks"), notes),
            targets=read_patterns(table.targets or None, (*path, "targets"), notes),
            tiers=read_patterns(table.tiers or None, (*path, "tiers"), notes),
            budget=_budget(table, path, notes, whole=whole),
        )
        _check_names(rule, targets, path, notes)
        rules.append(rule)
    return tuple(rules)


def read_patterns(words: list[str] | None, path: Path, notes: Notes) -> tuple[str, ...]:
    """Patterns of names, none for a key that is not there: an empty list would mean everyone."""
    if words is None:
        return ()
    if not words:
        notes.problem(path, f"`{path[-1]}` is an empty list", "leave it out to mean all")
    for at, word in enumerate(words):
        if not word.strip():
            notes.problem((*path, at), "the pattern is empty", "`*` stands for every name")
    return tuple(words)


def _budget(table: BudgetTable, path: Path, notes: Notes, *, whole: bool) -> Budget:
    """What the keys of a budget say, at least one thing."""

    def seconds(key: str) -> float | None:
        return read_limit_s(getattr(table, key), (*path, key), notes, SERVER_TIMEOUT_MAX_S)

    if whole and not table.model_fields_set & set(BudgetTable.model_fields):
        known = ", ".join(f"`{key}`" for key in BudgetTable.model_fields)
        notes.problem(path, "the budget sets no limit", f"its limits are {known}")
    return Budget(
        statement_s=seconds("statement_time"),
        rows=table.rows,
        bytes=read_size(table.bytes, (*path, "bytes"), notes),
        statements_per_minute=table.statements_per_minute,
        sessions=table.sessions,
        rows_written=table.rows_written,
        idle_in_transaction_s=seconds("idle_in_transaction"),
        lock_s=seconds("lock_time"),
    )


def _check_names(rule: BudgetRule, targets: tuple[Target, ...], path: Path, notes: Notes) -> None:
    """A budget for a target or tier that is not there would never count."""
    known = {"targets": {target.name for target in targets}}
    known["tiers"] = {tier.name for target in targets for tier in target.tiers}
    for key, names in known.items():
        for at, pattern in enumerate(getattr(rule, key)):
            if pattern and not _any_fits(pattern, names):
                words = f"`{pattern}` fits none of the {key}"
                notes.problem((*path, key, at), words, nearest(pattern, names))


def _any_fits(pattern: str, names: Iterable[str]) -> bool:
    return any(fits((pattern,), name) for name in names)
