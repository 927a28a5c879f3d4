"""One agent's session: the relay, and the way of a statement through the whole gate and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

import structlog

from holdpoint import gate, sql
from holdpoint.doors.postgres import ending
from holdpoint.doors.postgres.bounding import Bounding
from holdpoint.doors.postgres.following import Following
from holdpoint.doors.postgres.handshake import Arrival
from holdpoint.doors.postgres.memo import Memos
from holdpoint.doors.postgres.naming import Naming
from holdpoint.doors.postgres.passage import Passage, error_of, parameters_of
from holdpoint.doors.postgres.pending import QUERY, REFUSED, Known, Operation, Prepared
from holdpoint.doors.postgres.relay import Relay
from holdpoint.doors.postgres.restoring import Restoring
from holdpoint.doors.postgres.shares import Share
from holdpoint.doors.postgres.texts import with_prepared
from holdpoint.doors.postgres.upstream import Upstream
from holdpoint.doors.postgres.watching import Watch
from holdpoint.engine.driver import Engine, Keeper, Prober
from holdpoint.engine.recorder import TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.effects import (
    Dialect,
    Effect,
    Reading,
    SessionView,
    Statement,
)
from holdpoint.model.finding import Finding
from holdpoint.model.hold import Hold
from holdpoint.model.steps import Done, Refused, Submission
from holdpoint.policy import refusals
from holdpoint.wire.postgres import errors, messages
from holdpoint.wire.postgres.errors import ProtocolError

log = structlog.get_logger(__name__)

READABLE_ENCODING: Final = "UTF8"
# What may change the catalog, or may do anything.
MAY_DEFINE: Final = frozenset(
    {Effect.DDL, Effect.DESTRUCTIVE, Effect.PRIVILEGE, Effect.SERVER_SIDE, Effect.UNKNOWN}
)


class Session:
    """A session between one client and one server; it owns the relay and its statements' tasks.

    ``ended`` is called once, when nothing of the session is left.
    """

    def __init__(
        self,
        session_id: str,
        arrival: Arrival,
        peer: str,
        upstream: Upstream,
        engine: Engine,
        prober: Prober,
        memos: Memos,
        ended: Callable[[Session], None],
        catalogs: Keeper | None = None,
        defined: Callable[[], None] | None = None,
        share: Share | None = None,
    ) -> None:
        self.id = session_id
        self.arrival = arrival
        self.peer = peer
        self.upstream = upstream
        self.engine = engine
        self.prober = prober
        self._memos = memos
        self._catalogs = catalogs
        self._defined = defined
        opening = upstream.opening
        assert opening is not None, "no session begins that was not asked how it did"
        picture = catalogs.current if catalogs is not None else None
        alike = picture is not None and picture.rows.role == opening.user
        self._naming = Naming(opening.user, None if alike else opening.path)
        self._defines_code = False
        self._definitions = 0  # statements sent that may define something and have not ended
        self._ended: Callable[[Session], None] | None = ended
        self._view = SessionView(search_paths=self._naming.paths)
        self._memo = memos.of(self._view)
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._passage: Passage | None = None
        self._client_transport: asyncio.Transport | None = None
        self._client_paused: set[str] = set()
        self._leaving = False
        self.ended_by: Finding | None = None  # why we ended it
        self.relay = Relay(
            self, engine.recorder, session_id, self._write_nothing, upstream.channel.write
        )
        self.bounding = Bounding(self.relay, self.is_server_lost)
        self.restoring = Restoring(opening, self.relay, self.bounding, self.fail)
        self.watch = Watch(self)
        self.share = share
        if share is not None:
            self.relay.meter = share.meter
        self.following = Following(self)
        for name, value in upstream.parameters.items():
            self.parameter(name, value)

    def is_server_lost(self) -> bool:
        """Tell whether the connection to the server is gone."""
        return self.upstream.channel.lost

    def start(self, client: asyncio.Transport) -> None:
        """Begin to relay to the client's transport."""
        self._client_transport = client
        self.relay.write_client = client.write
        self.upstream.channel.attach(
            self.relay.server_data, self.server_lost, self._client_pressure
        )

    def _write_nothing(self, data: bytes) -> None:
        """Take the server's answers for a client that is gone."""

    # --- what the relay asks ----------------------------------------------------------------------

    def known(self, query: bytes) -> Known | None:
        """Return the text as one that passes on its own, or None: it needs the whole gate."""
        known = self._memo.known(query, self._view) if self._memo is not None else None
        return None if known is not None and known.loosens and self.restoring.has_bounds else known

    def slow_query(self, query: bytes) -> None:
        """Take a Query through the gate."""
        passage = Passage(self, lambda operation: self.relay.run_query(query, operation))
        passage.query = query
        self._begin(passage, QUERY, query, None)

    def bounded_execute(self, execute: bytes, operation: Operation) -> None:
        """Run an Execute under its bound of rows."""
        self.spawn(self._bounded(self.bounding.execute(execute, operation)))

    def restore(self) -> None:
        """Set the session's bounds again; the relay is stopped until then."""
        self.spawn(self._bounded(self.restoring.restore()))

    async def _bounded(self, work: Coroutine[Any, Any, None]) -> None:
        """Bring a bounded statement to its end; a session that could not is not to be trusted."""
        try:
            await work
        except Exception:
            log.exception("session.failed", session=self.id)
            self.fail("XX000", "an internal error of Holdpoint; nothing more runs", "see its log")
            raise

    def slow_bind(self, payload: bytes, name: bytes, prepared: Prepared) -> None:
        """Take a Bind through the gate, with its values."""
        try:
            bind = messages.parse_bind(payload)
        except ProtocolError as problem:
            self.broken(problem)
            return
        passage = Passage(self, lambda operation: self.relay.run_bind(payload, operation))
        passage.unreadable = prepared.epoch != self.relay.epoch
        query = prepared.query
        if prepared.sql:
            # Its text is a PREPARE, which does nothing; what is bound is what EXECUTE would run.
            quoted = b'"' + name.replace(b'"', b'""') + b'"'
            query = query + b";\nEXECUTE " + quoted
            passage.is_foreign = True
        self._begin(passage, REFUSED, query, parameters_of(bind, prepared.types))

    def parameter(self, name: str, value: str) -> None:
        """Follow the settings that change how text is read."""
        before = self._view
        if name == "standard_conforming_strings":
            self._view = replace(self._view, standard_conforming_strings=value == "on")
        elif name == "client_encoding":
            self._view = replace(self._view, encoding=value.upper().replace("-", ""))
        elif name == "search_path" and self._client_transport is not None:
            self._naming.reported(value)
            self._names_changed()
            return
        elif name == "in_hot_standby":
            self.following.reported(value)
            return
        self.read_plainly()
        if self._view != before:
            self.relay.epoch += 1
            self.relay.careful = self._client_transport is not None

    def read_plainly(self) -> None:
        """Let texts pass on their own where they read as usual and nothing objects to the server.

        What was prepared while they did not is asked again.
        """
        plain, self.relay.plain = (
            self.relay.plain,
            (
                self._view.standard_conforming_strings
                and self._view.encoding == READABLE_ENCODING
                and not self.following.objects
            ),
        )
        if self.relay.plain and not plain:
            self.relay.forget_known()

    # --- names ------------------------------------------------------------------------------------

    def _names_changed(self) -> None:
        """Read from here on with what names may mean now; what was known is asked anew."""
        self._view = replace(
            self._view,
            search_paths=self._naming.paths,
            any_path=self._naming.any_path,
            unsure=self._naming.doubts,
            defines_code=self._defines_code,
        )
        self._memo = self._memos.of(self._view)
        self.relay.forget_known()

    def before(self, reading: Reading) -> None:
        """Note what a statement that is about to run may change about names."""
        picture = self._catalogs.current if self._catalogs is not None else None
        first = picture.rows.search_path if picture is not None else None
        code = any(sql.defines(statement) for statement in reading.statements)
        changed = self._naming.may_become(reading, first)
        if changed or (code and not self._defines_code):
            self._defines_code = self._defines_code or code
            self._names_changed()
        if reading.effects & MAY_DEFINE:
            self._definitions += 1
            self.relay.defining = True

    def over_with(self, reading: Reading) -> None:
        """Note that a statement has ended; its transaction may go on."""
        if reading.effects & MAY_DEFINE:
            self._definitions -= 1
            # Seen again when the server is ready, unless that has been already.
            self.relay.defining = True
            if self.relay.status == messages.IDLE and not self.relay.pending:
                self.relay.defining = False
                self.defined()

    def after(self, reading: Reading) -> None:
        """Note what a text that ran alone, outside a transaction, has changed about names."""
        if gate.changes_names(reading):
            self._naming.became(reading)
            self._names_changed()

    def defined(self) -> None:
        """Have the catalog read again: what this session may have defined is committed."""
        if self._defined is not None:
            self._defined()
        if self._definitions:  # one is still to come: this was the end of what stood before it
            self.relay.defining = True
        elif self._defines_code:
            self._defines_code = False
            self._names_changed()

    def cancel_running(self) -> None:
        """Have the server cancel what it runs."""
        self.watch.cancel()

    @property
    def is_at_gate(self) -> bool:
        """Tell whether a statement is on its way through the gate, perhaps held there."""
        return self._passage is not None

    def unrecorded(self, problem: TrailUnavailable) -> None:
        """Take note that the outcome of a plain read could not be recorded."""
        log.error("trail.unavailable", session=self.id, problem=str(problem))

    def broken(self, problem: ProtocolError) -> None:
        """End the session with words: one of the peers does not keep to the protocol."""
        log.warning("session.broken", session=self.id, problem=problem.message)
        self.fail(problem.sqlstate, problem.message)

    def over(self) -> None:
        """Take the client's goodbye; the connection is about to close."""
        self._leaving = True

    def pause_client(self, paused: bool) -> None:
        """Stop or go on reading from the client because statements wait at the gate."""
        self.pause("gate", paused)

    # --- what the connections tell ----------------------------------------------------------------

    def _client_pressure(self, full: bool) -> None:
        """Stop reading from the client while the server does not keep up."""
        self.pause("server", full)

    def server_pressure(self, full: bool) -> None:
        """Stop reading from the server while the client does not keep up."""
        transport = self.upstream.channel.open_transport
        if not transport.is_closing():
            (transport.pause_reading if full else transport.resume_reading)()

    def pause(self, who: str, paused: bool) -> None:
        """Stop or go on reading from the client, for one of several reasons."""
        transport = self._client_transport
        if transport is None or transport.is_closing() or (who in self._client_paused) == paused:
            return
        if paused:
            self._client_paused.add(who)
            transport.pause_reading()
        else:
            self._client_paused.discard(who)
            if not self._client_paused:
                transport.resume_reading()

    def client_lost(self) -> None:
        """Abandon what waits; what runs is followed to its end, so that the trail knows it."""
        self.relay.write_client = self._write_nothing
        self._client_transport = None
        self._abandon()
        self.spawn(self._leave())

    async def _leave(self) -> None:
        """Let the server finish what it runs, then say goodbye."""
        channel = self.upstream.channel
        self.server_pressure(False)
        waited = 0.0 if self.relay.leave() else limits.CLIENT_GONE_GRACE_S
        while self.runs and not channel.lost and waited < limits.CLIENT_GONE_GRACE_S:
            await asyncio.sleep(LEAVE_POLL_S)
            waited += LEAVE_POLL_S
        channel.write(messages.TERMINATE)
        channel.open_transport.close()

    @property
    def runs(self) -> bool:
        """Tell whether anything that was sent has no answer yet."""
        return bool(self.relay.pending) or self.relay.bounding

    def end(self, finding: Finding) -> None:
        """End the session because access was taken away: see ``ending``. The first reason stays."""
        if self.ended_by is None:
            self.ended_by = finding
            self.spawn(ending.end(self, finding))

    def stop(self) -> bool:
        """Let nothing more begin; False if what runs cannot come to an end by itself."""
        self._abandon()
        return self.relay.leave()

    def cut(self) -> None:
        """Close the client's connection whatever it has not read."""
        if self._client_transport is not None:
            self._client_transport.abort()

    def _abandon(self) -> None:
        """Give up the statement that waits for people."""
        passage = self._passage
        if passage is not None and passage.is_waiting and passage.task is not None:
            passage.task.cancel()

    def server_lost(self) -> None:
        """End the session: nothing can run any more, and what ran has an unknown outcome."""
        self.relay.gone = True
        self.relay.lose()
        if self.relay.defining:  # whether it was committed nobody knows
            self.defined()
        # A write that failed brings us here from inside the relay, which may still add entries.
        asyncio.get_running_loop().call_soon(self.relay.lose)
        if self._client_transport is not None:
            if self._leaving:  # as it asked for; some clients wait for this end
                self._client_transport.close()
            else:
                self.fail("08006", "the database closed the connection")
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self)

    def fail(self, sqlstate: str, message: str, hint: str = "") -> None:
        """Tell the client why its session ends, and close both sides."""
        if self._client_transport is not None:
            if self.relay.is_between_frames:  # else the client would take it for a part of a row
                response = errors.error_response("FATAL", sqlstate, message, hint=hint)
                self._client_transport.write(response)
            self._client_transport.close()
        self.upstream.channel.open_transport.close()

    # --- statements on their way through the gate -------------------------------------------------

    def _begin(
        self,
        passage: Passage,
        kind: int,
        query: bytes,
        parameters: tuple[Parameter, ...] | None,
    ) -> None:
        self._passage = passage
        passage.unreadable = passage.unreadable or (self.relay.unsure and kind == QUERY)
        try:
            text = query.decode()
        except UnicodeDecodeError:
            # Kept readable for people, and marked: the gate does not know what the server reads.
            text = query.decode("utf-8", "backslashreplace")
            passage.unreadable = True
        passage.task = self.spawn(self._through_gate(passage, kind, text, parameters))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something of this session to its end."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _submission(
        self,
        text: str,
        parameters: tuple[Parameter, ...] | None,
        passage: Passage,
    ) -> Submission:
        # What reads alike under any settings stays readable: ASCII without a backslash.
        sure = not passage.unreadable
        view = SessionView(
            standard_conforming_strings=sure and self._view.standard_conforming_strings,
            encoding=self._view.encoding if sure else "unknown",
            portals=self._portals(),
            search_paths=self._view.search_paths,
            any_path=self._view.any_path,
            unsure=self._view.unsure,
            defines_code=self._view.defines_code,
        )
        arrival = self.arrival
        return Submission(
            agent=arrival.agent,
            task=arrival.task,
            task_tiers=arrival.login.tiers,
            session=self.id,
            peer=self.peer,
            target=arrival.target,
            tier=arrival.tier,
            role=self._naming.role,
            text=text,
            dialect=Dialect.POSTGRES,
            view=view,
            parameters=parameters,
            may_wait=not self.relay.wrote,
            is_limited=self.share is not None and self.share.is_limited,
        )

    def _portals(self) -> tuple[tuple[str, Statement], ...]:
        """Return portals that went through the gate and have not run: FETCH could run them."""
        return tuple(
            (name.decode("utf-8", "replace"), bound.statement)
            for name, bound in self.relay.portals.items()
            if isinstance(bound, Operation) and bound.may_run and bound.statement is not None
        )

    async def _through_gate(
        self, passage: Passage, kind: int, text: str, parameters: tuple[Parameter, ...] | None
    ) -> None:
        try:
            text = await with_prepared(self.relay, passage, text)
            submission = self._submission(text, parameters, passage)
            submission = replace(submission, barred=await self.following.barred(passage))
            outcome = await self.engine.run(submission, passage, self.prober, self._catalogs)
        except Exception:
            # Nothing ran that was not recorded; the session cannot be trusted to go on.
            log.exception("session.failed", session=self.id)
            self.fail("XX000", "an internal error of Holdpoint; nothing more runs", "see its log")
            raise
        finally:
            passage.settle()
        if self._passage is passage:
            self._passage = None
        if isinstance(outcome, Refused) and passage.rolled_back:
            self.bounding.refuse(error_of(outcome), kind == QUERY)
        elif passage.sent:
            return
        elif isinstance(outcome, Done):
            self.relay.refuse(kind, passage.problem)
        else:
            self.relay.refuse(kind, error_of(outcome))

    def waiting(self, hold: Hold, page: str) -> None:
        """Tell the client that its statement is held, and bring it what the server has so far."""
        notice = refusals.held_notice(hold, page)
        self.relay.flush()
        self.relay.notice(
            errors.notice_response(
                "NOTICE", refusals.HELD, notice.message, notice.detail, notice.hint
            )
        )

    def cancel(self) -> bool:
        """End the wait of a held statement; False when none waits here."""
        passage = self._passage
        if passage is None or not passage.is_waiting:
            self.relay.cancel_seen = True
            return False
        passage.cancelled.set()
        return True


LEAVE_POLL_S: Final = 0.05
