"""The recorder on a real disk: nothing promised is lost, whatever dies or fills up."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, text
from trail_support import bodies, started, trail, verified

from holdpoint.audit.outcomes import Outcomes
from holdpoint.audit.record import CanonicalError, ChainedRecord, canonical_bytes
from holdpoint.audit.verify import How
from holdpoint.engine.recorder import Recorder, TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store, StoreError
from holdpoint.store import records as rows

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).with_name("recording_child.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    with Store.open(path) as store:
        yield store


async def test_a_record_is_durable_when_its_number_comes(store: Store, path: Path) -> None:
    recorder = Recorder(store)
    assert await recorder.start({"policy": "p1"}) == 1
    assert await recorder.write(started(text="DELETE FROM t")) == 2
    other = sqlite3.connect(path)
    found = other.execute("SELECT kind, body FROM records ORDER BY seq").fetchall()
    other.close()
    assert [kind for kind, _ in found] == ["trail.opened", "statement.started"]
    assert orjson.loads(found[0][1])["about"] == {"policy": "p1"}
    assert found[1][1] == '{"text":"DELETE FROM t"}'
    await recorder.close()
    assert [kind for kind, _ in trail(store)][-1] == "trail.closed"
    report = verified(store)
    assert report.ok
    assert report.signed == report.size == 3


async def test_many_sessions_share_commits_and_keep_their_order(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()

    async def session(name: int) -> list[int]:
        return [await recorder.write(started(s=name, n=n)) for n in range(20)]

    numbers = await asyncio.gather(*(session(name) for name in range(50)))
    await recorder.close()
    assert sorted(n for own in numbers for n in own) == list(range(2, 1002))
    assert all(own == sorted(own) for own in numbers)
    assert verified(store).ok


async def test_state_and_record_are_one_transaction(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()

    def add(name: str, *, fail: bool) -> Any:
        def also(connection: Connection) -> None:
            connection.execute(
                text("INSERT INTO agents VALUES (:name, 'o', 1, NULL)"), {"name": name}
            )
            if fail:
                raise LookupError("second thoughts")

        return also

    kept, refused, after = await asyncio.gather(
        recorder.write(started(a="kept"), also=add("kept", fail=False)),
        recorder.write(started(a="refused"), also=add("refused", fail=True)),
        recorder.write(started(a="after")),
        return_exceptions=True,
    )
    assert (kept, after) == (2, 3)
    assert isinstance(refused, LookupError)
    assert [agent.name for agent in store.agents.all()] == ["kept"]
    assert [body["a"] for body in bodies(store, RecordKind.STATEMENT_STARTED)] == ["kept", "after"]
    assert recorder.healthy
    await recorder.close()


async def test_also_may_complete_the_body(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()
    body: dict[str, Any] = {"a": 1}

    def also(connection: Connection) -> None:
        body["agents"] = connection.execute(text("SELECT count(*) FROM agents")).scalar()

    await recorder.write(Record(RecordKind.HOLD_ENDED, body), also=also)
    assert bodies(store, RecordKind.HOLD_ENDED) == [{"a": 1, "agents": 0}]
    await recorder.close()


@pytest.mark.parametrize(
    "record",
    [
        started(rows=1.5),
        started(text="\ud800"),
        started(n=2**53),
        Record(RecordKind.STATEMENT_FINISHED, {"rows": 1}),
    ],
    ids=["fraction", "surrogate", "big", "outcome-of-nothing"],
)
async def test_what_has_no_canonical_form_is_refused_alone(store: Store, record: Record) -> None:
    recorder = Recorder(store)
    await recorder.start()
    good, bad = await asyncio.gather(
        recorder.write(started(a=1)), recorder.write(record), return_exceptions=True
    )
    assert good == 2
    assert isinstance(bad, CanonicalError)
    assert recorder.healthy
    await recorder.close()


async def test_a_closed_trail_refuses(store: Store) -> None:
    recorder = Recorder(store)
    with pytest.raises(TrailUnavailable, match="start the recorder first"):
        await recorder.write(started())
    with pytest.raises(TrailUnavailable, match="not open"):
        recorder.read_started("s", "SELECT 1", None)
    await recorder.start()
    await recorder.close()
    assert not recorder.healthy
    with pytest.raises(TrailUnavailable, match="closed"):
        await recorder.write(started())
    with pytest.raises(TrailUnavailable, match="closed"):
        recorder.read_started("s", "SELECT 1", None)
    with pytest.raises(TrailUnavailable, match="closed"):
        recorder.read_finished(1, 1, "")


async def test_the_queue_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORDS_WAITING_MAX", 5)
    recorder = Recorder(store)
    await recorder.start()
    results = await asyncio.gather(
        *(recorder.write(started(n=n)) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, int) for result in results) == 5
    assert "wait for the trail's disk" in str(results[-1])
    assert await recorder.write(started(n=99)) == 7
    await recorder.close()


# --- death ----------------------------------------------------------------------------------------


def kill_child(path: Path, after_lines: int) -> list[str]:
    """Let a child record, kill it after it has made some promises, and return them all."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after_lines)]
        child.kill()
        rest = child.stdout.read()
    complete = rest[: rest.rfind("\n") + 1].splitlines()
    return [line.strip() for line in lines] + complete


