"""The corpus's databases, made once per server and run."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from corpus_observe import Watcher
from corpus_reading import catalog_of
from corpus_server import Databases, Session, corpus_databases

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.sql.names import Catalog


@pytest.fixture(scope="session")
def databases18(postgres18: EmbeddedPostgres) -> Iterator[Databases]:
    with corpus_databases(postgres18) as made:
        yield made


@pytest.fixture(scope="session")
def databases16(postgres16: EmbeddedPostgres) -> Iterator[Databases]:
    with corpus_databases(postgres16) as made:
        yield made


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> Databases:
    """The databases to work in, on each supported version in turn."""
    found: Databases = request.getfixturevalue(f"databases{postgres.version}")
    return found


@pytest.fixture(scope="session")
def watchers(databases: Databases) -> Iterator[dict[str, Watcher]]:
    """A superuser's session per database; its transactions are all rolled back."""
    sessions = {name: database.session("superuser") for name, database in databases.items()}
    yield {name: Watcher(session) for name, session in sessions.items()}
    for session in sessions.values():
        session.connection.close()


@pytest.fixture(scope="session")
def readers(databases: Databases) -> Iterator[dict[str, Session]]:
    """A session of a role that may only read, in transactions that are read-only."""
    options = "-c default_transaction_read_only=on"
    sessions = {name: database.session("reader", options) for name, database in databases.items()}
    yield sessions
    for session in sessions.values():
        session.connection.close()


@pytest.fixture(scope="session")
def catalogs(databases: Databases) -> dict[str, Catalog]:
    """The picture of each database's catalog."""
    return {name: catalog_of(database) for name, database in databases.items()}


OLDER_EVERY: Final = 4
"""Each so-many-th case is observed on the older server, too; all with HOLDPOINT_CORPUS=all.

Observing all of them on both takes as long as most other tests together.
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out some observations on the older server; what the reader says is compared on both."""
    if os.environ.get("HOLDPOINT_CORPUS") == "all":
        return
    older = [item for item in items if item.name.startswith("test_it_does_what_it_claims[pg16-")]
    left_out = {id(item) for at, item in enumerate(older) if at % OLDER_EVERY}
    config.hook.pytest_deselected(items=[item for item in items if id(item) in left_out])
    items[:] = [item for item in items if id(item) not in left_out]
