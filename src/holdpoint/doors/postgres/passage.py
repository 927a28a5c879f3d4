"""One statement of a session on its way through the gate, and what the relay must know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdpoint.doors.postgres.memo import forgets_of, prepares_of
from holdpoint.doors.postgres.pending import ASK, Known, Operation
from holdpoint.doors.postgres.restoring import NOT_TOGETHER
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Access, Effect, Reading
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold
from holdpoint.model.steps import Execution, Refused
from holdpoint.policy import bounds, refusals
from holdpoint.wire.postgres import errors, messages

if TYPE_CHECKING:
    from holdpoint.doors.postgres.session import Session

NAME_TAKEN: Final = errors.error_response(
    "ERROR", "42P05", "a prepared statement of that name already exists"
)
ONLY_READS: Final = frozenset({Effect.READ})
# After anything else the next statement is judged only when this one is over: it may change how
# later text is read or what names mean.
UNGUARDED: Final = frozenset(
    {Effect.READ, Effect.WRITE, Effect.BULK_WRITE, Effect.DDL, Effect.DESTRUCTIVE}
)


class Passage:
    """One statement of a session on its way through the gate: see ``engine.driver.Passage``."""

    def __init__(self, session: Session, send: Callable[[Operation], None]) -> None:
        self._session = session
        self._send = send
        self.cancelled = asyncio.Event()
        self.is_waiting = False
        self._was_held = False
        self.task: asyncio.Task[None] | None = None
        self.unreadable = False
        # The gate reads another text than the server: a portal's, put into words.
        self.is_foreign = False
        self.sent = False
        self.rolled_back = False
        self.query: bytes | None = None  # the text of a Query
        self._granted = 0  # rows set aside for it, of a budget
        self._used = 0
        self._names: Known | None = None
        self.problem = NAME_TAKEN  # why it was not sent although the gate let it pass

    def note_names(self, reading: Reading) -> None:
        """Note the names that the server's own text gives and takes."""
        prepares, forgets = prepares_of(reading), forgets_of(reading)
        if prepares or forgets:
            self._names = Known("", False, prepares, forgets, len(reading.statements) == 1)

    def take(self, statements: int, writes: bool) -> Finding | None:
        """Count its statements against a budget; a finding says why they must not run."""
        share = self._session.share
        return share.take(statements, writes) if share is not None else None

    async def reserve(self, wanted: int | None) -> int | Finding | None:
        """Set rows aside that it may change; see ``shares.Share.reserve``."""
        share = self._session.share
        found = await share.reserve(wanted) if share is not None else None
        if isinstance(found, int):
            self._granted = found
        return found

    def settle(self) -> None:
        """Count the rows it has changed in place of those that were set aside, when it is over."""
        share = self._session.share
        if share is not None and self._granted:
            granted, self._granted = self._granted, 0
            share.settle(granted, self._used)

    def waiting(self, hold: Hold, page: str) -> None:
        """Tell the client that it waits for people, and where."""
        self.is_waiting = self._was_held = True
        if self._session.relay.gone and self.task is not None:
            self.task.cancel()  # the client went away before it had to wait
        self._session.waiting(hold, page)

    async def execute(self, started: int, reading: Reading, rows_max: int | None) -> Execution:
        """Send the statement's original bytes and return how it ended."""
        self.is_waiting = False
        relay = self._session.relay
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        operation = operation_of(reading)
        operation.known = self._names
        operation.rows_max = rows_max
        operation.together = bounds.tables_written(reading) > 1
        operation.loosens = self._session.restoring.loosens(reading)
        operation.guarded = operation.guarded or self._names is not None or operation.loosens
        operation.on_finish = lambda: self._settle(done, reading)
        if self._session.upstream.channel.lost or relay.gone:
            return Execution(ran=False, sqlstate="08006")
        # The replica may have fallen behind while people looked at the statement.
        barred = self._session.following.objection() if self._was_held else None
        if barred is not None:
            self.problem = error_of(refusals.behind(barred))
            return Execution(ran=False, sqlstate=refusals.NOT_IN_STATE)
        if operation.loosens and self._session.restoring.is_late(reading):
            self.problem = NOT_TOGETHER
            return Execution(ran=False, sqlstate="42501")
        if self._names is not None and not relay.define_all(self._names.prepares):
            return Execution(ran=False, sqlstate="42P05")
        begun = loop.time()
        self.sent = True
        # Alone in a Query outside a transaction, what it sets stays set when it succeeds.
        lone = self.query is not None and relay.status == messages.IDLE and not relay.pending
        self._used = self._granted  # until it is known to have been less
        self._session.before(reading)
        if operation.loosens and self.query is not None:
            relay.loosened = ASK
        if rows_max is not None and self.query is not None:
            await self._session.bounding.query(self.query, operation)
        else:
            self._send(operation)
        await done
        if lone and not operation.sqlstate:
            self._session.after(reading)
        self.rolled_back = operation.rolled_back
        execution = Execution(
            tag=operation.tag,
            rows=operation.rows,
            sqlstate=operation.sqlstate,
            duration_us=int((loop.time() - begun) * 1_000_000),
            ran=operation.sent and not operation.skipped,
            complete=operation.complete,
            changed=operation.changed,
            rolled_back=operation.rolled_back,
        )
        self._used = bounds.rows_used(reading, execution, self._granted)
        self.settle()  # before the client's next statement asks
        return execution

    def _settle(self, done: asyncio.Future[None], reading: Reading) -> None:
        if not done.done():
            self._session.over_with(reading)
            done.set_result(None)


def operation_of(reading: Reading) -> Operation:
    """Return what the relay must know of a statement while it runs."""
    copies = any(
        statement.tag == "COPY" and any(use.access is Access.WRITE for use in statement.objects)
        for statement in reading.statements
    )
    return Operation(
        wrote=reading.effects != ONLY_READS,
        guarded=not reading.effects <= UNGUARDED,
        copies=copies,
        statement=reading.statements[0] if len(reading.statements) == 1 else None,
    )


def error_of(refused: Refused) -> bytes:
    """Return a refusal as the ErrorResponse that the client gets."""
    finding = refused.finding
    return errors.error_response(
        "ERROR",
        refused.sqlstate,
        finding.message,
        finding.detail,
        finding.hint,
        refused.position,
    )


def parameters_of(bind: messages.Bind, types: bytes) -> tuple[Parameter, ...]:
    """Return the bind values with their types, as far as the client named them in Parse."""
    oids = [int.from_bytes(types[at : at + 4], "big") for at in range(2, len(types), 4)]
    oids += [0] * (len(bind.values) - len(oids))
    formats = bind.formats
    if len(formats) == 1:
        formats = formats * len(bind.values)
    return tuple(
        Parameter(value, bool(formats) and formats[index] == 1, oids[index])
        for index, value in enumerate(bind.values)
    )
