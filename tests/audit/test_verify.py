"""Every way to tamper with a small trail, and what verification says to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdpoint.audit.export import Header, export_lines
from holdpoint.audit.heads import SignedHead, public_text, sign_head
from holdpoint.audit.offline import verify_export
from holdpoint.audit.record import ChainedRecord, canonical_bytes, chain, genesis_hash
from holdpoint.audit.verify import How, Report, Witness, verify

ORIGIN = "holdpoint/0123456789abcdef"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key()
SIZE = 8


def a_trail(origin: str = ORIGIN, size: int = SIZE) -> list[ChainedRecord]:
    before = genesis_hash(origin)
    records = []
    for seq in range(1, size + 1):
        body = canonical_bytes({"n": seq, "text": "SELECT 'ü'"})
        records.append(chain(before, seq, 1_000 * seq, "session.opened", body))
        before = records[-1].hash
    return records


def head_over(records: Sequence[ChainedRecord], size: int) -> SignedHead:
    return sign_head(KEY, ORIGIN, size, records[size - 1].hash, 0)


TRAIL = a_trail()
HEADS = [head_over(TRAIL, 4), head_over(TRAIL, SIZE)]
SEQS = range(1, SIZE + 1)


def judge(
    records: Sequence[ChainedRecord],
    heads: Sequence[SignedHead] = HEADS,
    witnesses: Sequence[Witness] = (),
) -> Report:
    return verify(ORIGIN, records, heads, [PUBLIC], witnesses)


def found(report: Report) -> list[tuple[int, How]]:
    """The broken records and how, without the heads' echo of the same break."""
    return [(b.seq, b.how) for b in report.breaks if b.step < 5]


def rechained(records: Sequence[ChainedRecord], first: int) -> list[ChainedRecord]:
    """What someone without the key can do: chain everything from ``first`` on anew."""
    done = list(records[: first - 1])
    before = done[-1].hash if done else genesis_hash(ORIGIN)
    for seq, record in enumerate(records[first - 1 :], start=first):
        done.append(chain(before, seq, record.at_us, record.kind, record.body))
        before = done[-1].hash
    return done


def test_a_whole_trail_is_whole() -> None:
    report = judge(TRAIL)
    assert report.ok
    assert report.notes == ()
    assert (report.size, report.signed, report.hash) == (SIZE, SIZE, TRAIL[-1].hash)


def test_an_empty_trail_is_whole() -> None:
    assert verify(ORIGIN, [], [], []).ok


@pytest.mark.parametrize("seq", SEQS)
@pytest.mark.parametrize(
    "change",
    [
        lambda record: replace(record, body=record.body.replace(b"SELECT", b"DELETE")),
        lambda record: replace(record, body=b""),
        lambda record: replace(record, at_us=record.at_us + 1),
        lambda record: replace(record, kind="session.closed"),
        lambda record: replace(record, hash="0" * 64),
        lambda record: replace(record, hash=""),
        lambda record: replace(record, prev_hash="0" * 64),
        lambda record: replace(record, prev_hash="nonsense"),
    ],
    ids=["text", "emptied", "time", "kind", "hash", "no-hash", "prev", "bad-prev"],
)
def test_a_changed_record_is_named(
    seq: int, change: Callable[[ChainedRecord], ChainedRecord]
) -> None:
    records = list(TRAIL)
    records[seq - 1] = change(records[seq - 1])
    report = judge(records)
    assert found(report) == [(seq, How.CHANGED)]
    assert f"record {seq}" in report.breaks[0].message


@pytest.mark.parametrize("seq", SEQS)
def test_a_changed_record_whose_hash_was_made_to_fit_is_named(seq: int) -> None:
    records = list(TRAIL)
    old = records[seq - 1]
    records[seq - 1] = chain(old.prev_hash, seq, old.at_us, old.kind, b'{"n":0}')
    report = judge(records)
    assert not report.ok
    if seq < SIZE:
        assert found(report) == [(seq, How.CHANGED)]
    else:  # nothing is chained after the last one, but a head vouches for it
        assert [(b.seq, b.how) for b in report.breaks] == [(SIZE, How.REWRITTEN)]


@pytest.mark.parametrize("seq", SEQS)
def test_a_trail_rewritten_from_a_record_on_is_seen_by_its_heads(seq: int) -> None:
    records = list(TRAIL)
    records[seq - 1] = replace(records[seq - 1], body=b'{"n":0}')
    report = judge(rechained(records, seq))
    assert found(report) == []
    assert {b.how for b in report.breaks} == {How.REWRITTEN}
    between = "1 to 4" if seq <= 4 else "5 to 8"
    assert between in report.breaks[0].message


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_a_removed_record_is_named(seq: int) -> None:
    report = judge([record for record in TRAIL if record.seq != seq])
    assert found(report) == [(seq, How.REMOVED)]
    assert report.breaks[0].message == f"record {seq} was removed"


