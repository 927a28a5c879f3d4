"""What agents said, out of the trail: each statement with who sent it, where, and how it ended.

The trail is read once, record by record; in memory are only sessions and statements that are open.
A record that was edited must not stop the reader: what cannot be read is counted. Records may lie
in any order in time (a clock that was set back): each counts by its own time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from holdpoint.audit.record import ChainedRecord, genesis_hash, record_hash
from holdpoint.model.limits import HISTORY_OPEN_MAX
from holdpoint.model.record import RecordKind


class Ending(StrEnum):
    """How a statement ended."""

    RAN = "ran"
    FAILED = "failed"  # the server refused it, or rolled it back
    DENIED = "denied"
    HELD = "held"  # people were asked; if they approved, it comes again as one that ran
    UNKNOWN = "unknown"  # it began, and nobody knows how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One statement of the trail. ``body`` is its record's, None for a plain read of a group.

    ``given`` are the tiers that people gave to its task, None where the record does not say.
    ``seq`` is the record it stands in, ``at_us`` microseconds since 1970. ``hold`` names the hold
    that it passed or opened.
    """

    seq: int
    at_us: int
    session: str
    agent: str
    task: str = ""
    given: tuple[str, ...] | None = None
    target: str = ""
    tier: str = ""
    role: str = ""
    text: str
    ending: Ending = Ending.UNKNOWN
    sqlstate: str = ""
    hold: str = ""
    is_early: bool = False  # its session began before what is read, or is not in the trail
    body: dict[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        """Whether it passed on its text alone, as one of a group of plain reads."""
        return self.body is None


@dataclass(slots=True)
class Flaws:
    """What is not as it should be in a trail; counted while it is read."""

    broken_at: int = 0  # the first record that does not follow the one before it, 0: none
    unreadable: int = 0  # records, or parts of a group, that are not as the recorder writes them
    set_back: int = 0  # times that a record is older than the one before it
    last_us: int = 0

    def note(self, record: ChainedRecord, before: str, seq: int) -> None:
        """Check that a record follows the one before it, whose hash and number these are."""
        if record.at_us < self.last_us:
            self.set_back += 1
        self.last_us = record.at_us
        try:
            own = record_hash(record.prev_hash, record.seq, record.at_us, record.kind, record.body)
        except ValueError:  # the hash before it is none
            own = ""
        follows = record.prev_hash == before and record.seq == seq + 1 and record.hash == own
        if not follows and not self.broken_at:
            self.broken_at = record.seq


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who a session is, as its record says."""

    agent: str = ""
    task: str = ""
    given: tuple[str, ...] | None = None
    target: str = ""
    tier: str = ""
    role: str = ""
    at_us: int = 0


def _given(body: dict[str, Any]) -> tuple[str, ...] | None:
    """The tiers that people gave to the task; records of before they were written have none."""
    given = body.get("task_tiers")
    return tuple(map(str, given)) if isinstance(given, list) else None


_NOBODY: Final = Session()
_STATEMENTS: Final = {
    RecordKind.STATEMENT_STARTED.value: Ending.UNKNOWN,
    RecordKind.STATEMENT_DENIED.value: Ending.DENIED,
    RecordKind.STATEMENT_HELD.value: Ending.HELD,
}
_ENDS: Final = frozenset(
    {RecordKind.STATEMENT_FINISHED.value, RecordKind.STATEMENT_OUTCOME_UNKNOWN.value}
)


@dataclass(slots=True)
class History:
    """Reads a trail. ``flaws`` are known once it was read to its end."""

    origin: str = ""
    since_us: int = 0
    flaws: Flaws = field(default_factory=Flaws)
    _sessions: dict[str, Session] = field(default_factory=dict)
    # A session's last reads may reach the trail after its end.
    _closed: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _open: dict[tuple[int, int], Said] = field(default_factory=dict)

    def read(self, records: Iterable[ChainedRecord]) -> Iterator[Said]:
        """Yield statements as they end, those since ``since_us``; at the end those still open.

        What began longest ago and never ended is given up when too much is open.
        """
        before, seq = genesis_hash(self.origin), 0
        for record in records:
            self.flaws.note(record, before, seq)
            before, seq = record.hash, record.seq
            is_session = record.kind == RecordKind.SESSION_OPENED
            if record.at_us < self.since_us and not is_session and not self._open:
                continue
            try:
                yield from self._take(record, orjson.loads(record.body))
            except (AttributeError, KeyError, TypeError, ValueError, IndexError):
                self.flaws.unreadable += 1
            while len(self._open) > HISTORY_OPEN_MAX:
                yield self._open.pop(next(iter(self._open)))
        yield from self._open.values()
        self._open.clear()

    def _take(self, record: ChainedRecord, body: dict[str, Any]) -> Iterator[Said]:
        kind = record.kind
        if kind == RecordKind.SESSION_OPENED:
            self._sessions[str(body["session"])] = Session(
                agent=str(body.get("agent", "")),
                task=str(body.get("task", "")),
                given=_given(body),
                target=str(body.get("target", "")),
                tier=str(body.get("tier", "")),
                role=str(body.get("role", "")),
                at_us=record.at_us,
            )
        elif kind == RecordKind.SESSION_CLOSED:
            self._closed[str(body.get("session", ""))] = None
            while len(self._closed) > HISTORY_OPEN_MAX:
                self._sessions.pop(self._closed.popitem(last=False)[0], None)
        elif kind in _STATEMENTS:
            yield from self._statement(record, body, _STATEMENTS[kind])
        elif kind in _ENDS:
            yield from self._ended(kind, body)
        elif kind == RecordKind.READS:
            yield from self._reads(record, body)

    def _statement(
        self, record: ChainedRecord, body: dict[str, Any], ending: Ending
    ) -> Iterator[Said]:
        hold = str(body.get("hold", body.get("id", "")) or "")
        case = body["case"] if ending is Ending.HELD else body
        if record.at_us < self.since_us:
            return
        said = Said(
            seq=record.seq,
            at_us=record.at_us,
            session=str(case.get("session", "")),
            agent=str(case.get("agent", "")),
            task=str(case.get("task", "")),
            given=_given(case),
            target=str(case.get("target", "")),
            tier=str(case.get("tier", "")),
            role=str(case.get("role", "")),
            text=str(case["text"]),
            ending=ending,
            hold=hold,
            is_early=self._is_early(str(case.get("session", ""))),
            body=case,
        )
        if ending is Ending.UNKNOWN:
            self._open[(0, record.seq)] = said
        else:
            yield said

    def _is_early(self, session: str) -> bool:
        """Whether what a session did at its beginning is not read."""
        return self._sessions.get(session, _NOBODY).at_us < max(1, self.since_us)

    def _ended(self, kind: str, body: dict[str, Any]) -> Iterator[Said]:
        run = body.get("run", 0) if "read" in body else 0
        said = self._open.pop((int(run), int(body.get("read", body.get("started", 0)))), None)
        if said is None:
            return
        if kind == RecordKind.STATEMENT_OUTCOME_UNKNOWN:
            yield said
            return
        sqlstate = str(body.get("sqlstate", ""))
        failed = bool(sqlstate) or not body.get("ran", True) or body.get("rolled_back", False)
        yield replace(said, ending=Ending.FAILED if failed else Ending.RAN, sqlstate=sqlstate)

    def _reads(self, record: ChainedRecord, body: dict[str, Any]) -> Iterator[Said]:
        run, base, texts = int(body["run"]), int(body["base_us"]), body["texts"]
        for number, offset, name, text, _ in body["started"]:
            if base + offset < self.since_us:
                continue
            session = self._sessions.get(str(name), _NOBODY)
            self._open[(run, int(number))] = Said(
                seq=record.seq,
                at_us=base + offset,
                session=str(name),
                agent=session.agent,
                task=session.task,
                given=session.given,
                target=session.target,
                tier=session.tier,
                role=session.role,
                text=text if isinstance(text, str) else str(texts[str(text)]),
                is_early=self._is_early(str(name)),
            )
        for number, _, _, sqlstate in body["finished"]:
            said = self._open.pop((run, int(number)), None)
            if said is not None:
                ending = Ending.FAILED if sqlstate else Ending.RAN
                yield replace(said, ending=ending, sqlstate=str(sqlstate))
