"""The only writer of the trail in the server: what it has not made durable does not run.

One thread takes records from every session and commits them together (SQLite, synchronous=FULL).
Plain reads come as groups, see ``engine.reads``. What is durable when:

* ``write`` returns after the commit: nothing is lost, whatever dies.
* A plain read is in the spool at once (survives the death of the process) and in the trail after
  ``READ_SYNC_DELAY_S`` (survives a power failure).
* Heads are signed with a commit, at most every ``HEAD_INTERVAL_S``, and on close.
"""

from __future__ import annotations

import asyncio
import hmac
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, exc

from holdpoint.audit.heads import key_id, public_text, sign_head
from holdpoint.audit.record import CanonicalError, ChainedRecord, canonical_bytes
from holdpoint.engine import opening
from holdpoint.engine.clock import Clock, now_us
from holdpoint.engine.headfile import HeadFile
from holdpoint.engine.keys import load_or_create_key
from holdpoint.engine.reads import ReadGroup, ReadLog
from holdpoint.engine.spool import SpoolFile
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store, StoreError
from holdpoint.store.records import Entry, Tail, add_head, append, last_of, tail

__all__ = ["Recorder", "TrailUnavailable"]

OUTCOMES: Final = frozenset({RecordKind.STATEMENT_FINISHED, RecordKind.STATEMENT_OUTCOME_UNKNOWN})
_CLOSED: Final = "the trail is closed: the server is stopping"

