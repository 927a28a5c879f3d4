"""Records and heads: the trail's own rows. Only ``engine.recorder`` appends while serving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select

from holdpoint.audit.heads import SignedHead
from holdpoint.audit.record import ChainedRecord, chain, genesis_hash
from holdpoint.model import limits
from holdpoint.model.record import RecordKind
from holdpoint.store.database import Database
from holdpoint.store.errors import StoreError
from holdpoint.store.tables import HEADS, RECORDS, TRAIL

PAGE_ROWS: Final = 50  # rows read at once when walking the trail; a group of reads can have 8 MB


@dataclass(frozen=True, slots=True)
class Entry:
    """A record about to be chained; ``started`` names the start that an outcome belongs to."""

    kind: RecordKind
    body: bytes
    started: int | None = None


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the trail; ``seq`` 0 and the genesis hash when it is empty."""

    seq: int
    hash: str


class Records:
    """Reading the trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def origin(self) -> str:
        """Return the trail's own name, different for every store."""
        with self._database.reading() as connection:
            return origin(connection)

    def tail(self) -> Tail:
        """Return the end of the trail."""
        with self._database.reading() as connection:
            return tail(connection, origin(connection))

    def walk(self, first: int = 1) -> Iterator[ChainedRecord]:
        """Yield the records from ``first`` on, in one consistent view, oldest first."""
        with self._database.reading() as connection:
            yield from walk(connection, first)

    def recent(self, limit: int) -> Sequence[ChainedRecord]:
        """Return the newest records, newest first."""
        wanted = select(RECORDS).order_by(RECORDS.c.seq.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(wanted)]

    def recent_starts(self, limit: int, chars_max: int) -> Sequence[ChainedRecord]:
        """Return the newest records of statements that ran, newest first, none over a length."""
        wanted = (
            select(RECORDS)
            .where(
                RECORDS.c.kind == RecordKind.STATEMENT_STARTED.value,
                func.length(RECORDS.c.body) <= chars_max,
            )
            .order_by(RECORDS.c.seq.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(wanted)]

    def heads(self) -> Sequence[SignedHead]:
        """Return every signed head, oldest first."""
        with self._database.reading() as connection:
            return heads(connection)


def origin(connection: Connection) -> str:
    """Return the trail's own name."""
    name = connection.execute(select(TRAIL.c.origin)).scalar()
    if name is None:
        raise StoreError("the store has lost the name of its trail: restore a backup")
    return str(name)


def tail(connection: Connection, origin_: str) -> Tail:
    """Return the end of the trail."""
    wanted = select(RECORDS.c.seq, RECORDS.c.hash).order_by(RECORDS.c.seq.desc()).limit(1)
    row = connection.execute(wanted).first()
    return Tail(0, genesis_hash(origin_)) if row is None else Tail(row.seq, row.hash)


def append(connection: Connection, before: Tail, at_us: int, entries: Sequence[Entry]) -> Tail:
    """Chain ``entries`` after ``before`` and insert them; returns the new end.

    The caller's transaction must have begun as a writer before it read ``before``: then no other
    process can append in between.
    """
    rows = []
    seq, prev_hash = before.seq, before.hash
    for entry in entries:
        seq += 1
        record = chain(prev_hash, seq, at_us, entry.kind.value, entry.body)
        prev_hash = record.hash
        rows.append(
            {
                "seq": seq,
                "at_us": at_us,
                "kind": record.kind,
                "body": record.body.decode(),
                "prev_hash": record.prev_hash,
                "hash": record.hash,
                "started": entry.started,
            }
        )
    if rows:
        connection.execute(insert(RECORDS), rows)
    return Tail(seq, prev_hash)


def walk(connection: Connection, first: int = 1) -> Iterator[ChainedRecord]:
    """Yield the records from ``first`` on, oldest first."""
    wanted = select(RECORDS).where(RECORDS.c.seq >= first).order_by(RECORDS.c.seq)
    result = connection.execution_options(yield_per=PAGE_ROWS).execute(wanted)
    for row in result:
        yield _record(row)


def last_of(connection: Connection, kind: RecordKind, after: int = 0) -> ChainedRecord | None:
    """Return the newest record of a kind with a number above ``after``."""
    wanted = (
        select(RECORDS)
        .where(RECORDS.c.kind == kind.value, RECORDS.c.seq > after)
        .order_by(RECORDS.c.seq.desc())
        .limit(1)
    )
    row = connection.execute(wanted).first()
    return None if row is None else _record(row)


def without_outcome(connection: Connection, after: int) -> Sequence[int]:
    """Return the numbers above ``after`` of every started statement that no outcome names."""
    outcome = RECORDS.alias("outcome")
    wanted = (
        select(RECORDS.c.seq)
        .outerjoin(outcome, outcome.c.started == RECORDS.c.seq)
        .where(
            RECORDS.c.kind == RecordKind.STATEMENT_STARTED.value,
            RECORDS.c.seq > after,
            outcome.c.seq.is_(None),
        )
        .order_by(RECORDS.c.seq)
    )
    return list(connection.execute(wanted).scalars())


def record_at(connection: Connection, seq: int) -> ChainedRecord | None:
    """Return one record."""
    row = connection.execute(select(RECORDS).where(RECORDS.c.seq == seq)).first()
    return None if row is None else _record(row)


def add_head(connection: Connection, head: SignedHead) -> None:
    """Insert a signed head, and thin out old ones: the chain makes them say nothing new."""
    done = connection.execute(
        insert(HEADS).values(
            size=head.size,
            hash=head.hash,
            key_id=head.key_id,
            signature=head.signature,
            at_us=head.at_us,
        )
    )
    key = done.inserted_primary_key
    assert key is not None, "one row was inserted"
    old = key[0] - limits.HEADS_RECENT_MAX
    if old % limits.HEADS_THIN_STEP:
        connection.execute(delete(HEADS).where(HEADS.c.id == old))


def heads(connection: Connection) -> Sequence[SignedHead]:
    """Return every signed head, oldest first."""
    rows = connection.execute(select(HEADS).order_by(HEADS.c.id)).all()
    return [
        SignedHead(
            size=row.size,
            hash=row.hash,
            key_id=row.key_id,
            signature=row.signature,
            at_us=row.at_us,
        )
        for row in rows
    ]


def _record(row: Row[Any]) -> ChainedRecord:
    """SQLite keeps any type in any column: what was tampered with must still be readable."""
    return ChainedRecord(
        seq=_integer(row.seq),
        at_us=_integer(row.at_us),
        kind=_text(row.kind),
        body=_text(row.body).encode(errors="surrogatepass"),
        prev_hash=_text(row.prev_hash),
        hash=_text(row.hash),
    )


def _integer(value: object) -> int:
    return value if isinstance(value, int) else -1


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
