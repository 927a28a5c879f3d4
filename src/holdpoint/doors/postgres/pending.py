"""What a session has sent to the server and waits for, in order; and the names it has given.

The protocol answers strictly in order, so one queue tells which answer belongs to what. Frames that
need no bookkeeping (Bind, Describe, Flush, COPY data) have no entry. Source: PostgreSQL manual,
"Message Flow".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdpoint.model.effects import Statement
from holdpoint.wire.postgres.stream import Room

# Kinds of entries, with the answer that completes each.
PARSE: Final = 1  # ParseComplete
CLOSE: Final = 2  # CloseComplete
EXECUTE: Final = 3  # CommandComplete, EmptyQueryResponse or PortalSuspended
SYNC: Final = 4  # ReadyForQuery
QUERY: Final = 5  # ReadyForQuery, after any number of CommandComplete
REFUSED: Final = 6  # ErrorResponse: a statement made to fail stands where the refused one stood
FENCE: Final = 7  # CloseComplete, kept from the client: see ``refusing.FENCE_FRAME``
OWN: Final = 8  # a question of the gate's own; all its answers are kept from the client

CURSOR_TEXT: Final = "FETCH ALL FROM cursor"  # in the trail: a portal that no Bind has opened
# Tags whose count is of rows that the statement changed (manual, CommandComplete).
CHANGING_TAGS: Final = ("INSERT ", "UPDATE ", "DELETE ", "MERGE ")

# Where the gate stands with bounds that a statement may have loosened: see ``passing``.
ASK: Final = 1
ASKED: Final = 2


class Known:
    """A text that passes on its own: a plain read, decided once and remembered.

    ``commits`` marks the end of a transaction. ``prepares`` are the names that the text gives to
    statements, each with the whole PREPARE, ``forgets`` the names it deallocates (``*`` for all of
    them). ``alone`` says that it is one statement: if it fails, it has done nothing.
    ``once`` says that the text was known by its shape and is fit for ``read_started_once``.
    ``count`` is how many statements it has. ``loosens`` says that it sets a timeout, maybe to less
    than the session's bound.
    """

    def __init__(
        self,
        text: str,
        commits: bool = False,
        prepares: tuple[tuple[bytes, bytes], ...] = (),
        forgets: tuple[bytes, ...] = (),
        alone: bool = True,
        once: bool = False,
        count: int = 1,
        loosens: bool = False,
    ) -> None:
        self.text = text
        self.commits = commits
        self.prepares = prepares
        self.forgets = forgets
        self.alone = alone
        self.once = once
        self.count = count
        self.loosens = loosens


class Prepared:
    """A named (or the unnamed) statement of a session.

    If the server has the name at all, then with this text. ``confirmed`` says that it has
    acknowledged it; until then only frames of the same ``segment`` (the stretch up to a Sync) can
    rely on it, because they are skipped if it fails. A name of SQL's PREPARE has segment -1: the
    failure of a Query skips nothing.

    ``types`` is the end of the Parse message: the parameter types that the client named. ``sql``
    says that ``query`` is the text of a PREPARE. ``epoch`` counts the settings under which the
    server has read the text; -1 means that nobody knows. ``stale`` says that it was known to pass,
    before names could mean something else: then it is asked again.
    """

    def __init__(
        self,
        query: bytes,
        known: Known | None,
        segment: int,
        types: bytes = b"",
        sql: bool = False,
        epoch: int = 0,
    ) -> None:
        self.query = query
        self.types = types
        self.known = known
        self.segment = segment
        self.confirmed = False
        self.sql = sql
        self.epoch = epoch
        self.stale = False


class Own:
    """A question of the gate's own and its answer: see ``bounding``.

    ``closes`` is 0 for a Query, which ends with ReadyForQuery; frames of the extended protocol end
    with so many Close. ``value`` is the first column of the last row, None for NULL or no
    row. ``response`` is the server's whole ErrorResponse if it failed. ``lost`` says that the
    connection broke before the answer.
    """

    def __init__(self, closes: int, on_done: Callable[[], None]) -> None:
        self.closes = closes
        self.on_done = on_done
        self.value: bytes | None = None
        self.sqlstate = ""
        self.response = b""
        self.lost = False


class Operation:
    """A statement that went through the whole gate and now runs: collects how it ends.

    ``wrote`` says that it may have changed data, ``guarded`` that nothing else may be judged
    before it is over (it may change how later statements are read), ``loosens`` that bounds must be
    set again behind it (see ``passing``), ``copies`` that it reads COPY data from the client.
    ``statement`` is what was read, if it is one. ``known`` has the names that it prepares and
    forgets. ``sent`` turns True when the server is told to run it, ``skipped`` when the server
    has not done so because of an earlier error, ``suspended`` while its portal has more rows,
    ``doubtful`` when an error leaves open whether the portal is there, ``complete`` False when the
    connection breaks before the answer.

    ``rows_max`` is the most rows that it may change, None when nothing bounds it: in one table, or
    ``together`` in all. ``changed`` is what was counted (-1: nothing), ``told`` what its command
    tags count, ``rolled_back`` says that it was over. ``on_answer`` stands in for the end while
    ``bounding`` counts. ``over`` is the error for a result that was longer than its budget,
    ``room`` what its portal may still return when it runs in parts.
    """

    def __init__(
        self, wrote: bool, guarded: bool, copies: bool, statement: Statement | None = None
    ) -> None:
        self.wrote = wrote
        self.guarded = guarded
        self.loosens = False
        self.copies = copies
        self.statement = statement
        self.known: Known | None = None
        self.tag = ""
        self.rows = -1
        self.sqlstate = ""
        self.sent = False
        self.skipped = False
        self.suspended = False
        self.doubtful = False
        self.segment = 0
        self.complete = True
        self.finished = False
        self.on_finish: Callable[[], None] | None = None
        self.rows_max: int | None = None
        self.together = False
        self.tables: dict[int, int] = {}
        self.changed = -1
        self.told = 0
        self.rolled_back = False
        self.over = b""
        self.room: Room | None = None
        self.on_answer: Callable[[], None] | None = None

    @property
    def counts_by_tag(self) -> bool:
        """Tell whether the count of its command tag is of rows that it has changed."""
        return self.tag.startswith("COPY " if self.copies else CHANGING_TAGS)

    @property
    def may_run(self) -> bool:
        """Tell whether its portal may not have run to its end: SQL's FETCH could go on with it."""
        return not self.sent or self.skipped or self.suspended or self.sqlstate != ""

    @property
    def is_over(self) -> bool:
        """Tell whether its portal must not run (again).

        It may not be there; or it was given up, counted or not, but a savepoint older than the
        error and younger than the portal has kept it: then it would run past its record and bound.
        """
        if self.finished:
            return self.skipped or self.sqlstate != "" or self.rows_max is not None
        return self.doubtful

    def count(self, before: dict[int, int], after: dict[int, int]) -> None:
        """Add what has changed between two counts of rows by table; each is never below 0."""
        for table, rows in after.items():
            more = rows - before.get(table, 0)
            self.tables[table] = self.tables.get(table, 0) + (more if more > 0 else 0)
        rows_of = list(self.tables.values())
        most = sum(rows_of) if self.together else max(rows_of, default=0)
        self.changed = most if most > self.told else self.told

    def drop(self) -> None:
        """Mark the end of an operation whose portal went away before it had run to its end."""
        if not self.sent or self.suspended:
            self.finish()

    def skip(self) -> None:
        """Mark the end of an operation that the server ignores because of an earlier error."""
        self.skipped = True
        self.finish()

    def finish(self) -> None:
        """Mark the end and wake the gate that waits for it."""
        if not self.finished:
            self.finished = True
            if self.on_finish is not None:
                self.on_finish()


