"""Statements for ``access suggest`` from where there is no trail yet: statistics, server logs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdpoint.cli.hold import EXIT_UNREACHABLE, EXIT_USAGE, fail, visible

if TYPE_CHECKING:
    from holdpoint.access.history import Said
    from holdpoint.access.suggest.server_logs import LogFlaws
    from holdpoint.model.upstream import UpstreamUrl

_PREFIX: Final = "SELECT pg_catalog.current_setting('log_line_prefix')"


def from_statistics(url: UpstreamUrl, role: str, notes: list[str]) -> Iterator[tuple[Said, int]]:
    """Yield what ``pg_stat_statements`` has of a role, of every role without one."""
    import psycopg

    from holdpoint.access.suggest.look import connected
    from holdpoint.access.suggest.statistics import NotThere, Statistics

    statistics = Statistics(role=role)

    async def read() -> list[tuple[Said, int]]:
        async with connected(url) as connection:
            return await statistics.read(connection)

    try:
        yield from asyncio.run(read())
    except NotThere as error:
        fail(EXIT_USAGE, str(error))
    except (psycopg.Error, OSError) as error:
        fail(EXIT_UNREACHABLE, f"cannot ask `{url.place}`: {' '.join(str(error).split())}")
    if statistics.hidden:
        notes.append(
            f"{statistics.hidden:,} texts of pg_stat_statements may not be seen by this role: "
            "grant it `pg_read_all_stats`"
        )


def from_log(
    path: Path, url: UpstreamUrl, role: str, since_us: int, prefix: str | None, notes: list[str]
) -> Iterator[tuple[Said, int]]:
    """Yield what a server's log has; ``prefix`` None asks the server for its own."""
    from holdpoint.access.suggest.log_formats import BadLog, entries_of
    from holdpoint.access.suggest.server_logs import LogFlaws, LogReader

    if not path.is_file():
        fail(EXIT_USAGE, f"there is no log `{visible(str(path))}`")
    flaws = LogFlaws()
    reader = LogReader(flaws, role, url.dbname, since_us)
    try:
        given = _prefix(url) if prefix is None else prefix
        for said in reader.read(entries_of(path, given, flaws)):
            yield said, 1
    except (BadLog, OSError) as error:
        fail(EXIT_USAGE, f"cannot read `{visible(str(path))}`: {error}")
    notes += words_of(flaws, path)


def _prefix(url: UpstreamUrl) -> str:
    """The server's ``log_line_prefix``."""
    import psycopg

    from holdpoint.access.suggest.look import connected

    async def ask() -> str:
        async with connected(url) as connection:
            row = await (await connection.execute(_PREFIX)).fetchone()
            return str(row[0]) if row is not None else ""

    try:
        return asyncio.run(ask())
    except (psycopg.Error, OSError) as error:
        fail(EXIT_UNREACHABLE, f"cannot ask `{url.place}`: {' '.join(str(error).split())}")


def words_of(flaws: LogFlaws, path: Path) -> list[str]:
    """What was left out of a log, in words."""
    found: list[str] = []
    name = path.name
    if flaws.unreadable:
        lines = "1 line" if flaws.unreadable == 1 else f"{flaws.unreadable:,} lines"
        found.append(
            f"{lines} of `{name}` cannot be read, left out ({', '.join(flaws.places)}, …): is "
            "`--log-prefix` what `log_line_prefix` was?"
        )
    for count, words in (
        (flaws.no_role, "does not tell its role, left out: `%u` in `log_line_prefix` does"),
        (flaws.other_roles, "is of another role"),
        (flaws.other_databases, "is of another database"),
    ):
        if count:
            entries = "1 entry" if count == 1 else f"each of {count:,} entries"
            found.append(f"{entries} of `{name}` {words}")
    return found
