"""The corpus's database, once per server and run."""

from collections.abc import Iterator

import pytest
from corpus_server import CorpusDatabase, Session, corpus_databases

from holdpoint.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def databases18(postgres18: EmbeddedPostgres) -> Iterator[tuple[CorpusDatabase, CorpusDatabase]]:
    with corpus_databases(postgres18) as made:
        yield made


@pytest.fixture(scope="session")
def databases16(postgres16: EmbeddedPostgres) -> Iterator[tuple[CorpusDatabase, CorpusDatabase]]:
    with corpus_databases(postgres16) as made:
        yield made


@pytest.fixture(scope="session")
def databases(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres
) -> tuple[CorpusDatabase, CorpusDatabase]:
    """The database to work in and the one to copy from, on each supported version in turn."""
    found: tuple[CorpusDatabase, CorpusDatabase]
    found = request.getfixturevalue(f"databases{postgres.version}")
    return found


@pytest.fixture(scope="session")
def watcher(databases: tuple[CorpusDatabase, CorpusDatabase]) -> Iterator[Session]:
    """A superuser's session, whose transactions are all rolled back."""
    with databases[0].session("superuser") as session:
        yield session


@pytest.fixture(scope="session")
def reader(databases: tuple[CorpusDatabase, CorpusDatabase]) -> Iterator[Session]:
    """A session of a role that may only read, and whose transactions are read-only."""
    with databases[0].session("reader", "-c default_transaction_read_only=on") as session:
        yield session