@pytest.mark.timeout(90)
async def test_killed_at_any_moment_the_trail_verifies_and_names_what_is_unknown(
    path: Path,
) -> None:
    promised_reads: dict[int, set[int]] = {}
    promised_records: set[int] = set()
    for number in range(6):
        run = 0
        for line in await asyncio.to_thread(kill_child, path, 2 + number * 31):
            word, value = line.split()
            if word == "run":
                run = int(value)
            elif word == "seq":
                promised_records.add(int(value))
            else:
                promised_reads.setdefault(run, set()).add(int(value))
        with Store.open(path, read_only=True) as store:
            assert verified(store).ok, f"after kill {number}"

    with Store.open(path) as store:
        recorder = Recorder(store)
        await recorder.start()
        await recorder.close()
        records = list(store.records.walk())
        report = verified(store)
    assert report.ok
    assert [note for note in report.notes if note.step == 8] == []
    kinds = {record.seq: record.kind for record in records}
    assert all(kinds.get(seq, "").startswith("statement.") for seq in promised_records)
    assert "statement.outcome_unknown" in kinds.values()
    recorded_reads: dict[int, list[int]] = {}
    for record in records:
        if record.kind == "reads":
            body = orjson.loads(record.body)
            recorded_reads.setdefault(body["run"], []).extend(e[0] for e in body["started"])
    for run, reads in promised_reads.items():
        assert reads <= set(recorded_reads[run]), f"run {run}"
        assert len(recorded_reads[run]) == len(set(recorded_reads[run])), "none twice"


async def test_two_servers_cannot_share_a_store(store: Store, path: Path) -> None:
    recorder = Recorder(store)
    await recorder.start()
    with Store.open(path) as second, pytest.raises(StoreError, match="another server"):
        await Recorder(second).start()
    await recorder.close()


async def test_another_process_may_append_without_breaking_the_chain(
    store: Store, path: Path
) -> None:
    recorder = Recorder(store)
    await recorder.start()

    def append_from_elsewhere() -> None:
        with Store.open(path) as other:
            for number in range(50):
                with other.database.writing() as connection:
                    before = rows.tail(connection, rows.origin(connection))
                    entry = rows.Entry(RecordKind.HOLD_ENDED, b'{"n":%d}' % number)
                    rows.append(connection, before, 1, [entry])

    other = asyncio.create_task(asyncio.to_thread(append_from_elsewhere))
    for number in range(50):
        await recorder.write(started(n=number))
    await other
    await recorder.close()
    report = verified(store)
    assert report.ok
    assert report.size == 102


