"""Plain reads on their way into the trail: grouped, bounded, replayed after a death."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from trail_support import bodies, verified

from holdpoint.audit.record import canonical_bytes
from holdpoint.engine.reads import ReadGroup
from holdpoint.engine.recorder import Recorder, TrailUnavailable
from holdpoint.engine.spool import END, HEADER_BYTES, SpoolFile
from holdpoint.model import limits
from holdpoint.model.record import RecordKind
from holdpoint.store import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    with Store.open(path) as store:
        yield store


async def test_reads_become_one_record_with_each_text_once(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()
    first = recorder.read_started("s-1", "SELECT 1", None)
    second = recorder.read_started("s-2", "SELECT 1", b"\x00\xff")
    third = recorder.read_started(7, "SELECT 'ü\"'", None)
    recorder.read_finished(first, 1, "")
    recorder.read_finished(second, -1, "42P01")
    await recorder.close()

    (group,) = bodies(store, RecordKind.READS)
    assert group["texts"] == {"1": "SELECT 1", "2": "SELECT 'ü\"'"}
    assert [[entry[0], *entry[2:]] for entry in group["started"]] == [
        [first, "s-1", 1, None],
        [second, "s-2", 1, "AP8="],
        [third, 7, 2, None],
    ]
    assert [[entry[0], *entry[2:]] for entry in group["finished"]] == [
        [first, 1, ""],
        [second, -1, "42P01"],
    ]
    assert group["open"] == [third]


async def test_an_outcome_may_come_in_a_later_group(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()
    number = recorder.read_started("s", "SELECT 1", None)
    while not bodies(store, RecordKind.READS):
        await asyncio.sleep(0.01)
    recorder.read_finished(number, 3, "")
    await recorder.close()
    first, second = bodies(store, RecordKind.READS)
    assert first["open"] == [number]
    assert second["open"] == []
    assert second["finished"][0][0] == number
    assert second["generation"] == first["generation"] + 1
    assert verified(store).notes == ()


async def test_secrets_in_reads_are_redacted_in_the_trail_and_in_the_spool(
    store: Store,
) -> None:
    recorder = Recorder(store)
    await recorder.start()
    recorder.read_started("s", "SELECT * FROM dblink('host=a password=hunter2', 'x')", None)
    assert b"hunter2" not in store.beside(".spool").read_bytes()
    await recorder.close()
    assert b"hunter2" not in store.path.read_bytes() + store.beside(".spool").read_bytes()


@pytest.mark.parametrize(
    "bad",
    ["\ud800", "x" * (limits.READ_BYTES_MAX + 1)],
    ids=["not-unicode", "too-large"],
)
async def test_a_read_that_cannot_be_recorded_is_refused(store: Store, bad: str) -> None:
    recorder = Recorder(store)
    await recorder.start()
    with pytest.raises(TrailUnavailable):
        recorder.read_started("s", bad, None)
    with pytest.raises(TrailUnavailable):
        recorder.read_started("s", "SELECT $1", bytes(limits.READ_BYTES_MAX + 1))
    recorder.read_started("s", "SELECT 1", None)
    await recorder.close()
    (group,) = bodies(store, RecordKind.READS)
    assert len(group["started"]) == 1


async def test_a_full_spool_refuses_reads_but_keeps_room_for_outcomes(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()
    blocker = sqlite3.connect(store.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # the writer waits: no half becomes free
    numbers: list[int] = []

    def read_on() -> None:
        for _ in range(100):
            numbers.append(recorder.read_started("s", "SELECT $1", bytes(1_000_000)))

    with pytest.raises(TrailUnavailable, match="faster than the trail's disk"):
        read_on()
    for number in numbers:
        recorder.read_finished(number, 1, "")
    blocker.close()
    await recorder.close()
    groups = bodies(store, RecordKind.READS)
    assert sum(len(group["started"]) for group in groups) == len(numbers)
    assert sum(len(group["finished"]) for group in groups) == len(numbers)
    assert groups[-1]["open"] == []
    assert verified(store).ok


async def test_a_group_s_body_is_canonical() -> None:
    group = ReadGroup(
        half=0,
        run=1,
        generation=2,
        base_us=3,
        texts={str(number): f"SELECT {number}" for number in range(1, 13)},
        started=[b'[1,0,"s",1,null],'],
        finished=[b'[1,5,1,""],'],
        open=[9, 10],
        replayed=True,
    )
    assert canonical_bytes(orjson.loads(group.body())) == group.body()


def copy_of_the_living(path: Path, to: Path) -> None:
    """What a kill at this moment would leave: the files as they are, without any shutdown."""
    to.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy2(file, to / file.name)


async def test_reads_in_the_spool_are_replayed_once_and_named(
    store: Store, path: Path, tmp_path: Path
) -> None:
    recorder = Recorder(store)
    run = await recorder.start()
    done = recorder.read_started("s", "SELECT 1", None)
    recorder.read_finished(done, 1, "")
    lost = recorder.read_started("s", "SELECT 2", None)
    copy_of_the_living(path, tmp_path / "copy")
    await recorder.close()

    for _ in range(2):  # the second start must not replay again
        with Store.open(tmp_path / "copy" / path.name) as copy:
            again = Recorder(copy)
            await again.start()
            await again.close()
    with Store.open(tmp_path / "copy" / path.name) as copy:
        (group,) = bodies(copy, RecordKind.READS)
        (unknown,) = bodies(copy, RecordKind.STATEMENT_OUTCOME_UNKNOWN)
        assert verified(copy).ok
    assert group["replayed"] is True
    assert (group["run"], group["open"]) == (run, [lost])
    assert (unknown["run"], unknown["read"], unknown["text"]) == (run, lost, "SELECT 2")


async def test_a_group_that_was_committed_is_not_replayed(
    store: Store, path: Path, tmp_path: Path
) -> None:
    recorder = Recorder(store)
    await recorder.start()
    recorder.read_started("s", "SELECT 1", None)
    while not bodies(store, RecordKind.READS):
        await asyncio.sleep(0.01)
    copy_of_the_living(path, tmp_path / "copy")
    await recorder.close()
    with Store.open(tmp_path / "copy" / path.name) as copy:
        again = Recorder(copy)
        await again.start()
        await again.close()
        assert len(bodies(copy, RecordKind.READS)) == 1
        assert len(bodies(copy, RecordKind.STATEMENT_OUTCOME_UNKNOWN)) == 1


async def test_a_value_that_the_process_died_in_does_not_count(tmp_path: Path) -> None:
    spool = SpoolFile.open(tmp_path / "s")
    spool.begin(0, "holdpoint/x", 1, 1, 0)
    position = HEADER_BYTES + END.size
    for value in (b"[1,2,3,4,5],", b"[2,2,3,4,5],"):
        spool.memory[position : position + len(value)] = value
        position += len(value)
        END.pack_into(spool.memory, HEADER_BYTES, position)
    spool.memory[position : position + 6] = b"[3,2,3"
    assert spool.leftovers()[0].payloads == (b"[1,2,3,4,5]", b"[2,2,3,4,5]")
    spool.begin(0, "holdpoint/x", 1, 2, 0)
    assert spool.leftovers()[0].payloads == (), "values of an earlier generation are not read"
    spool.close()


@pytest.mark.parametrize("end", [0, HEADER_BYTES, HEADER_BYTES + END.size + 5, 2**40])
async def test_a_spool_that_a_power_failure_has_mixed_up_is_not_believed(
    tmp_path: Path, end: int
) -> None:
    spool = SpoolFile.open(tmp_path / "s")
    spool.begin(0, "holdpoint/x", 1, 1, 0)
    start = HEADER_BYTES + END.size
    spool.memory[start : start + 12] = b"[1,2,3,4,5],"
    END.pack_into(spool.memory, HEADER_BYTES, end)
    assert spool.leftovers()[0].payloads == ()
    spool.close()


async def test_a_text_that_hardly_comes_again_stands_in_its_entry(
    store: Store, path: Path, tmp_path: Path
) -> None:
    recorder = Recorder(store)
    await recorder.start()
    lost = recorder.read_started_once("s", "SELECT a FROM t WHERE id = 7;")
    copy_of_the_living(path, tmp_path / "copy")
    recorder.read_finished(lost, 1, "")
    await recorder.close()
    (group,) = bodies(store, RecordKind.READS)
    assert [entry[3] for entry in group["started"]] == ["SELECT a FROM t WHERE id = 7;"]
    assert group["texts"] == {}
    assert verified(store).ok

    with Store.open(tmp_path / "copy" / path.name) as copy:
        again = Recorder(copy)
        await again.start()
        await again.close()
        (unknown,) = bodies(copy, RecordKind.STATEMENT_OUTCOME_UNKNOWN)
    assert unknown["text"] == "SELECT a FROM t WHERE id = 7;"
