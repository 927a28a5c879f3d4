"""Ask a target's database for figures before a statement runs, without touching anything.

A probe runs in a read-only transaction that is rolled back, with short timeouts, and only plans
statements whose every function is known (see ``impact.planning``). What a probe cannot tell is
UNKNOWN, never zero.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from holdpoint.engine.probes_activity import presence
from holdpoint.engine.probes_counts import (
    count_selection,
    rows_of_query,
    selection_expected,
    why_not_exact,
)
from holdpoint.engine.probes_plans import (
    cost_expected,
    first_value,
    plan_lines,
    rows_expected,
    unknown_cost,
)
from holdpoint.engine.secrets_command import apart
from holdpoint.impact.planning import PLANNED, costly
from holdpoint.impact.selection import NotSelectable, quoted, selection_of
from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Access, Effect, Reading, SessionView, Statement
from holdpoint.model.impact import Basis, Cascade, Figure, Impact, ReadCost, TableUser
from holdpoint.model.steps import MeasureImpact, RowQuery
from holdpoint.model.upstream import ChannelBinding, UpstreamUrl

WRITES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})
SETTINGS: Final = (
    "-c default_transaction_read_only=on "
    f"-c statement_timeout={int(limits.PROBE_TIMEOUT_S * 1000)} "
    f"-c lock_timeout={int(limits.PROBE_TIMEOUT_S * 250)} "
    f"-c idle_in_transaction_session_timeout={int(limits.PROBE_TIMEOUT_S * 5000)} "
    "-c max_parallel_workers_per_gather=0 -c jit=off "
    # Texts were read by these; the database could have others as its own.
    "-c client_encoding=UTF8 -c standard_conforming_strings=on"
)
# Rows of a table as the planner takes them: the density that statistics have seen, times the pages
# that are there now, over all partitions. A table without statistics counts by its size, at the 32
# bytes that the smallest row takes (manual, "Database Page Layout": a header of 23 bytes, aligned,
# and its item): never less than what is there.
TABLE_ROWS_QUERY: Final = """
WITH leaves AS (
    SELECT to_regclass($1)::oid AS oid
    UNION SELECT relid FROM pg_partition_tree(to_regclass($1)) WHERE isleaf
)
SELECT sum(CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                THEN c.reltuples / c.relpages
                     * (pg_relation_size(c.oid) / current_setting('block_size')::int)
                ELSE pg_relation_size(c.oid) / 32
           END)::bigint
  FROM pg_class AS c JOIN leaves ON leaves.oid = c.oid
 WHERE c.relkind IN ('r', 'm')
"""
NO_QUERY: Final = "no query can tell which rows it picks"
NOT_IN_TIME: Final = "the database was not asked in time"
_PROBLEMS: Final = (psycopg.Error, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A message to be asked about.

    ``unseen`` is True when its session's transaction has changed what no other session sees yet:
    then nothing that is counted is exact.
    """

    reading: Reading
    parameters: tuple[Parameter, ...] | None = None
    view: SessionView = field(default_factory=SessionView)
    unseen: bool = False

    @property
    def writers(self) -> list[Statement]:
        """The statements that change rows."""
        return [each for each in self.reading.statements if each.effects & WRITES]