# --- disks ----------------------------------------------------------------------------------------


class Disk:
    """A disk under the store that a test fills and frees: every connection gets its bound."""

    def __init__(self, store: Store) -> None:
        from sqlalchemy import event

        self.full = False
        event.listen(store.database._engine, "begin", self._bound)

    def _bound(self, connection: Connection) -> None:
        if self.full:
            cursor = connection.connection.dbapi_connection.cursor()
            (pages,) = cursor.execute("PRAGMA page_count").fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            cursor.close()
        else:
            cursor = connection.connection.dbapi_connection.cursor()
            cursor.execute("PRAGMA max_page_count = 1073741823")
            cursor.close()


async def test_a_full_disk_stops_everything_and_nothing_is_lost_when_it_is_freed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRAIL_RETRY_S", 0.02)
    disk = Disk(store)
    recorder = Recorder(store)
    await recorder.start()
    before = recorder.read_started("s", "SELECT 'before'", None)
    disk.full = True

    async def write_on() -> None:
        for number in range(100):
            await recorder.write(started(n=number, text="x" * 4000))

    with pytest.raises(TrailUnavailable, match="the disk is full"):
        await write_on()
    assert not recorder.healthy
    assert "the disk is full" in recorder.problem
    with pytest.raises(TrailUnavailable, match="the disk is full"):
        recorder.read_started("s", "SELECT 'during'", None)
    recorder.read_finished(before, 1, "")

    disk.full = False
    while not recorder.healthy:
        await asyncio.sleep(0.01)
    after = recorder.read_started("s", "SELECT 'after'", None)
    recorder.read_finished(after, 1, "")
    await recorder.close()
    groups = bodies(store, RecordKind.READS)
    texts = [text for group in groups for text in group["texts"].values()]
    assert sorted(texts) == ["SELECT 'after'", "SELECT 'before'"]
    report = verified(store)
    assert report.ok


FILE_LIMIT = """
import asyncio, resource, signal, sys
from holdpoint.engine.recorder import Recorder, TrailUnavailable
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store

async def main():
    recorder = Recorder(Store.open(sys.argv[1]))
    await recorder.start()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, -1))
    durable = 0
    try:
        for number in range(10_000):
            durable = await recorder.write(
                Record(RecordKind.STATEMENT_STARTED, {"text": "x" * 20_000})
            )
    except TrailUnavailable as problem:
        print(durable, recorder.healthy, problem)
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    print(await recorder.write(Record(RecordKind.STATEMENT_STARTED, {})))
    print(recorder.healthy)
    await recorder.close()

asyncio.run(main())
"""


