"""Plain reads on their way into the trail: cheap enough for every statement of the relay.

``ReadLog.started`` and ``ReadLog.finished`` are called by the event loop's thread tens of thousands
of times per second. They make no system call and never wait: an entry goes into the spool (for a
crash) and into a list (for the writer). After at most ``READ_SYNC_DELAY_S`` a group of them becomes
one `reads` record. The entries are JSON from the start, so that the writer only joins them.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import time_ns
from typing import Any, Final

import orjson

from holdpoint.audit.redact import redact
from holdpoint.engine.spool import END, HALF_BYTES, HEADER_BYTES, Leftover, SpoolFile
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model import limits

_ENTRY_BYTES_MAX: Final = 256  # one entry without its parameters
_NOT_OPEN: Final = "the trail is not open: start the server's recorder first"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGroup:
    """The reads of one generation of the spool, ready to become one record.

    ``started`` holds ``[number, offset_us, session, text or its id, parameters]`` and ``finished``
    ``[number, offset_us, rows, sqlstate]``, both as JSON; ``open`` are the numbers of this run's
    reads that had no outcome at the end of the group. Each entry has the spool's comma after it.
    """

    half: int
    run: int
    generation: int
    base_us: int
    texts: dict[str, str]
    started: list[bytes]
    finished: list[bytes]
    open: list[int]
    replayed: bool = False

    def body(self) -> bytes:
        """Return the record's body, canonical: keys in order, entries canonical by themselves."""
        texts = orjson.dumps(self.texts, option=orjson.OPT_SORT_KEYS)
        replayed = b'"replayed":true,' if self.replayed else b""
        return b"".join(
            (
                b'{"base_us":%d,"finished":[' % self.base_us,
                b"".join(self.finished)[:-1],
                b'],"generation":%d,"open":%b,' % (self.generation, orjson.dumps(self.open)),
                replayed,
                b'"run":%d,"started":[' % self.run,
                b"".join(self.started)[:-1],
                b'],"texts":%b}' % texts,
            )
        )