class DatabaseProber:
    """Probes of one tier. One connection is kept between probes; more are opened when it is busy.

    Where there are too many already, a probe waits for as long as it has. A probe leaves nothing
    behind: everything happens in a transaction that is rolled back. With ``exact_s`` rows are
    counted for that many seconds, through ``counter`` (a replica) first.
    """

    def __init__(
        self,
        url_of: Callable[[], UpstreamUrl],
        *,
        exact_s: float | None = None,
        counter: DatabaseProber | None = None,
        settings: Sequence[tuple[str, str]] = (),
        source_of: Callable[[], str] = str,
    ) -> None:
        self._url_of = url_of
        self._source_of = source_of
        self._source = ""
        self._options = f"{options_of(settings)} {SETTINGS}"  # of two, the last one counts
        self._exact_s = exact_s
        self._counter = counter
        self._idle: psycopg.AsyncConnection[Any] | None = None
        self._places = asyncio.Semaphore(limits.PROBES_MAX)

    @property
    def patience_s(self) -> float:
        """How long a figure may take."""
        return limits.PROBE_TIMEOUT_S + (self._exact_s or 0)

    async def close(self) -> None:
        """Close the connection that is kept."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()

    async def rows(self, question: Question) -> Figure:
        """How many rows the message would change: counted if that was asked for, else estimated."""
        writers = question.writers
        if not question.reading.effects <= PLANNED:
            return _unknown("it does more than change rows")
        if len(writers) != 1 and question.parameters:
            return _unknown("parameters of several statements")
        why = "its transaction has changes that a probe cannot see" if question.unseen else ""
        if self._exact_s is not None and len(writers) == 1 and not why:
            figure = await self._counted(question, writers[0], self._exact_s)
            if figure.basis is Basis.EXACT:
                return figure
            why = figure.why
        total = 0
        for statement in writers:
            figure = Figure(statement.rows_max, Basis.EXACT)
            if figure.value is None:
                figure = await self._expected(question, statement)
            if figure.value is None:
                return figure
            total += figure.value
        return Figure(total, Basis.ESTIMATE, why)

    async def _expected(self, question: Question, statement: Statement) -> Figure:
        """The planner's estimate; for a role that may not write, that of a SELECT."""
        values = question.parameters or ()
        try:
            try:
                async with self._connection(question.view) as connection:
                    return await rows_expected(connection, statement, values)
            except psycopg.errors.InsufficientPrivilege:
                selection = await asyncio.to_thread(selection_of, statement.text)
                async with self._connection(question.view) as connection:
                    return await selection_expected(connection, selection, values)
        except NotSelectable as problem:
            return _unknown(f"the probe's role may not plan it, and {problem}")
        except _PROBLEMS as error:
            return _unknown(_words(error))

    async def _counted(self, question: Question, writer: Statement, budget_s: float) -> Figure:
        """The exact count on the replica, else here; UNKNOWN with the reason if neither tells."""
        try:
            selection = await asyncio.to_thread(selection_of, writer.text)
        except NotSelectable as problem:
            return _unknown(f"not counted: {problem}")
        if selection.random:
            return _unknown("not counted: it picks rows at random")
        why = ""
        for prober in (self._counter, self):
            if prober is None:
                continue
            try:
                async with prober._connection(question.view) as connection:
                    values = question.parameters or ()
                    count = await count_selection(connection, selection, values, budget_s)
                    return Figure(count, Basis.EXACT)
            except _PROBLEMS as error:
                why = why_not_exact(error, budget_s)
                if isinstance(error, psycopg.errors.QueryCanceled):
                    break  # a second count would take as long
        return _unknown(why)

    async def table_rows(self, question: Question) -> Figure:
        """Rows of the largest table that the message defines or alters; 0 for a new one."""
        names = {
            f"{quoted(use.schema)}.{quoted(use.name)}" if use.schema else quoted(use.name)
            for use in question.reading.objects
            if use.access is Access.DEFINE
        }
        largest = 0
        try:
            async with self._connection(question.view) as connection:
                for name in sorted(names):
                    parameter = Parameter(name.encode())
                    row = await first_value(connection, TABLE_ROWS_QUERY, (parameter,))
                    largest = max(largest, int(row) if row is not None else 0)
        except _PROBLEMS as error:
            return _unknown(_words(error))
        return Figure(largest, Basis.ESTIMATE)

    async def read_cost(self, question: Question) -> ReadCost:
        """What the planner expects of the dearest read in the message."""
        reads = [each for each in question.reading.statements if costly(each)]
        if not question.reading.effects <= PLANNED:
            return unknown_cost("it does more than read")
        if len(reads) > 1 and question.parameters:
            return unknown_cost("parameters of several statements")
        try:
            async with self._connection(question.view) as connection:
                return await cost_expected(connection, reads, question.parameters or ())
        except _PROBLEMS as error:
            return unknown_cost(_words(error))

    async def cascades(
        self,
        question: Question,
        cascades: tuple[Cascade, ...],
        queries: tuple[RowQuery | None, ...],
    ) -> tuple[Cascade, ...]:
        """How many rows each cascade takes; UNKNOWN where no query can tell or time is over."""
        found = [
            replace(cascade, rows=_unknown(NO_QUERY if query is None else NOT_IN_TIME))
            for cascade, query in zip(cascades, queries, strict=True)
        ]
        try:
            async with asyncio.timeout(self.patience_s):
                for at, query in enumerate(queries):
                    if query is not None:
                        rows = await self._rows_of_query(question, query)
                        found[at] = replace(found[at], rows=rows)
        except TimeoutError:
            pass  # the others stay unknown
        return tuple(found)

    async def measure(self, question: Question, step: MeasureImpact) -> Impact:
        """Fill in what only the database can tell people; what fails is named in ``failed``."""
        gathering = _Gathering(step.impact, step.cascades)
        try:
            async with asyncio.timeout(limits.MEASURE_TIMEOUT_S):
                await self._cascades(question, step, gathering)
                await self._activity(question, step, gathering)
                await self._plan(question, gathering)
        except TimeoutError:
            words = f"the database did not tell more within {limits.MEASURE_TIMEOUT_S:g} s"
            gathering.failed.append(words)
        return gathering.impact()

    async def _cascades(
        self, question: Question, step: MeasureImpact, gathering: _Gathering
    ) -> None:
        for at, query in enumerate(step.cascades):
            if query is not None:
                gathering.cascades[at] = await self._rows_of_query(question, query)

    async def _rows_of_query(self, question: Question, query: RowQuery) -> Figure:
        """Counted within the budget where that was asked for, else estimated, else unknown."""
        why, values = "", question.parameters or ()
        if self._exact_s is not None and not question.unseen and not query.random:
            prober = self._counter or self
            try:
                async with prober._connection(question.view) as connection:
                    return await rows_of_query(connection, query, values, self._exact_s)
            except _PROBLEMS as error:
                why = why_not_exact(error, self._exact_s)
        try:
            async with self._connection(question.view) as connection:
                figure = await rows_of_query(connection, query, values, None)
                return replace(figure, why=why)
        except _PROBLEMS as error:
            return _unknown(_words(error))

    async def _activity(
        self, question: Question, step: MeasureImpact, gathering: _Gathering
    ) -> None:
        modes = {table.name: table.lock for table in step.impact.tables if table.lock is not None}
        try:
            async with self._connection(question.view) as connection:
                found = await presence(connection, step.relations, modes)
        except _PROBLEMS as error:
            gathering.failed.append(f"who else uses the tables right now: {_words(error)}")
            return
        for name, there in found.items():
            gathering.busy[name] = there.busy
            gathering.users += there.users

    async def _plan(self, question: Question, gathering: _Gathering) -> None:
        """The plan of a read that is held for its cost."""
        cost = gathering.base.read
        reads = [each for each in question.reading.statements if costly(each)]
        if cost is None or cost.basis is Basis.UNKNOWN or len(reads) != 1:
            return
        try:
            async with self._connection(question.view) as connection:
                lines = await plan_lines(connection, reads[0].text, question.parameters or ())
        except _PROBLEMS as error:
            gathering.failed.append(f"the plan: {_words(error)}")
            return
        gathering.read = replace(cost, plan=lines)

    @asynccontextmanager
    async def _connection(self, view: SessionView) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection in a read-only transaction in which names mean what they do in the session.

        Raises ``ValueError`` when nobody is sure what they mean there.
        """
        begin = _begin(view)
        async with self._places:
            connection = await self._begun(begin)
            try:
                yield connection
                await connection.execute("ROLLBACK")
            except BaseException:
                await connection.close()
                raise
            if self._idle is None:
                self._idle = connection
            else:
                await connection.close()

    async def _begun(self, begin: str) -> psycopg.AsyncConnection[Any]:
        """The connection that is kept, or a new one, with its transaction begun."""
        kept, self._idle = self._idle, None
        source, self._source = self._source, self._source_of()
        if kept is not None and source != self._source:  # the URL leads to another server now
            await kept.close()
        if kept is not None and not kept.closed:
            try:
                await kept.execute(begin)
                return kept
            except psycopg.OperationalError:  # the server has restarted since the last probe
                await kept.close()
            except BaseException:
                await kept.close()
                raise
        made = await self._connect()
        try:
            await made.execute(begin)
        except BaseException:
            await made.close()
            raise
        return made

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            conninfo_of(await apart(self._url_of)),
            options=self._options,
            application_name="holdpoint probe",
            connect_timeout=max(2, int(limits.PROBE_TIMEOUT_S)),
            autocommit=True,
        )


class _Gathering:
    """What has been found so far: a time that is over does not take it away."""

    def __init__(self, base: Impact, queries: tuple[RowQuery | None, ...]) -> None:
        self.base = base
        self.cascades: list[Figure] = [
            cascade.rows
            if cascade.rows.basis is not Basis.NOT_ASKED
            else _unknown(NO_QUERY if query is None else NOT_IN_TIME)
            for cascade, query in zip(base.cascades, queries, strict=True)
        ]
        self.busy: dict[str, int] = {}
        self.users: list[TableUser] = []
        self.read = base.read
        self.failed: list[str] = []

    def impact(self) -> Impact:
        """The impact with everything that was found."""
        base = self.base
        cascades = tuple(
            _with_rows(cascade, figure)
            for cascade, figure in zip(base.cascades, self.cascades, strict=True)
        )
        reasons: dict[str, list[str]] = {}
        for each in cascades:
            if each.rows.basis is Basis.UNKNOWN:
                reasons.setdefault(each.rows.why, []).append(f"`{each.table}`")
        failed = [
            f"rows that cascades take of {', '.join(dict.fromkeys(tables))}: {why}"
            for why, tables in reasons.items()
        ]
        tables = tuple(
            replace(table, busy=Figure(self.busy[table.name], Basis.EXACT))
            if table.name in self.busy
            else table
            for table in base.tables
        )
        return replace(
            base,
            tables=tables,
            cascades=cascades,
            users=(*base.users, *self.users),
            read=self.read,
            failed=(*base.failed, *failed, *self.failed),
        )


def _with_rows(cascade: Cascade, figure: Figure) -> Cascade:
    return replace(cascade, rows=figure)


def _begin(view: SessionView) -> str:
    """What opens a probe's transaction; one that a driver sends as one message."""
    begin = "BEGIN READ ONLY"
    if view.any_path or len(view.search_paths) > 1:
        raise ValueError("the session's search_path is not sure")
    if view.search_paths:
        path = ", ".join(quoted(schema) for schema in view.search_paths[0]) or "''"
        begin += f"; SET LOCAL search_path = {path}"
    return begin


def conninfo_of(url: UpstreamUrl) -> str:
    """Return the URL as a libpq connection string, for drivers."""
    optional = {
        "user": url.user,
        "password": url.password,
        "dbname": url.dbname,
        "sslrootcert": url.sslrootcert,
        "sslcert": url.sslcert,
        "sslkey": url.sslkey,
    }
    binding = "" if url.channel_binding is ChannelBinding.PREFER else url.channel_binding.value
    return make_conninfo(
        "",
        host=url.host,
        port=url.port,
        sslmode=url.sslmode.value,
        **({"channel_binding": binding} if binding else {}),
        **{name: value for name, value in optional.items() if value},
    )


def options_of(settings: Sequence[tuple[str, str]]) -> str:
    """Return settings as libpq's ``options`` (manual, section 34.1.2), for drivers."""
    return " ".join(
        "-c " + re.sub(r"([\\\s])", r"\\\1", f"{name}={value}") for name, value in settings
    )


def _unknown(why: str) -> Figure:
    return Figure(None, Basis.UNKNOWN, why)


def _words(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return first[0][:200] if first else type(error).__name__
