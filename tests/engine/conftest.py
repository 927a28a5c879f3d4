"""Fixtures for the tests of replicas."""

from collections.abc import Iterator

import psycopg
import pytest

from support.servers import Replicated


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in earnest, so that nobody has to wait."""
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_LOOK_S", 0.1)
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_LOOK_MIN_S", 0.05)


@pytest.fixture(scope="module")
def least(replicated: Replicated) -> Iterator[str]:
    """A role that may nothing but connect: of the walreceiver it sees the pid."""
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE replica_least LOGIN PASSWORD 'pw'")
    replicated.replica.wait_caught_up()
    yield replicated.replica.url("replica_least", "pw")
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE replica_least")
