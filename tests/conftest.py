"""Fixtures for every test: real PostgreSQL servers, one of each version per run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdpoint.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedReplica, binaries
from support.browser import find_chromium
from support.require import missing, require
from support.servers import Replicated


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, which is what the product runs on."""
    return "asyncio"


def _server(version: int) -> Iterator[EmbeddedPostgres]:
    try:
        binaries(version)
    except EmbeddedError as error:
        missing(str(error))
    with EmbeddedPostgres(version, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL 18 for all tests of this process; take databases from ``fresh_database``."""
    yield from _server(18)


@pytest.fixture(scope="session")
def postgres16() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL 16 for all tests of this process; take databases from ``fresh_database``."""
    yield from _server(16)


@pytest.fixture(scope="session", params=[18, 16], ids=["pg18", "pg16"])
def postgres(request: pytest.FixtureRequest) -> EmbeddedPostgres:
    """Each of the supported versions in turn."""
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    return server


@pytest.fixture(scope="session")
def replicated() -> Iterator[Replicated]:
    """A PostgreSQL 18 of its own with a replica, for all tests of this process.

    A test that stops or promotes a replica makes one of its own: it takes some 200 ms.
    """
    for primary in _server(18):
        with EmbeddedReplica(primary) as replica:
            yield Replicated(primary, replica)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The path of a Chromium; tests that look at pages need it."""
    return require("Chromium (set CHROMIUM to its path)", find_chromium())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI, tell when each stage before the tests ended: seconds since its start."""
    stages = os.environ.get("HOLDPOINT_CI_STAGES")
    if stages:
        terminalreporter.write_line(f"stages ended after:{stages}")