def test_a_removed_range_is_named() -> None:
    report = judge([record for record in TRAIL if record.seq not in (3, 4, 5)])
    assert found(report) == [(3, How.REMOVED)]
    assert report.breaks[0].message == "records 3 to 5 were removed"


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_a_removed_record_is_found_when_the_others_are_renumbered(seq: int) -> None:
    records = [record for record in TRAIL if record.seq != seq]
    report = judge([replace(record, seq=at) for at, record in enumerate(records, start=1)])
    assert found(report)[0] == (seq, How.REORDERED)
    assert f"in the place of record {seq} stands record {seq + 1}" in report.breaks[0].message


@pytest.mark.parametrize("seq", SEQS)
def test_a_duplicated_record_is_named(seq: int) -> None:
    records = list(TRAIL)
    records.insert(seq, TRAIL[seq - 1])
    assert found(judge(records)) == [(seq, How.DUPLICATED)]
    assert found(judge([*TRAIL, TRAIL[seq - 1]])) == [(seq, How.DUPLICATED)]


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_swapped_records_are_named(seq: int) -> None:
    records = list(TRAIL)
    records[seq - 1], records[seq] = records[seq], records[seq - 1]
    assert found(judge(records)) == [(seq, How.REORDERED)]


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_records_swapped_under_each_other_s_number_are_named(seq: int) -> None:
    records = list(TRAIL)
    first, second = records[seq - 1], records[seq]
    records[seq - 1] = replace(second, seq=first.seq)
    records[seq] = replace(first, seq=second.seq)
    assert found(judge(records)) == [(seq, How.REORDERED), (seq + 1, How.REORDERED)]


@pytest.mark.parametrize("seq", range(2, SIZE + 1))
def test_an_inserted_record_is_named(seq: int) -> None:
    before = TRAIL[seq - 2]
    foreign = chain(before.hash, seq, before.at_us, "session.opened", b'{"n":"foreign"}')
    report = judge([*TRAIL[: seq - 1], foreign, *TRAIL[seq - 1 :]])
    # Two records claim the number: both are whole, the later one is called the foreign one,
    # and the chain tells that it is the earlier one that does not belong.
    assert (seq, How.INSERTED) in found(report)
    after = [*TRAIL[:seq], foreign, *TRAIL[seq:]]
    assert found(judge(after)) == [(seq, How.INSERTED)]


@pytest.mark.parametrize("seq", SEQS)
def test_a_wrong_number_is_a_changed_record(seq: int) -> None:
    for wrong in (0, SIZE + 5, 10**9):
        records = list(TRAIL)
        records[seq - 1] = replace(records[seq - 1], seq=wrong)
        assert found(judge(records)) == [(seq, How.CHANGED)], wrong


@pytest.mark.parametrize("size", range(SIZE))
def test_a_cut_end_is_seen_by_the_heads(size: int) -> None:
    report = judge(TRAIL[:size])
    truncated = [b for b in report.breaks if b.how is How.TRUNCATED]
    assert truncated[-1].seq == size + 1
    assert f"{SIZE - size} record" in truncated[-1].message


@pytest.mark.parametrize("size", range(4, SIZE))
def test_a_cut_end_whose_heads_are_cut_too_is_seen_by_a_head_kept_elsewhere(size: int) -> None:
    heads = [head for head in HEADS if head.size <= size]
    assert judge(TRAIL[:size], heads).ok, "without a head kept elsewhere it cannot be seen"
    kept = Witness(size=SIZE, hash=TRAIL[-1].hash, source="given with `--head`")
    report = judge(TRAIL[:size], heads, [kept])
    assert [(b.seq, b.how) for b in report.breaks] == [(size + 1, How.TRUNCATED)]


def test_a_head_kept_elsewhere_sees_a_trail_rewritten_with_the_key() -> None:
    records = list(TRAIL)
    records[2] = replace(records[2], body=b'{"n":0}')
    records = rechained(records, 3)
    heads = [head_over(records, 4), head_over(records, SIZE)]
    assert judge(records, heads).ok, "whoever has the key can do this"
    kept = Witness(size=5, hash=TRAIL[4].hash, source="given with `--head`")
    assert [b.how for b in judge(records, heads, [kept]).breaks] == [How.REWRITTEN]


def test_records_after_the_last_head_are_noted() -> None:
    report = judge(TRAIL, HEADS[:1])
    assert report.ok
    assert [note.message for note in report.notes] == [
        "records 5 to 8 are newer than the newest signed head"
    ]


def test_a_trail_without_any_head_is_not_believed() -> None:
    assert [b.how for b in judge(TRAIL, []).breaks] == [How.UNSIGNED]


def test_without_a_key_nothing_is_believed() -> None:
    report = verify(ORIGIN, TRAIL, HEADS, [])
    assert {b.step for b in report.breaks} >= {0, 5}


