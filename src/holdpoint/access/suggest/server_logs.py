"""Statements out of a PostgreSQL server's log: stderr, csvlog and jsonlog, plain or gzipped.

``log_statement`` logs a statement before it runs, so one counts once its session goes on without an
error; ``log_min_duration_statement`` logs it when it has run. Lines that are no statements are
passed over; lines that cannot be read are counted and named, never guessed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from holdpoint.access.history import Ending, Said
from holdpoint.model.limits import HISTORY_OPEN_MAX, LOG_UNREADABLE_SHOWN_MAX
from holdpoint.store.times import to_us

# What stands before a statement's text (postgres.c: log_statement, check_log_duration).
_STATEMENT: Final = re.compile(
    r"(?P<duration>duration: [\d.]+ ms  )?"
    r"(?:statement: |(?P<step>parse|bind|execute(?: fetch from)?) (?P<name>[^:]*): )",
)
_FAILED: Final = frozenset(("ERROR", "FATAL", "PANIC"))
_OFFSETS: Final = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a log. ``at_us`` is 0 where the log does not tell; so are empty texts.

    ``session`` tells sessions apart: a process or a session's own name.
    """

    at_us: int = 0
    session: str = ""
    role: str = ""
    database: str = ""
    severity: str
    message: str
    sqlstate: str = ""
    statement: str = ""


@dataclass(slots=True)
class LogFlaws:
    """What could not be read, and what was left out."""

    unreadable: int = 0
    places: list[str] = field(default_factory=list)
    other_roles: int = 0
    other_databases: int = 0
    no_role: int = 0

    def note(self, place: str) -> None:
        """Name a line that cannot be read; after the first few only count."""
        self.unreadable += 1
        if len(self.places) < LOG_UNREADABLE_SHOWN_MAX:
            self.places.append(place)


@dataclass(slots=True)
class LogReader:
    """Makes statements of a log's entries; only those of ``role`` and ``database`` where given."""

    flaws: LogFlaws
    role: str = ""
    database: str = ""
    since_us: int = 0
    _open: OrderedDict[str, Said] = field(default_factory=OrderedDict)

    def read(self, entries: Iterable[Entry]) -> Iterator[Said]:
        """Yield statements as they end; at the end those that were the last of their sessions."""
        for entry in entries:
            if not self._is_ours(entry):
                continue
            yield from self._take(entry)
            while len(self._open) > HISTORY_OPEN_MAX:
                yield self._ran(next(iter(self._open)))
        for session in list(self._open):
            yield self._ran(session)

    def _is_ours(self, entry: Entry) -> bool:
        if entry.at_us and entry.at_us < self.since_us:
            return False
        if self.database and entry.database and entry.database != self.database:
            self.flaws.other_databases += 1
            return False
        if self.role and not entry.role:
            self.flaws.no_role += 1
            return False
        if self.role and entry.role != self.role:
            self.flaws.other_roles += 1
            return False
        return True

    def _take(self, entry: Entry) -> Iterator[Said]:
        if entry.severity in _FAILED:
            yield from self._failed(entry)
            return
        if entry.severity != "LOG":
            return
        found = _STATEMENT.match(entry.message)
        if found is None or found["step"] in ("parse", "bind", "execute fetch from"):
            return
        said = Said(
            seq=0,
            at_us=entry.at_us,
            session=entry.session,
            agent=entry.role,
            role=entry.role,
            text=entry.message[found.end() :],
        )
        if found["duration"]:  # it has run; logged twice when both settings are on
            before = self._open.pop(entry.session, None)
            if before is not None and before.text != said.text:
                yield replace(before, ending=Ending.RAN)
            yield replace(said, ending=Ending.RAN)
            return
        if entry.session in self._open:
            yield self._ran(entry.session)
        if not entry.session:  # nothing tells whether it failed
            yield replace(said, ending=Ending.RAN)
        else:
            self._open[entry.session] = said

    def _failed(self, entry: Entry) -> Iterator[Said]:
        """An error ends the statement that is open; one in parsing was never logged itself."""
        said = self._open.pop(entry.session, None)
        if said is not None and entry.statement and said.text != entry.statement:
            yield replace(said, ending=Ending.RAN)
            said = None
        if said is None and entry.statement:
            said = Said(
                seq=0,
                at_us=entry.at_us,
                session=entry.session,
                agent=entry.role,
                role=entry.role,
                text=entry.statement,
            )
        if said is not None:
            yield replace(said, ending=Ending.FAILED, sqlstate=entry.sqlstate or "?")

    def _ran(self, session: str) -> Said:
        return replace(self._open.pop(session), ending=Ending.RAN)


def moment_us(text: str, offset: timedelta | None = None) -> int:
    """Return a time as logs write it, in microseconds; 0 where its zone is not known.

    ``2030-05-01 12:00:00.123 UTC`` and ``… +02:00`` are read; ``CEST`` and its like are not.
    """
    date, _, rest = text.strip().partition(" ")
    clock, _, zone = rest.partition(" ")
    try:
        naive = datetime.fromisoformat(f"{date} {clock}")
    except ValueError:
        return 0
    if naive.tzinfo is not None:
        return to_us(naive)
    found = _OFFSETS.fullmatch(zone)
    if zone in ("UTC", "GMT", "Etc/UTC"):
        return to_us(naive.replace(tzinfo=UTC))
    if found is not None:
        ahead = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
        return to_us(naive.replace(tzinfo=timezone(-ahead if found["sign"] == "-" else ahead)))
    if offset is not None:
        return to_us(naive.replace(tzinfo=timezone(offset)))
    return 0
