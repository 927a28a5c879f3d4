"""Verifies a trail offline: no store, no server, no network, only its records, heads and a key.

The steps, in this order; the code marks each with its number:

0. There is a key to check with, and the origin names the trail.
1. Every record can be read, in canonical form.
2. The numbers run 1, 2, 3 … : none removed, duplicated, inserted or out of order.
3. Every record's hash is the hash of its contents: none was changed.
4. Every record is chained to the one before, the first to the origin.
5. Every head is signed with a key that is expected.
6. Every head, also those kept elsewhere, vouches for the record that is there: the end was not
   cut off, the trail not rewritten.
7. The clock never goes back. A note, because clocks are set; it breaks nothing.
8. Every start has an outcome. A note: the last ones may still run.

What this cannot see: records newer than the newest head that survives; a trail rewritten by
someone who has the signing key. Against both, keep heads elsewhere and give them (step 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdpoint.audit.heads import SignedHead, key_id, signature_holds
from holdpoint.audit.outcomes import Outcomes
from holdpoint.audit.record import ChainedRecord, genesis_hash, record_hash
from holdpoint.model import limits

STEPS: Final = (
    "a key to check with, and the trail's origin",
    "every record can be read, in canonical form",
    "the numbers run without gap or repetition",
    "every record's hash is the hash of its contents",
    "every record is chained to the one before",
    "every head is signed with an expected key",
    "every head vouches for the record that is there",
    "the clock never goes back",
    "every start has an outcome",
)
_WINDOW: Final = 64  # how far away a moved record is looked for
_PREFIX: Final = 8  # bytes of each hash that are kept, to tell a duplicate from an insertion


class How(StrEnum):
    """How a trail is broken."""

    CHANGED = "changed"
    REMOVED = "removed"
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    INSERTED = "inserted"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    UNREADABLE = "unreadable"
    WRONG_KEY = "wrong key"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One place where the trail is not what was written. ``seq`` is 0 when no record is named."""

    step: int
    seq: int
    how: How
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to know that breaks nothing."""

    step: int
    seq: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What verification found. ``signed`` is how many records a good head covers.

    ``size`` and ``hash`` are the end of the trail, worth keeping elsewhere as ``SIZE:HASH``.
    """

    origin: str
    size: int
    hash: str
    signed: int
    breaks: tuple[Break, ...]
    notes: tuple[Note, ...]

    @property
    def ok(self) -> bool:
        """Whether the trail is whole."""
        return not self.breaks

    @property
    def summary(self) -> str:
        """The outcome on one line."""
        if self.ok:
            return f"{self.size:,} records, {self.signed:,} of them under a signed head"
        return f"{len(self.breaks):,} findings; the first: {self.breaks[0].message}"

    def step_ok(self, step: int) -> bool:
        """Whether one of ``STEPS`` found nothing."""
        return all(found.step != step for found in self.breaks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A head that somebody kept elsewhere: believed without a signature."""

    size: int
    hash: str
    source: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line where a record should be."""

    line: int
    why: str


def verify(
    origin: str,
    records: Iterable[ChainedRecord | Unreadable],
    heads: Sequence[SignedHead],
    keys: Sequence[Ed25519PublicKey],
    witnesses: Sequence[Witness] = (),
    claimed_size: int | None = None,
    bad_heads: Sequence[str] = (),
) -> Report:
    """Walk the trail once and report every break, by the steps of this module's docstring.

    ``claimed_size`` is how many records an export says it has; ``bad_heads`` are words about heads
    that could not be read.
    """
    walk = _Walk(origin, {head.size for head in heads} | {kept.size for kept in witnesses})
    for record in records:
        if isinstance(record, Unreadable):
            walk.unreadable(record)
        else:
            walk.take(record)
    walk.finish()
    if walk.size == 0 and not heads and not witnesses:
        walk.note(0, 0, "the trail is empty")
    elif not keys or not origin:  # (0)
        walk.broken(
            0, 0, How.UNSIGNED, "there is no key to check with: give it with `--public-key`"
        )
    for words in bad_heads:  # (5)
        walk.broken(5, 0, How.UNREADABLE, words)
    signed = _check_heads(walk, heads, keys)
    _check_witnesses(walk, witnesses)
    if claimed_size is not None and claimed_size != walk.size:
        walk.broken(
            6,
            walk.size,
            How.TRUNCATED if claimed_size > walk.size else How.INSERTED,
            f"the export says it has {claimed_size:,} records; {walk.size:,} are there",
        )
    if walk.size and not signed and all(found.step != 6 for found in walk.breaks):
        walk.broken(6, 0, How.UNSIGNED, "no good head vouches for any record of this trail")
    elif signed < walk.size:
        walk.note(
            6,
            signed + 1,
            f"records {signed + 1:,} to {walk.size:,} are newer than the newest signed head",
        )
    return Report(
        origin=origin,
        size=walk.size,
        hash=walk.last_hash,
        signed=signed,
        breaks=tuple(sorted(walk.breaks, key=lambda found: (found.step, found.seq))),
        notes=tuple(sorted(walk.notes, key=lambda found: (found.step, found.seq))),
    )


class _Walk:
    """Steps 1 to 4, 7 and 8, in one pass that keeps eight bytes per record."""

    def __init__(self, origin: str, sizes: set[int]) -> None:
        self.origin = origin
        self.size = 0  # the highest number so far
        self.last_hash = genesis_hash(origin)
        self.hash_at = {0: self.last_hash} if 0 in sizes else {}
        self.breaks: list[Break] = []
        self.notes: list[Note] = []
        self._sizes = sizes
        self._linked = True  # whether the record before was whole, so that a link can be judged
        self._missing: set[int] = set()
        self._seen = bytearray()
        self._at_us = 0
        self._outcomes = Outcomes()

    def broken(self, step: int, seq: int, how: How, message: str) -> None:
        """Add a break, as long as the list is readable."""
        if len(self.breaks) < limits.TRAIL_FINDINGS_MAX:
            self.breaks.append(Break(step=step, seq=seq, how=how, message=message))

    def note(self, step: int, seq: int, message: str) -> None:
        """Add a note, as long as the list is readable."""
        if len(self.notes) < limits.TRAIL_FINDINGS_MAX:
            self.notes.append(Note(step=step, seq=seq, message=message))

    def unreadable(self, line: Unreadable) -> None:
        """(1) A line that is no record stands for the record that should be there."""
        self.broken(
            1,
            self.size + 1,
            How.UNREADABLE,
            f"line {line.line:,}, where record {self.size + 1:,} should be, cannot be read: "
            f"{line.why}",
        )
        self._pass(self.size + 1, "0" * 64)
        self._linked = False

    def take(self, record: ChainedRecord) -> None:
        """Judge one record in its place."""
        whole = _whole(record)
        if record.seq == self.size + 1:
            self._in_place(record, whole)
        elif record.seq > self.size + 1:
            self._after_gap(record, whole)
        else:
            self._late(record, whole)

    def finish(self) -> None:
        """(2) What is missing and did not turn up later was removed. (8) Open ends."""
        for first, last in _ranges(self._missing):
            one = first == last
            words = f"record {first:,} was" if one else f"records {first:,} to {last:,} were"
            self.broken(2, first, How.REMOVED, f"{words} removed")
        for seq, message in self._outcomes.open():
            self.note(8, seq, message)

    def _in_place(self, record: ChainedRecord, whole: bool) -> None:
        if not whole:  # (3)
            self._changed(record)
        elif self._linked and record.prev_hash != self.last_hash:  # (4)
            self._unlinked(record)
        elif whole:
            self._time(record)
            self._outcomes.take(record)
        self._pass(record.seq, record.hash)
        self._linked = whole

    def _after_gap(self, record: ChainedRecord, whole: bool) -> None:
        """(2) Records are missing, unless only the number was changed."""
        expected = self.size + 1
        if not whole and _whole_as(record, expected):
            self.broken(
                3,
                expected,
                How.CHANGED,
                f"record {expected:,} was changed: it says it is record {record.seq:,}",
            )
            self._pass(expected, record.hash)
            return
        if record.seq - expected > limits.RECORDS_WAITING_MAX:
            self.broken(
                2,
                expected,
                How.REMOVED,
                f"records {expected:,} to {record.seq - 1:,} were removed",
            )
        else:
            self._missing.update(range(expected, record.seq))
        self._linked = False
        self._in_place(record, whole)

    def _late(self, record: ChainedRecord, whole: bool) -> None:
        """(2) A number that was passed already."""
        place = f"after record {self.size:,}"
        if record.seq in self._missing and whole:
            self._missing.discard(record.seq)
            self.broken(
                2, record.seq, How.REORDERED, f"record {record.seq:,} stands {place}: reordered"
            )
            self._outcomes.take(record)
        elif whole and self._seen_at(record.seq) == bytes.fromhex(record.hash)[:_PREFIX]:
            self.broken(
                2, record.seq, How.DUPLICATED, f"record {record.seq:,} stands {place} once more"
            )
        elif not whole and _whole_as(record, self.size + 1):
            self.broken(
                3,
                self.size + 1,
                How.CHANGED,
                f"record {self.size + 1:,} was changed: it says it is record {record.seq:,}",
            )
            self._pass(self.size + 1, record.hash)
        else:
            self.broken(
                2,
                record.seq,
                How.INSERTED,
                f"a foreign record with the number {record.seq:,} stands {place}: inserted",
            )

    def _changed(self, record: ChainedRecord) -> None:
        """(3) The contents are not what was hashed: another record in this place, or changed."""
        first = max(1, record.seq - _WINDOW)
        for seq in range(first, record.seq + _WINDOW + 1):
            if seq != record.seq and _whole_as(record, seq):
                self.broken(
                    3,
                    record.seq,
                    How.REORDERED,
                    f"in the place of record {record.seq:,} stands record {seq:,}, renumbered: "
                    "records were reordered, removed or duplicated",
                )
                return
        self.broken(
            3,
            record.seq,
            How.CHANGED,
            f"record {record.seq:,} (`{record.kind}`) was changed: its hash is not the hash "
            "of its contents",
        )

    def _unlinked(self, record: ChainedRecord) -> None:
        """(4) Both records are whole in themselves, so the one before is not the one that was."""
        if record.seq == 1:
            self.broken(
                4, 1, How.REWRITTEN, "record 1 does not begin this trail: its origin is another"
            )
            return
        self.broken(
            4,
            record.seq - 1,
            How.CHANGED,
            f"record {record.seq - 1:,} was changed and its hash made to fit: record "
            f"{record.seq:,} was chained to another",
        )

    def _time(self, record: ChainedRecord) -> None:
        """(7) Compare with the record before."""
        back = self._at_us - record.at_us
        if back > 0:
            self.note(
                7,
                record.seq,
                f"the clock went back by {back / 1_000_000:,.6f} s before record {record.seq:,}",
            )
        self._at_us = record.at_us

    def _pass(self, seq: int, hash_: str) -> None:
        gap = (seq - 1) * _PREFIX - len(self._seen)
        if gap <= limits.RECORDS_WAITING_MAX * _PREFIX:
            self._seen.extend(bytes(gap))
            self._seen.extend(_raw(hash_)[:_PREFIX])
        self.size = seq
        self.last_hash = hash_
        if seq in self._sizes:
            self.hash_at[seq] = hash_

    def _seen_at(self, seq: int) -> bytes:
        return bytes(self._seen[(seq - 1) * _PREFIX : seq * _PREFIX])


def _check_heads(walk: _Walk, heads: Sequence[SignedHead], keys: Sequence[Ed25519PublicKey]) -> int:
    """Judge every signed head; returns how many records the longest good one covers."""
    by_id = {key_id(key): key for key in keys}
    signed = 0
    for head in sorted(set(heads), key=lambda head: head.size):
        key = by_id.get(head.key_id)
        if key is None:  # (5)
            walk.broken(
                5,
                head.size,
                How.WRONG_KEY,
                f"the head over {head.size:,} records is signed with key `{head.key_id}`, "
                f"not with {' or '.join(f'`{name}`' for name in by_id) or 'any key given'}",
            )
        elif not signature_holds(key, walk.origin, head):
            walk.broken(
                5,
                head.size,
                How.WRONG_KEY,
                f"the signature of the head over {head.size:,} records is not good: "
                "the head was changed, or is of another trail",
            )
        elif _vouched(walk, head.size, head.hash, f"a head over {head.size:,} records", signed):
            signed = max(signed, head.size)
    return signed


def _check_witnesses(walk: _Walk, witnesses: Sequence[Witness]) -> None:
    for kept in witnesses:
        _vouched(walk, kept.size, kept.hash, f"the head {kept.source}", 0)


def _vouched(walk: _Walk, size: int, hash_: str, what: str, good: int) -> bool:
    """(6) Compare a head with the trail; ``good`` records are vouched for by an earlier head."""
    if size > walk.size:
        gone = size - walk.size
        walk.broken(
            6,
            walk.size + 1,
            How.TRUNCATED,
            f"{gone:,} {'record' if gone == 1 else 'records'} at the end, from number "
            f"{walk.size + 1:,}, were cut off: {what} vouches for them",
        )
        return False
    if walk.hash_at.get(size) != hash_:
        walk.broken(
            6,
            size,
            How.REWRITTEN,
            f"record {size:,} is not the one that {what} vouches for: one of the records "
            f"{good + 1:,} to {size:,} was changed, and those after it chained anew",
        )
        return False
    return True


def _whole(record: ChainedRecord) -> bool:
    return _whole_as(record, record.seq)


def _whole_as(record: ChainedRecord, seq: int) -> bool:
    """Tell whether the record's hash fits its contents if its number were ``seq``."""
    if len(_raw(record.prev_hash)) != 32:
        return False
    found = record_hash(record.prev_hash, seq, record.at_us, record.kind, record.body)
    return found == record.hash


def _raw(hash_: str) -> bytes:
    """Return a hash's bytes; zeros for what is none, which a store that was edited can hold."""
    try:
        return bytes.fromhex(hash_)
    except ValueError:
        return bytes(_PREFIX)


def _ranges(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive numbers, first and last of each."""
    first = last = None
    for number in sorted(numbers):
        if last is None or number != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
