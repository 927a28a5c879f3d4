"""A gate in front of a real PostgreSQL for every test of the door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from door_support import TABLES, Gate

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.hold import HoldState
from support.servers import fresh_database


@pytest.fixture(scope="session")
def gate18(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """One gate before PostgreSQL 18 for all tests of this process."""
    with (
        fresh_database(postgres18, TABLES) as name,
        Gate.at(tmp_path_factory.mktemp("gate18"), postgres18.url(database=name)) as gate,
    ):
        yield gate


@pytest.fixture(scope="session")
def gate16(
    postgres16: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """One gate before PostgreSQL 16 for all tests of this process."""
    with (
        fresh_database(postgres16, TABLES) as name,
        Gate.at(tmp_path_factory.mktemp("gate16"), postgres16.url(database=name)) as gate,
    ):
        yield gate


def _fresh(gate: Gate) -> Iterator[Gate]:
    gate.fresh_tables()
    for hold in gate.holds(HoldState.OPEN, HoldState.APPROVED):
        gate.on_loop(gate.book.end(hold.id, HoldState.EXPIRED))
    since = gate.length()
    yield gate
    gate.check_trail(since)


@pytest.fixture
def gate(gate18: Gate) -> Iterator[Gate]:
    """The gate before PostgreSQL 18, with fresh tables; afterwards its trail must be whole."""
    yield from _fresh(gate18)


@pytest.fixture(params=[18, 16], ids=["pg18", "pg16"])
def each_gate(request: pytest.FixtureRequest) -> Iterator[Gate]:
    """The gate before each supported version in turn."""
    yield from _fresh(request.getfixturevalue(f"gate{request.param}"))


@pytest.fixture
def direct(gate: Gate) -> Iterator[psycopg.Connection]:
    """A connection to the database itself, past the gate."""
    with psycopg.connect(gate.direct, autocommit=True) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory for a gate of the test's own."""
    return tmp_path