def test_a_head_of_another_key_is_named() -> None:
    foreign = sign_head(OTHER_KEY, ORIGIN, SIZE, TRAIL[-1].hash, 0)
    report = judge(TRAIL, [HEADS[0], foreign])
    assert [(b.seq, b.how) for b in report.breaks] == [(SIZE, How.WRONG_KEY)]
    posing = replace(foreign, key_id=HEADS[0].key_id)
    report = judge(TRAIL, [HEADS[0], posing])
    assert [(b.seq, b.how) for b in report.breaks] == [(SIZE, How.WRONG_KEY)]


def test_a_head_of_another_trail_vouches_for_nothing() -> None:
    other = sign_head(KEY, "holdpoint/other", SIZE, TRAIL[-1].hash, 0)
    assert [b.how for b in judge(TRAIL, [other]).breaks] == [How.WRONG_KEY, How.UNSIGNED]


def test_a_spliced_trail_is_not_this_trail() -> None:
    other = a_trail("holdpoint/other")
    report = judge(other)
    assert report.breaks[0].message == "record 1 does not begin this trail: its origin is another"
    spliced = judge([*TRAIL[:4], *other[4:]])
    assert found(spliced) == [(4, How.CHANGED)]
    assert not spliced.ok


def test_a_clock_that_goes_back_is_noted_with_its_amount() -> None:
    records = rechained(
        [replace(record, at_us=500) if record.seq == 5 else record for record in TRAIL], 1
    )
    report = judge(records, [head_over(records, SIZE)])
    assert report.ok
    assert [(note.seq, note.message) for note in report.notes] == [
        (5, "the clock went back by 0.003500 s before record 5")
    ]


def test_a_start_without_outcome_is_noted() -> None:
    kinds = {2: "statement.started", 3: "statement.started", 4: "statement.finished"}
    before, records = genesis_hash(ORIGIN), []
    for seq in SEQS:
        body = b'{"started":2}' if seq == 4 else b"{}"
        records.append(chain(before, seq, seq, kinds.get(seq, "session.opened"), body))
        before = records[-1].hash
    report = judge(records, [head_over(records, SIZE)])
    assert report.ok
    assert [(note.step, note.seq) for note in report.notes] == [(8, 3)]


# --- exported files -------------------------------------------------------------------------------

HEADER = Header(origin=ORIGIN, public_key=public_text(PUBLIC), size=SIZE, heads=len(HEADS))
FILE = b"".join(export_lines(HEADER, TRAIL, HEADS))


def judge_file(data: bytes) -> Report | None:
    """The report on a file; None if it is refused outright."""
    lines = data.splitlines(keepends=True)
    try:
        return verify_export(lambda: lines, [PUBLIC])
    except ValueError:
        return None


def test_an_export_verifies_and_says_whose_key_was_used() -> None:
    report = judge_file(FILE)
    assert report is not None
    assert report.ok
    assert report.notes == ()
    own = verify_export(lambda: FILE.splitlines(keepends=True))
    assert own.ok
    assert "was taken from the file itself" in own.notes[0].message


# Fields that nothing signs: what a head's time says to people, and the key, when the verifier
# brings their own.
UNSIGNED_FIELDS = (b'"at_us":0,"hash"', public_text(PUBLIC).encode())


def test_every_changed_byte_is_found() -> None:
    free = set()
    for field in UNSIGNED_FIELDS:
        start = FILE.find(field)
        while start >= 0:
            free.update(range(start, start + len(field)))
            start = FILE.find(field, start + 1)
    for position in range(len(FILE)):
        if position in free:
            continue
        changed = bytearray(FILE)
        changed[position] ^= 1
        report = judge_file(bytes(changed))
        assert report is None or not report.ok, f"byte {position}: {FILE[position - 20 : position]}"


def test_every_cut_is_found() -> None:
    for length in range(len(FILE)):
        report = judge_file(FILE[:length])
        assert report is None or not report.ok, length


def test_every_removed_doubled_or_swapped_line_is_found() -> None:
    lines = FILE.splitlines(keepends=True)
    for at in range(1, len(lines)):
        for tampered in (
            [*lines[:at], *lines[at + 1 :]],
            [*lines[: at + 1], *lines[at:]],
        ):
            report = judge_file(b"".join(tampered))
            assert report is not None
            assert not report.ok, at
    for at in range(1, SIZE):
        swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
        report = judge_file(b"".join(swapped))
        assert report is not None
        assert found(report) == [(at, How.REORDERED)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"{}\n", b"not json\n", b'{"format":"holdpoint trail","version":2}\n', b"\xff\n"],
)
def test_what_is_no_export_is_refused_with_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        verify_export(lambda: data.splitlines(keepends=True))


def test_a_line_that_says_a_key_twice_is_not_read() -> None:
    lines = FILE.splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"n":3', b'"n":"other","n":3')
    report = judge_file(b"".join(lines))
    assert report is not None
    assert found(report) == [(3, How.UNREADABLE)]
    assert "not in canonical form" in report.breaks[0].message
