"""What a session has sent to the server and waits for, in order; and the names it has given.

The protocol answers strictly in order, so one queue tells which answer belongs to what. Frames that
need no bookkeeping (Bind, Describe, Flush, COPY data) have no entry. Source: PostgreSQL manual,
"Message Flow".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdpoint.model.effects import Statement

# Kinds of entries, with the answer that completes each.
PARSE: Final = 1  # ParseComplete
CLOSE: Final = 2  # CloseComplete
EXECUTE: Final = 3  # CommandComplete, EmptyQueryResponse or PortalSuspended
SYNC: Final = 4  # ReadyForQuery
QUERY: Final = 5  # ReadyForQuery, after any number of CommandComplete
REFUSED: Final = 6  # ErrorResponse: a statement made to fail stands where the refused one stood


class Known:
    """A text that passes on its own: a plain read, decided once and remembered.

    ``commits`` marks the end of a transaction. ``prepares`` are the names that the text gives to
    statements with their texts, ``forgets`` the names it deallocates (``*`` for all of them).
    """

    def __init__(
        self,
        text: str,
        commits: bool = False,
        prepares: tuple[tuple[bytes, bytes], ...] = (),
        forgets: tuple[bytes, ...] = (),
    ) -> None:
        self.text = text
        self.commits = commits
        self.prepares = prepares
        self.forgets = forgets


class Prepared:
    """A named (or the unnamed) statement of a session.

    ``confirmed`` says that the server has acknowledged it; until then only frames of the same
    ``segment`` (the stretch up to a Sync) can rely on it, because they are skipped if it fails.
    ``types`` is the end of the Parse message: the parameter types that the client named.
    """

    def __init__(
        self, query: bytes, known: Known | None, segment: int, confirmed: bool, types: bytes = b""
    ) -> None:
        self.query = query
        self.types = types
        self.known = known
        self.segment = segment
        self.confirmed = confirmed


class Operation:
    """A statement that went through the whole gate and now runs: collects how it ends.

    ``wrote`` says that it may have changed data, ``guarded`` that nothing else may be judged
    before it is over (it may change how later statements are read), ``copies`` that it reads COPY
    data from the client.
    ``statement`` is what was read, if it is one. ``sent`` turns True when the server is told to
    run it, ``complete`` False when the connection breaks before the answer.
    """

    def __init__(
        self, wrote: bool, guarded: bool, copies: bool, statement: Statement | None = None
    ) -> None:
        self.wrote = wrote
        self.guarded = guarded
        self.copies = copies
        self.statement = statement
        self.tag = ""
        self.rows = -1
        self.sqlstate = ""
        self.sent = False
        self.complete = True
        self.finished = False
        self.on_finish: Callable[[], None] | None = None

    def drop(self) -> None:
        """Mark the end of an operation whose portal went away before it was executed."""
        if not self.sent:
            self.finish()

    def finish(self) -> None:
        """Mark the end and wake the gate that waits for it."""
        if not self.finished:
            self.finished = True
            if self.on_finish is not None:
                self.on_finish()


class Pending:
    """One entry of the queue. ``number`` is the trail's number of a plain read, -1 for none."""

    def __init__(
        self,
        kind: int,
        number: int = -1,
        operation: Operation | None = None,
        name: bytes = b"",
        prepared: Prepared | None = None,
        known: Known | None = None,
        refusal: bytes = b"",
    ) -> None:
        self.kind = kind
        self.number = number
        self.operation = operation
        self.name = name
        self.prepared = prepared
        self.known = known
        self.refusal = refusal
        self.rows = -1
        self.sqlstate = ""
