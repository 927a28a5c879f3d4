"""Run a statement under its bound of rows: count what it changes before anything is committed.

The count comes from the server's own counters of the open transaction, read before and after the
statement: they see what triggers, foreign keys, rules, functions and data-modifying CTEs change,
which the command tag does not. The tag counts what those counters do not see (foreign tables). What
is held against the bound is what policy compares: the most rows that change in one table, and where
the text itself writes several tables, in all of them together. Why all this is so:
``docs/decisions/0006-row-bounds.md``.

* A **Query outside a transaction** gets a transaction of its own around it, committed only when the
  count is within the bound. The client sees none of that: its CommandComplete and ReadyForQuery
  come when the COMMIT has succeeded, as the server itself sends them only then.
* A **Query inside the agent's transaction** is counted there. Over the bound the server is made to
  fail, so the transaction can only be rolled back, as after any error.
* An **Execute** is counted before the frames after it (its Sync above all) go to the server.

What cannot be counted is rolled back. A client that is gone by then gets nothing committed either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from holdpoint.doors.postgres import refusing
from holdpoint.doors.postgres.answers import NOT_KNOWN
from holdpoint.doors.postgres.pending import QUERY, Operation, Own
from holdpoint.doors.postgres.refusing import OVER_BUDGET, REFUSED_PARSE, REFUSED_QUERY
from holdpoint.doors.postgres.relay import Relay
from holdpoint.wire.postgres import messages

CLIENT_GONE: Final = "57014"  # query_canceled: what the client did not wait for is taken back
CONNECTION_FAILURE: Final = "08006"

# Rows that this session's transaction has inserted, updated or deleted, by table: the partitions of
# a table are one, tables of the catalog (OIDs below 16384, manual, "System Catalog Initial Data")
# are left out. Counters of statements before it are among them, so only differences tell. Within a
# transaction they only grow, rolled back savepoints included. Every name is qualified: the agent's
# search_path must not decide what is counted. NULL when the server does not count (manual,
# "track_counts").
_ROWS: Final = " OPERATOR(pg_catalog.+) ".join(
    f"pg_catalog.pg_stat_get_xact_tuples_{what}(c.oid)"
    for what in ("inserted", "updated", "deleted")
)
_TEXT: Final = (
    "SELECT CASE WHEN pg_catalog.current_setting('track_counts') OPERATOR(pg_catalog.=) 'on' "
    "THEN (SELECT COALESCE(pg_catalog.string_agg("
    "pg_catalog.concat(t.root, ' ', t.changed), ','), '') FROM ("
    "SELECT CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) ELSE c.oid END, "
    "pg_catalog.sum({rows}) FROM pg_catalog.pg_class AS c "
    "WHERE c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog.\"char\" "
    "AND c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid GROUP BY 1) AS t (root, changed) "
    "WHERE t.changed OPERATOR(pg_catalog.>) 0::pg_catalog.numeric) END"
)
COUNT_TEXT: Final = _TEXT.format(rows=_ROWS).encode()
_NAME: Final = b"holdpoint count"
COUNT: Final = messages.query(COUNT_TEXT)
BEGIN_AND_COUNT: Final = messages.query(b"BEGIN; " + COUNT_TEXT)
# What deferred constraint triggers do at the end of a transaction is done and counted before it.
SETTLE_AND_COUNT: Final = messages.query(b"SET CONSTRAINTS ALL IMMEDIATE; " + COUNT_TEXT)
COMMIT: Final = messages.query(b"COMMIT")
ROLLBACK: Final = messages.query(b"ROLLBACK")
COUNT_FRAMES: Final = (
    messages.parse(_NAME, COUNT_TEXT)
    + messages.bind(_NAME, _NAME)
    + messages.execute(_NAME)
    + messages.close(messages.PORTAL, _NAME)
    + messages.close(messages.STATEMENT, _NAME)
    + messages.FLUSH
)
COUNT_CLOSES: Final = 2


class Lost(Exception):
    """The connection to the server broke."""


class Bounding:
    """Runs the bounded statements of one session, one after the other.

    ``is_lost`` tells whether the connection to the server is gone.
    """

    def __init__(self, relay: Relay, is_lost: Callable[[], bool]) -> None:
        self._relay = relay
        self._is_lost = is_lost

    async def query(self, query: bytes, operation: Operation) -> None:
        """Run a Query; ``operation`` is finished afterwards, and the client told unless it is over.

        An operation that is rolled back leaves the relay stopped: ``refuse`` says why and goes on.
        """
        self._relay.halt()
        try:
            await self._settled()
            if self._relay.skipping:  # what was sent before it has failed meanwhile
                operation.skipped = True
                self._relay.go_on()
            elif self._relay.status == NOT_KNOWN:
                operation.skipped = True
                self._relay.bounding = False
                self._relay.refuse(QUERY, refusing.not_synced())
            else:
                await self._query(query, operation, self._relay.status == messages.IDLE)
        except Lost:
            _lose(operation)
        operation.finish()

    async def _query(self, query: bytes, operation: Operation, alone: bool) -> None:
        """Run a Query between two counts; ``alone`` puts a transaction of its own around it."""
        relay = self._relay
        before = await self.ask(BEGIN_AND_COUNT if alone else COUNT)
        if before.sqlstate:
            operation.sqlstate = before.sqlstate
            operation.skipped = True
            await self._end_query(before.response, alone)
            return
        await self._answer(operation, lambda: relay.send_query(query, operation))
        if operation.sqlstate:  # the client has its error already
            await self._end_query(b"", alone)
            return
        if operation.over:
            operation.sqlstate = OVER_BUDGET
            if not alone:
                await self.ask(REFUSED_QUERY)
            await self._end_query(operation.over, alone)
            return
        assert relay.status != messages.IDLE, "a bounded message does not end its transaction"
        last = await self.ask(SETTLE_AND_COUNT if alone else COUNT)
        if not last.sqlstate and self._passes(operation, before, last):
            if alone:
                last = await self.ask(COMMIT)
            if not last.sqlstate:
                relay.release(ready=True)
                relay.go_on()
                return
        if last.sqlstate:
            operation.sqlstate = last.sqlstate
            await self._end_query(last.response, alone)
            return
        if alone:
            await self._roll_back()
        else:
            await self.ask(REFUSED_QUERY)
        self._taken_back(operation)

    async def _end_query(self, response: bytes, alone: bool) -> None:
        """Give a statement its error, and leave no transaction of ours behind."""
        if alone:
            await self._roll_back()
        self._relay.tell(response, ready=True)
        self._relay.go_on()

    async def _roll_back(self) -> None:
        """End a transaction of ours; a CancelRequest for the statement may hit a ROLLBACK, too."""
        while self._relay.status != messages.IDLE:
            await self.ask(ROLLBACK)

    async def execute(self, execute: bytes, operation: Operation) -> None:
        """Run an Execute, like ``query``; a portal with more rows stays unfinished."""
        relay = self._relay
        try:
            if not relay.skipping:  # else the fence itself would never be answered
                relay.fence()
                await self._settled()
            if relay.skipping:  # the server would not look at the Execute
                relay.go_on()
                return
            before = await self.ask(COUNT_FRAMES, COUNT_CLOSES)
            if before.sqlstate:
                operation.skipped = not operation.sent
                self._fail(operation, before)
            else:
                await self._answer(operation, lambda: relay.send_execute(execute, operation))
                if operation.sqlstate:  # the client has its error already
                    relay.go_on()
                else:
                    await self._judge(operation, before)
        except Lost:
            _lose(operation)
        if not operation.suspended:
            operation.finish()

    async def _judge(self, operation: Operation, before: Own) -> None:
        """Let an Execute be, or make the server fail, so that it takes back all up to there."""
        if operation.over:
            operation.sqlstate = OVER_BUDGET
            operation.suspended = False
            await self.ask(REFUSED_PARSE + messages.FLUSH, COUNT_CLOSES)
            self._relay.tell(operation.over, ready=False)
            self._relay.go_on()
            return
        after = await self.ask(COUNT_FRAMES, COUNT_CLOSES)
        if after.sqlstate:
            self._fail(operation, after)
        elif self._passes(operation, before, after):
            self._relay.release(ready=False)
            self._relay.go_on()
        else:
            operation.suspended = False
            await self.ask(REFUSED_PARSE + messages.FLUSH, COUNT_CLOSES)
            self._taken_back(operation)

    def _taken_back(self, operation: Operation) -> None:
        """Drop the end that was kept; the gate has the last word, unless the client is gone."""
        self._relay.kept = b""
        if not operation.rolled_back:
            operation.sqlstate = CLIENT_GONE
            self._relay.go_on()

    def _fail(self, operation: Operation, own: Own) -> None:
        """Let the statement fail as our question did: the server skips up to Sync already."""
        operation.sqlstate = own.sqlstate
        operation.suspended = False
        self._relay.tell(own.response, ready=False)
        self._relay.go_on()

    def _passes(self, operation: Operation, before: Own, after: Own) -> bool:
        """Count, and tell whether the rows may stay; notes it in the operation if not."""
        if before.value is None or after.value is None:
            operation.changed = -1
            operation.rolled_back = True
            return False
        operation.count(_counts(before.value), _counts(after.value))
        assert operation.rows_max is not None, "only bounded statements are counted"
        operation.rolled_back = operation.changed > operation.rows_max
        return not operation.rolled_back and not self._relay.gone

    def refuse(self, response: bytes, is_query: bool) -> None:
        """Tell the client why a statement was rolled back, and go on with what it sends."""
        self._relay.tell(response, ready=is_query)
        self._relay.go_on()

    # --- waiting for the server -------------------------------------------------------------------

    async def _settled(self) -> None:
        """Wait until everything that was sent is answered."""
        settled = asyncio.Event()
        if self._is_lost():
            raise Lost
        self._relay.settle(settled.set)
        await self._wait(settled)

    async def _answer(self, operation: Operation, send: Callable[[], None]) -> None:
        """Send the statement and wait for its end, which is kept from the client."""
        answered = asyncio.Event()
        operation.on_answer = answered.set
        if self._is_lost():
            raise Lost
        send()
        try:
            await self._wait(answered)
        finally:
            operation.on_answer = None

    async def ask(self, question: bytes, closes: int = 0) -> Own:
        """Ask the server and wait for its answer; raises ``Lost``."""
        done = asyncio.Event()
        own = Own(closes, done.set)
        if self._is_lost():
            raise Lost
        self._relay.ask(question, own)
        await self._wait(done)
        return own

    async def _wait(self, answer: asyncio.Event) -> None:
        """Wait for an answer, or for the end of the connection, which ``Answers.lose`` tells."""
        await answer.wait()
        if self._is_lost():
            raise Lost


def _counts(value: bytes) -> dict[int, int]:
    """Return what COUNT_TEXT has found: rows by the OID of their table."""
    pairs = [pair.split() for pair in value.split(b",") if pair]
    return {int(table): int(rows) for table, rows in pairs}


def _lose(operation: Operation) -> None:
    operation.complete = False
    operation.sqlstate = operation.sqlstate or CONNECTION_FAILURE