class ReadLog:
    """The event loop's end. Every method but ``free`` belongs to the loop's thread."""

    def __init__(self) -> None:
        self.refusal = _NOT_OPEN  # why nothing may run; empty when all is well
        self._number = 0
        self._open: set[int] = set()
        self._ids: dict[str, int] = {}
        self._sessions: dict[str | int, str] = {}
        self._busy = [False, False]
        self._armed = False
        self._ended = True
        self._index = 0  # the half that is being filled
        self._generation = 0
        self._start = self._offset = 0
        self._texts: dict[str, str] = {}
        self._started: list[bytes] = []
        self._finished: list[bytes] = []
        self._base_us = 0
        self._soft_end = self._hard_end = 0

    def open(
        self,
        spool: SpoolFile,
        origin: str,
        run: int,
        loop: asyncio.AbstractEventLoop,
        hand_over: Callable[[ReadGroup], None],
    ) -> None:
        """Begin a run; ``hand_over`` takes each full group to the writer."""
        self._spool = spool
        self._memory = spool.memory
        self._move_end = END.pack_into
        self._origin = origin
        self._run = run
        self._loop = loop
        self._hand_over = hand_over
        self._ended = False
        self._begin(0, 1)
        self._spool.begin(1, origin, run, 0, 0)
        self.refusal = ""

    def started(self, session: str | int, text: str, parameters: bytes | None) -> int:
        """Log the intent of one plain read and return its number within the run.

        ``session`` is the session's name as the trail shows it; ``parameters`` are the bytes of the
        Bind message. Raises ``TrailUnavailable``: then the read must not run.
        """
        if self.refusal:
            raise TrailUnavailable(self.refusal)
        text_id = self._ids.get(text)
        if text_id is None:
            text_id = self._new_text(text, parameters)
        name = self._sessions.get(session)
        if name is None:
            name = self._new_session(session)
        if parameters is None:
            values = "null"
        else:
            if len(parameters) > limits.READ_BYTES_MAX:
                raise _too_large(len(parameters))
            values = f'"{binascii.b2a_base64(parameters, newline=False).decode()}"'
        number = self._number + 1
        offset_us = time_ns() // 1000 - self._base_us
        entry = f"[{number},{offset_us},{name},{text_id},{values}],".encode()
        end = self._offset + len(entry)
        if end > self._soft_end:
            self._make_room(len(entry))
            return self.started(session, text, parameters)
        return self._begun(number, entry, end)

    def started_once(self, session: str | int, text: str) -> int:
        """Log the intent of a read whose text will hardly come again; return its number.

        The text stands in the entry itself. It must be plain ASCII without quotes, backslashes and
        control characters (a text that has a shape, see ``sql.shapes``, with single blanks): such a
        text is its own JSON and holds no secret. Raises ``TrailUnavailable`` as ``started`` does.
        """
        if self.refusal:
            raise TrailUnavailable(self.refusal)
        name = self._sessions.get(session)
        if name is None:
            name = self._new_session(session)
        number = self._number + 1
        offset_us = time_ns() // 1000 - self._base_us
        entry = f'[{number},{offset_us},{name},"{text}",null],'.encode()
        end = self._offset + len(entry)
        if end > self._soft_end:
            self._make_room(len(entry))
            return self.started_once(session, text)
        return self._begun(number, entry, end)

    def _begun(self, number: int, entry: bytes, end: int) -> int:
        """Put the entry of a start, for which there is room up to ``end``, into spool and group."""
        self._memory[self._offset : end] = entry
        self._move_end(self._memory, self._start, end)
        self._offset = end
        self._started.append(entry)
        self._number = number
        self._open.add(number)
        if not self._armed:
            self._arm()
        return number

    def finished(self, number: int, rows: int, sqlstate: str) -> None:
        """Log the outcome of a read; ``rows`` is -1 when unknown, ``sqlstate`` empty on success.

        Raises ``TrailUnavailable`` only if the spool is full: the read then stays without outcome.
        """
        state = orjson.dumps(sqlstate).decode() if sqlstate else '""'
        entry = f"[{number},{time_ns() // 1000 - self._base_us},{rows},{state}],".encode()
        end = self._offset + len(entry)
        if end > self._hard_end:
            self._make_room(len(entry))
            return self.finished(number, rows, sqlstate)
        self._memory[self._offset : end] = entry
        self._move_end(self._memory, self._start, end)
        self._offset = end
        self._finished.append(entry)
        self._open.discard(number)
        if not self._armed:
            self._arm()

    def flush(self) -> bool:
        """Hand the filling half to the writer; False if the other half is not free yet."""
        if not self._started and not self._finished:
            if self._texts:
                self._begin(self._index, self._generation + 1)
            return True
        other = 1 - self._index
        if self._busy[other]:
            return False
        self._busy[self._index] = True
        self._hand_over(
            ReadGroup(
                half=self._index,
                run=self._run,
                generation=self._generation,
                base_us=self._base_us,
                texts=self._texts,
                started=self._started,
                finished=self._finished,
                open=sorted(self._open),
            )
        )
        self._begin(other, self._generation + 1)
        return True

    def free(self, half: int) -> None:
        """Say that a half's group is durable. Called by the writer's thread."""
        self._busy[half] = False

    def shut(self, why: str) -> None:
        """Refuse every further read; outcomes are still taken."""
        self.refusal = why

    def close(self) -> None:
        """Take nothing any more: the spool goes away."""
        self._ended = True
        self._soft_end = self._hard_end = 0

    def _begin(self, index: int, generation: int) -> None:
        start = HEADER_BYTES + index * HALF_BYTES
        self._base_us = time_ns() // 1000
        self._spool.begin(index, self._origin, self._run, generation, self._base_us)
        self._hard_end = start + HALF_BYTES
        self._soft_end = self._hard_end - limits.SPOOL_RESERVE_BYTES
        self._ids = {}
        self._sessions = {}
        self._index = index
        self._generation = generation
        self._start = start
        self._offset = start + END.size
        self._texts = {}
        self._started = []
        self._finished = []

    def _new_text(self, text: str, parameters: bytes | None) -> int:
        """Spool a text once per generation, secrets redacted, and return its id."""
        extra = len(parameters) if parameters is not None else 0
        if len(text) + extra > limits.READ_BYTES_MAX:
            raise _too_large(len(text) + extra)
        clean = redact(text)
        try:
            quoted = orjson.dumps(clean)
        except TypeError as error:
            raise TrailUnavailable(
                "the statement cannot be recorded: it is not valid Unicode"
            ) from error
        needed = len(quoted) + 2 * extra + 2 * _ENTRY_BYTES_MAX
        if self._offset + needed > self._soft_end:
            self._make_room(needed)
        number = len(self._ids) + 1
        entry = b'{"%d":%b},' % (number, quoted)
        end = self._offset + len(entry)
        self._memory[self._offset : end] = entry
        self._move_end(self._memory, self._start, end)
        self._offset = end
        self._texts[str(number)] = clean
        self._ids[text] = number
        return number

    def _new_session(self, session: str | int) -> str:
        try:
            name = orjson.dumps(session, option=orjson.OPT_STRICT_INTEGER).decode()
        except TypeError as error:
            raise TrailUnavailable("the session's name cannot be recorded") from error
        if len(name) > _ENTRY_BYTES_MAX // 2:
            raise TrailUnavailable("the session's name is too long to be recorded")
        self._sessions[session] = name
        return name

    def _make_room(self, size: int) -> None:
        if self._ended:
            raise TrailUnavailable(self.refusal or _NOT_OPEN)
        if size > HALF_BYTES - limits.SPOOL_RESERVE_BYTES:
            raise TrailUnavailable("the statement is too large for the spool of plain reads")
        if not self.flush():
            raise TrailUnavailable(
                "reads come faster than the trail's disk takes them: "
                "slow down, or use a faster disk"
            )

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_later(limits.READ_SYNC_DELAY_S, self._tick)

    def _tick(self) -> None:
        self._armed = False
        if not self._ended and not self.flush():
            self._arm()


def _too_large(size: int) -> TrailUnavailable:
    return TrailUnavailable(
        f"the statement has {size:,} bytes; a plain read is recorded up to "
        f"{limits.READ_BYTES_MAX:,}: record it as a statement of its own"
    )


def replay(leftover: Leftover, open_before: Iterable[int]) -> ReadGroup:
    """Turn what a killed process left in one half into a group, as it would have been written."""
    texts: dict[str, str] = {}
    started: list[bytes] = []
    finished: list[bytes] = []
    open_ = set(open_before)
    for payload in leftover.payloads:
        value: Any = orjson.loads(payload)
        if isinstance(value, dict):
            texts.update(value)
        elif len(value) == 5:
            started.append(payload + b",")
            open_.add(value[0])
        else:
            finished.append(payload + b",")
            open_.discard(value[0])
    return ReadGroup(
        half=0,
        run=leftover.run,
        generation=leftover.generation,
        base_us=leftover.base_us,
        texts=texts,
        started=started,
        finished=finished,
        open=sorted(open_),
        replayed=True,
    )