class Opened:
    """One Bind of a portal: which one it is of several that give it the same name.

    ``stretch`` is that of frames up to a Sync or a Query, ``segment`` that up to a Sync.
    """

    def __init__(self, segment: int, stretch: int) -> None:
        self.segment = segment
        self.stretch = stretch


def _in_doubt() -> Operation:
    """Return what stands for a plain read whose portal may be there or not: it must not run."""
    operation = Operation(False, False, False)
    operation.sent = operation.finished = True
    operation.rows_max = 0
    return operation


IN_DOUBT: Final = _in_doubt()


class Names:
    """The names that a session has given to statements and portals, as the server knows them.

    ``known`` looks a text up among those that pass on their own.
    """

    def __init__(self, known: Callable[[bytes], Known | None]) -> None:
        self._known = known
        self.statements: dict[bytes, Prepared] = {}
        self.portals: dict[bytes, Known | Operation] = {}
        self.opened: dict[bytes, Opened] = {}  # the last Bind of each portal
        self.parameters: dict[bytes, bytes] = {}
        self.rooms: dict[bytes, Room] = {}  # of portals that are run in parts
        self.segment = 0
        self.stretch = 0
        # Texts may be looked up: the server reads strings as the gate does.
        self.plain = True
        # Counts changes of the settings under which text is read. Once there was one, a statement
        # is judged only when all before it are answered (``careful``), and not while the server
        # may have changed them without having said so yet (``unsure``; it does at ReadyForQuery).
        self.epoch = 0
        self.careful = False
        self.unsure = False

    def has_unsent(self) -> bool:
        """Tell whether a portal waits that went through the whole gate and may still run.

        SQL's FETCH could run it, so no text passes on its own while there is one.
        """
        for bound in self.portals.values():
            if isinstance(bound, Operation) and bound.may_run:
                return True
        return False

    def close_portals(self, stretch: int) -> None:
        """Forget the portals of stretches before this one, which end with their transaction.

        What never ran is told so. A portal whose Bind was sent since is one of the transaction
        after: forgotten, it would pass for a cursor, which was decided when it was declared.
        """
        for portal, opened in list(self.opened.items()):
            if opened.stretch < stretch:
                self.close_portal(portal)
        for portal in [each for each in self.rooms if each not in self.opened]:
            del self.rooms[portal]  # of a cursor

    def close_portal(self, portal: bytes) -> None:
        """Forget a portal; if it never ran, it is told so."""
        bound = self.portals.pop(portal, None)
        if isinstance(bound, Operation):
            bound.drop()
        self.opened.pop(portal, None)
        self.parameters.pop(portal, None)
        self.rooms.pop(portal, None)

    def open_portal(self, portal: bytes, bound: Known | Operation) -> None:
        """Open a portal; one that it replaces and that never ran is told so."""
        old = self.portals.get(portal)
        if isinstance(old, Operation):
            old.drop()
        self.portals[portal] = bound
        self.opened[portal] = Opened(self.segment, self.stretch)
        self.rooms.pop(portal, None)

    def doubt(self, segment: int) -> None:
        """Mark the portals of a segment that failed: whether they are there, nobody knows.

        The server may have an older one of the name, which reads something else.
        """
        for portal, opened in self.opened.items():
            bound = self.portals[portal]
            if not isinstance(bound, Operation):
                if opened.segment == segment:
                    self.portals[portal] = IN_DOUBT
            elif bound.segment <= segment and not bound.finished:
                bound.doubtful = True

    def take_back(self, known: Known) -> None:
        """Forget names whose PREPARE has failed.

        An error undoes no PREPARE before it in the same message: then the server may have the name.
        """
        for name, _ in known.prepares:
            prepared = self.statements.get(name)
            if prepared is not None and not prepared.confirmed:
                if known.alone:
                    del self.statements[name]
                else:
                    prepared.confirmed = True

    def confirm(self, known: Known) -> None:
        """Apply PREPARE and DEALLOCATE once the server has done them."""
        for name, query in known.prepares:
            if self.define_sql(name, query):
                self.statements[name].confirmed = True
        for name in known.forgets:
            if name == b"*":
                self.statements.clear()
            else:
                self.statements.pop(name, None)

    def define(self, name: bytes, query: bytes, types: bytes = b"") -> bool:
        """Give a statement its name; False when another one has it already.

        The server would refuse as well. The gate must not wait for that: the next frame could run
        the other statement while we take it for this one.
        """
        old = self.statements.get(name)
        if name and old is not None:
            return old.query == query and not old.sql and old.epoch == self.epoch
        known = self._known(query) if self.plain and not self.unsure else None
        epoch = -1 if self.unsure else self.epoch
        self.statements[name] = Prepared(query, known, self.segment, types, False, epoch)
        return True

    def forget_known(self) -> None:
        """Have every statement asked again before it passes on its own: names have changed."""
        for prepared in self.statements.values():
            if prepared.known is not None:
                prepared.known = None
                prepared.stale = True

    def known_again(self, prepared: Prepared) -> Known | None:
        """Return a statement that passed before as one that still does, or None."""
        known = self._known(prepared.query)
        if known is not None:
            prepared.known = known
            prepared.stale = False
        return known

    def define_sql(self, name: bytes, query: bytes) -> bool:
        """Give a name by SQL's PREPARE, whose whole text is ``query``; False when it is taken.

        What it prepares is judged each time it is bound: the text itself is that of a PREPARE.
        """
        old = self.statements.get(name)
        if old is not None:
            return old.query == query and old.sql
        self.statements[name] = Prepared(query, None, -1, b"", True, self.epoch)
        return True

    def define_all(self, prepares: tuple[tuple[bytes, bytes], ...]) -> bool:
        """Give names to statements that a text through the whole gate prepares."""
        return all(self.define_sql(name, query) for name, query in prepares)


