"""Shops whose access is planned: one database per version, made anew for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plan_support import Shop, shop

from holdpoint.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def shop18(postgres18: EmbeddedPostgres) -> Iterator[Shop]:
    """The shop on PostgreSQL 18."""
    with shop(postgres18) as found:
        yield found


@pytest.fixture(scope="session")
def shop16(postgres16: EmbeddedPostgres) -> Iterator[Shop]:
    """The shop on PostgreSQL 16."""
    with shop(postgres16) as found:
        yield found


@pytest.fixture
def here(shop18: Shop) -> Shop:
    """A shop on the newest version."""
    return shop18.open_again()


@pytest.fixture(params=[18, 16], ids=["pg18", "pg16"])
def each_shop(request: pytest.FixtureRequest) -> Shop:
    """A shop on each version in turn."""
    found: Shop = request.getfixturevalue(f"shop{request.param}")
    return found.open_again()
