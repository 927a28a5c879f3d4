"""Whom a session's relay speaks to: the session that owns it, and the trail's lane for reads.

This module compiles with mypyc.
"""

from __future__ import annotations

from typing import Protocol

from holdpoint.doors.postgres.pending import Known, Operation, Prepared
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.wire.postgres.errors import ProtocolError


class Reads(Protocol):
    """The trail's lane for plain reads; both calls are in memory and never wait."""

    def read_started(self, session: str, text: str, parameters: bytes | None) -> int:
        """Record the intent; raises ``TrailUnavailable``."""

    def read_started_once(self, session: str, text: str) -> int:
        """Record the intent of a read whose text hardly comes again."""

    def read_finished(self, number: int, rows: int, sqlstate: str) -> None:
        """Record the outcome."""


class Owner(Protocol):
    """What the relay asks of its session."""

    def known(self, query: bytes) -> Known | None:
        """Return the text as one that passes on its own, or None: it needs the whole gate."""

    def slow_query(self, query: bytes) -> None:
        """Take a Query through the gate; the relay is stopped until ``resume``."""

    def slow_bind(self, payload: bytes, name: bytes, prepared: Prepared) -> None:
        """Take a Bind through the gate; the relay is stopped until ``resume``."""

    def bounded_execute(self, execute: bytes, operation: Operation) -> None:
        """Run an Execute under its bound; the relay is stopped until ``resume``."""

    def parameter(self, name: str, value: str) -> None:
        """Take note of a ParameterStatus."""

    def broken(self, problem: ProtocolError) -> None:
        """End the session: one of the peers does not keep to the protocol."""

    def over(self) -> None:
        """Take the client's goodbye."""

    def pause_client(self, paused: bool) -> None:
        """Stop or go on reading from the client."""

    def defined(self) -> None:
        """Take note that a transaction which may have defined something is over."""

    def cancel_running(self) -> None:
        """Have the server cancel what it runs; ``overrun.Overrun.cancelled`` when that is over."""

    def restore(self) -> None:
        """Set the session's bounds again; the relay is stopped until ``resume``."""

    def unrecorded(self, problem: TrailUnavailable) -> None:
        """Take note that the outcome of a plain read could not be recorded."""