class Pending:
    """One entry of the queue. ``number`` is the trail's number of a plain read, -1 for none.

    ``name`` is that of a statement, or of a portal if ``is_portal``. ``room`` is what its portal
    may still return, None for all that a statement may. ``over`` is the error that the client gets
    in place of the server's when it was cancelled for a budget. ``opened`` is the portal that a
    Close is for.
    """

    def __init__(
        self,
        kind: int,
        number: int = -1,
        operation: Operation | None = None,
        name: bytes = b"",
        prepared: Prepared | None = None,
        known: Known | None = None,
        refusal: bytes = b"",
        is_portal: bool = False,
        own: Own | None = None,
        room: Room | None = None,
        opened: Opened | None = None,
    ) -> None:
        self.kind = kind
        self.number = number
        self.operation = operation
        self.name = name
        self.prepared = prepared
        self.known = known
        self.refusal = refusal
        self.is_portal = is_portal
        self.own = own
        self.room = room
        self.opened = opened
        self.over = b""
        self.rows = -1
        self.sqlstate = ""


class Cut:
    """A result that went over its budget: no more of it is passed on.

    ``entry`` is what it answers, ``words`` the error that the client gets for it, ``room`` has what
    notices may still take. ``bounded`` says
    that the gate takes the statement back itself, when it is over. ``is_last`` says that nothing
    was sent behind the Sync (or the Query) that the statement belongs to. ``leaves_traces`` turns
    True when something behind it has run that an error would not have let run.
    """

    def __init__(
        self, entry: Pending, words: bytes, room: Room, bounded: bool, is_last: bool
    ) -> None:
        self.entry = entry
        self.words = words
        self.room = room
        self.bounded = bounded
        self.is_last = is_last
        self.leaves_traces = False
