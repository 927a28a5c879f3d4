"""Budgets of results, kept while they stream: what is over ends in an error that names the budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from door_support import TABLES, Gate
from wire_client import B, E, P, Q, S, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.budget import Budget
from support.servers import fresh_database

ROWS = 1_000


def with_budget(gate: Gate, budget: Budget) -> Gate:
    """Give every tier of a gate's target this budget."""
    (target,) = gate.config.targets
    tiers = tuple(replace(tier, budget=budget) for tier in target.tiers)
    gate.config = replace(gate.config, targets=(replace(target, tiers=tiers),))
    return gate


@pytest.fixture(scope="module")
def narrow18(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """A gate that lets a statement return 1,000 rows or 100,000 bytes."""
    with fresh_database(postgres18, TABLES) as name:
        url = postgres18.url(database=name)
        gate = with_budget(
            Gate.at(tmp_path_factory.mktemp("narrow"), url), Budget(rows=ROWS, bytes=100_000)
        )
        with gate:
            gate.look_again()
            yield gate


def series(rows: int) -> str:
    return f"SELECT g FROM generate_series(1, {rows}) AS g"


def rows_of(words: str) -> int:
    return sum(word.startswith("D:") for word in words.split())


def test_a_result_at_its_budget_passes_and_one_row_more_fails(narrow18: Gate) -> None:
    with narrow18.raw() as wire:
        words = wire.query(series(ROWS))
        assert rows_of(words) == ROWS
        assert words.endswith(f"C:SELECT {ROWS} ZI")
        words = wire.query(series(ROWS + 1))
        assert rows_of(words) == ROWS
        assert words.endswith("E:53400 ZI")
        assert "`rows`" in wire.errors[-1]["M"]
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