async def test_a_write_that_the_system_refuses_is_no_record(path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FILE_LIMIT, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed, again, healthy = done.stdout.splitlines()
    durable, was_healthy, words = failed.split(" ", 2)
    assert was_healthy == "False"
    assert "store" in words
    assert int(again) >= int(durable) + 1
    assert healthy == "True"
    with Store.open(path, read_only=True) as store:
        assert verified(store).ok


async def test_a_store_that_is_removed_while_the_server_runs_is_noticed(
    store: Store, path: Path
) -> None:
    recorder = Recorder(store)
    await recorder.start()
    path.rename(path.with_name("moved.db"))
    with pytest.raises(TrailUnavailable, match="removed or replaced"):
        await recorder.write(started())
    with pytest.raises(TrailUnavailable, match="removed or replaced"):
        recorder.read_started("s", "SELECT 1", None)
    path.with_name("moved.db").rename(path)
    assert await recorder.write(started()) == 2
    assert recorder.healthy
    await recorder.close()


async def test_a_locked_store_refuses_and_recovers(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORE_BUSY_TIMEOUT_S", 0.05)
    with Store.open(path) as quick:
        recorder = Recorder(quick)
        await recorder.start()
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrailUnavailable, match="locked by another process"):
            await recorder.write(started())
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await recorder.write(started()) == 2
        await recorder.close()


# --- heads and keys -------------------------------------------------------------------------------


async def test_a_cut_trail_is_noticed_at_the_next_start(store: Store, path: Path) -> None:
    recorder = Recorder(store)
    await recorder.start()
    for number in range(5):
        await recorder.write(started(n=number))
    await recorder.close()
    knife = sqlite3.connect(path)
    knife.execute("DELETE FROM records WHERE seq > 4")
    knife.execute("DELETE FROM heads WHERE size > 4")
    knife.commit()
    knife.close()

    assert verified(store).breaks[0].how is How.TRUNCATED
    with pytest.raises(StoreError, match="was cut or rewritten"):
        await Recorder(store).start()
    store.beside(".heads").unlink()
    store.beside(".spool").unlink()
    recorder = Recorder(store)  # on purpose, after a backup was restored
    await recorder.start()
    await recorder.close()


async def test_an_idle_trail_is_signed_within_the_interval(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEAD_INTERVAL_S", 0.05)
    recorder = Recorder(store)
    await recorder.start()
    seq = await recorder.write(started())
    while max(head.size for head in store.records.heads()) < seq:
        await asyncio.sleep(0.01)
    await recorder.close()


async def test_a_torn_line_in_the_side_file_is_cut(store: Store) -> None:
    for _ in range(2):
        recorder = Recorder(store)
        await recorder.start()
        await recorder.close()
        with store.beside(".heads").open("ab") as file:
            file.write(b'{"head":{"at_us":1')
    recorder = Recorder(store)
    await recorder.start()
    await recorder.close()
    assert verified(store).ok


async def test_old_heads_are_thinned_out_and_the_trail_still_verifies(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEAD_INTERVAL_S", 0.0)
    monkeypatch.setattr(limits, "HEADS_RECENT_MAX", 5)
    monkeypatch.setattr(limits, "HEADS_THIN_STEP", 4)
    monkeypatch.setattr(limits, "HEADS_FILE_BYTES_MAX", 2_000)
    recorder = Recorder(store)
    await recorder.start()
    for number in range(40):
        await recorder.write(started(n=number))
    await recorder.close()
    sizes = [head.size for head in store.records.heads()]
    assert sizes[-5:] == [38, 39, 40, 41, 42]
    assert len(sizes) < 20
    assert store.beside(".heads").stat().st_size < 5_000
    report = verified(store)
    assert report.ok
    assert report.signed == 42


async def test_the_key_is_private_and_kept(store: Store) -> None:
    recorder = Recorder(store)
    await recorder.start()
    await recorder.close()
    key = store.beside(".key")
    assert key.stat().st_mode & 0o777 == 0o600
    again = Recorder(store)
    await again.start()
    assert again.public_key == recorder.public_key == store.beside(".pub").read_text().strip()
    await again.close()
    key.chmod(0o644)
    with pytest.raises(StoreError, match="can be read by others"):
        await Recorder(store).start()
    key.chmod(0o600)
    key.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match="is not a signing key"):
        await Recorder(store).start()


async def test_outcomes_of_statements_are_followed() -> None:
    def record(seq: int, kind: RecordKind, **body: Any) -> ChainedRecord:
        return ChainedRecord(
            seq=seq, at_us=0, kind=kind, body=canonical_bytes(body), prev_hash="", hash=""
        )

    outcomes = Outcomes()
    outcomes.take(record(1, RecordKind.STATEMENT_STARTED))
    outcomes.take(record(2, RecordKind.STATEMENT_STARTED))
    outcomes.take(record(3, RecordKind.STATEMENT_FINISHED, started=1))
    outcomes.take(record(4, RecordKind.READS, run=9, open=[7, 8]))
    outcomes.take(record(5, RecordKind.STATEMENT_OUTCOME_UNKNOWN, run=9, read=7))
    assert [seq for seq, _ in outcomes.open()] == [2, 4]