Also = Callable[[Connection], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One record on its way to the writer."""

    record: Record
    also: Also | None
    future: asyncio.Future[int]


_Result = tuple[asyncio.Future[int], int | BaseException]


class Recorder:
    """Writes the trail. One per store and server; ``start`` it on the event loop that uses it."""

    def __init__(
        self, store: Store, key: Ed25519PrivateKey | None = None, clock: Clock = now_us
    ) -> None:
        """Without ``key``, the one in ``<store>.key`` is used, and made the first time."""
        self._store: Final = store
        self._key = key
        self._clock: Final = clock
        self._reads: Final = ReadLog()
        self.read_started: Final = self._reads.started
        self.read_started_once: Final = self._reads.started_once
        self.read_finished: Final = self._reads.finished
        self._queue: Final[queue.SimpleQueue[_Item | ReadGroup | None]] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = True
        self._problem = "the trail is not open: start the recorder first"
        self._groups: Final[deque[ReadGroup]] = deque()
        self._unsigned = False
        self._signed_at = 0.0
        self._inflight: Sequence[_Item] = ()

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded; while False, nothing may run."""
        return not self._problem

    @property
    def problem(self) -> str:
        """Why the trail is not healthy, in words; empty when it is."""
        return self._problem

    @property
    def public_key(self) -> str:
        """The key that checks this trail's heads, in base64. Known after ``start``."""
        assert self._key is not None, "start the recorder first"
        return public_text(self._key.public_key())

    def secret_for(self, purpose: str) -> bytes:
        """Return 32 bytes that stay the same while the key does, different for each purpose.

        They tell nothing about the key (HMAC-SHA-256). Known after ``start``.
        """
        assert self._key is not None, "start the recorder first"
        return hmac.digest(self._key.private_bytes_raw(), purpose.encode(), "sha256")

    def recent_starts(self, limit: int, chars_max: int) -> Sequence[ChainedRecord]:
        """Return the newest records of statements that ran; see ``store.records``."""
        return self._store.records.recent_starts(limit, chars_max)

    async def start(self, about: Mapping[str, Any] | None = None) -> int:
        """Open the trail and return the number of its `trail.opened` record.

        Whatever a dead process left without outcome is named first. ``about`` (the policy's
        digest, the version) goes into the record. Raises ``StoreError`` or ``TrailUnavailable``.
        """
        self._loop = asyncio.get_running_loop()
        run = await asyncio.to_thread(self._open, dict(about or {}))
        self._reads.open(self._spool, self._origin, run, self._loop, self._queue.put)
        self._problem = ""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="holdpoint-recorder", daemon=True)
        self._thread.start()
        return run

    async def close(self) -> None:
        """Write what is left, the closing record and the last head, and stop."""
        if self._closed:
            return
        self._reads.shut(_CLOSED)
        deadline = self._loop.time() + limits.SHUTDOWN_GRACE_S
        while not self._reads.flush() and self._loop.time() < deadline:  # noqa: ASYNC110 - once
            await asyncio.sleep(limits.READ_SYNC_DELAY_S)
        try:
            await self.write(Record(RecordKind.TRAIL_CLOSED, {"run": self._run}))
        except TrailUnavailable:
            pass  # the next start finds no closing record, and says what was open
        finally:
            self._closed = True
            self._problem = self._problem or _CLOSED
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._reads.close()
            self._spool.close()

    async def write(self, record: Record, *, also: Also | None = None) -> int:
        """Append a record and return its number once it is durable.

        ``also`` runs in the same database transaction, before the record: both are kept or neither.
        It may complete ``record.body``, which is read after it. What it raises comes out here and
        aborts only this record. A cancelled caller does not take the record back.

        Raises ``TrailUnavailable`` if it cannot be written, ``CanonicalError`` if the body is not
        canonical: then nothing may run.
        """
        if self._closed:
            raise TrailUnavailable(self._problem or _CLOSED)
        if self._waiting >= limits.RECORDS_WAITING_MAX:
            raise TrailUnavailable(
                f"{self._waiting:,} records wait for the trail's disk: try again later"
            )
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting += 1
        self._queue.put(_Item(record=record, also=also, future=future))
        return await future

    # --- the writer's thread ------------------------------------------------------------------

    def _open(self, about: dict[str, Any]) -> int:
        store = self._store
        spool = SpoolFile.open(store.beside(".spool"))
        try:
            if self._key is None:
                self._key = load_or_create_key(store.beside(".key"))
            self._heads = HeadFile(store.beside(".heads"))
            self._origin = store.records.origin()
            self._inode = store.path.stat().st_ino
            about = {
                "about": about,
                "key": key_id(self._key.public_key()),
                "public_key": public_text(self._key.public_key()),
            }
            opening.check_not_cut(store, self._origin, self._heads, self._key.public_key())
            leftovers = [left for left in spool.leftovers() if left.payloads]
            with store.database.writing() as connection:
                entries = opening.entries(connection, self._origin, leftovers, about)
                end = append(connection, tail(connection, self._origin), self._clock(), entries)
                self._sign(connection, end)
            self._heads.publish()
        except OSError as error:
            spool.close()
            raise StoreError(f"the files beside `{store.path}` cannot be used: {error}") from error
        except BaseException:
            spool.close()
            raise
        self._spool = spool
        self._run = end.seq
        return end.seq

    def _work(self) -> None:
        """Commit until told to stop. An error that nobody foresaw shuts the trail."""
        try:
            while self._step():
                pass
        except BaseException as error:
            self._fail(f"the trail's writer stopped ({error}): restart the server")
            self._closed = True
            reason = TrailUnavailable(self._problem)
            self._tell([(item.future, reason) for item in self._inflight])
            raise
        finally:
            self._drain()

    def _step(self) -> bool:
        """Wait for work and commit it; False when there is nothing more to do."""
        batch, stop = self._take()
        items = [item for item in batch if isinstance(item, _Item)]
        self._groups.extend(group for group in batch if isinstance(group, ReadGroup))
        retry = not self.healthy and not stop
        sign = self._unsigned and (stop or self._head_due() <= 0)
        if items or self._groups or sign or retry:
            self._commit(items, force_sign=stop or (retry and not items and not self._groups))
        return not stop

    def _take(self) -> tuple[list[_Item | ReadGroup], bool]:
        """Return what waits; sleeps until something does, or a head or another try is due."""
        timeout: float | None = None
        if not self.healthy:
            timeout = limits.TRAIL_RETRY_S
        elif self._unsigned:
            timeout = max(0.0, self._head_due())
        batch: list[_Item | ReadGroup] = []
        try:
            item = self._queue.get(timeout=timeout)
            while item is not None:
                batch.append(item)
                if len(batch) >= limits.RECORD_BATCH_MAX:
                    return batch, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _head_due(self) -> float:
        return self._signed_at + limits.HEAD_INTERVAL_S - time.monotonic()

    def _commit(self, items: Sequence[_Item], *, force_sign: bool) -> None:
        """Write a batch in one transaction; on failure nothing of it is durable."""
        results: list[_Result] = []
        self._inflight = items
        retrying = not self.healthy
        groups = list(self._groups)
        try:
            self._check_file()
            with self._store.database.writing() as connection:
                before = tail(connection, self._origin)
                entries = self._entries(connection, before, items, results)
                entries += self._group_entries(connection, groups, retrying)
                end = append(connection, before, self._clock(), entries)
                if force_sign or self._head_due() <= 0:
                    self._sign(connection, end)
                    signed = True
                else:
                    signed = not entries and not self._unsigned
        except StoreError as error:
            self._fail(str(error))
            self._store.close()  # the next try opens the file anew
            reason = TrailUnavailable(str(error))
            self._inflight = ()
            self._tell([(item.future, reason) for item in items])
            return
        self._inflight = ()
        self._unsigned = not signed
        for group in groups:
            self._groups.popleft()
            self._reads.free(group.half)
        self._recover()
        self._tell(results)
        if signed:
            self._heads.publish()

    def _entries(
        self,
        connection: Connection,
        before: Tail,
        items: Sequence[_Item],
        results: list[_Result],
    ) -> list[Entry]:
        entries: list[Entry] = []
        for item in items:
            try:
                with connection.begin_nested():
                    if item.also is not None:
                        item.also(connection)
                    entries.append(_entry(item.record))
            except exc.IntegrityError as error:
                results.append((item.future, error))
            except (exc.DBAPIError, StoreError):
                raise  # the disk, not the item
            except Exception as error:  # noqa: BLE001 - handed to the caller, who awaits it
                results.append((item.future, error))
            else:
                results.append((item.future, before.seq + len(entries)))
        return entries

    def _group_entries(
        self, connection: Connection, groups: Sequence[ReadGroup], retrying: bool
    ) -> list[Entry]:
        """A commit that failed may still have reached the disk: then its groups are there."""
        written = 0
        if retrying and groups:
            last = last_of(connection, RecordKind.READS, after=self._run)
            written = opening.generation_of(last, self._run)
        return [
            Entry(RecordKind.READS, group.body()) for group in groups if group.generation > written
        ]

    def _check_file(self) -> None:
        """A store that was removed or replaced would be written to without a trace."""
        path = self._store.path
        try:
            same = path.stat().st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise StoreError(
                f"the store `{path}` was removed or replaced while the server runs: "
                "put the file back, or restart the server"
            )

    def _sign(self, connection: Connection, end: Tail) -> None:
        assert self._key is not None, "set by `_open`"
        head = sign_head(self._key, self._origin, end.seq, end.hash, self._clock())
        add_head(connection, head)
        self._heads.prepare(head)
        self._signed_at = time.monotonic()

    def _fail(self, why: str) -> None:
        self._problem = why
        self._reads.shut(why)

    def _recover(self) -> None:
        if self._problem and not self._closed:
            self._reads.shut("")
            self._problem = ""

    def _drain(self) -> None:
        """Refuse what came after the end."""
        late: list[_Result] = []
        reason = TrailUnavailable(self._problem or _CLOSED)
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, _Item):
                late.append((item.future, reason))
        self._tell(late)

    def _tell(self, results: Sequence[_Result]) -> None:
        if results:
            try:
                self._loop.call_soon_threadsafe(self._resolve, results)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    # --- the event loop's thread ----------------------------------------------------------------

    def _resolve(self, results: Sequence[_Result]) -> None:
        for future, result in results:
            self._waiting -= 1
            if future.done():  # its caller was cancelled
                continue
            if isinstance(result, int):
                future.set_result(result)
            else:
                future.set_exception(result)


def _entry(record: Record) -> Entry:
    """Return a record in canonical form."""
    body = canonical_bytes(record.body)
    if len(body) > limits.RECORD_BYTES_MAX:
        raise CanonicalError(
            f"the record has {len(body):,} bytes; at most {limits.RECORD_BYTES_MAX:,} are written"
        )
    started = record.body.get("started") if record.kind in OUTCOMES else None
    if record.kind is RecordKind.STATEMENT_FINISHED and type(started) is not int:
        raise CanonicalError("an outcome must name its start: `started` is missing")
    return Entry(record.kind, body, started if type(started) is int else None)
