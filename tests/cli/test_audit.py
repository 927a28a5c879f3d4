"""``holdpoint audit`` on a real trail, as people and programs call it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.audit import audit
from holdpoint.engine.recorder import Recorder
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store

SIZE = 7


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "h.db"
    asyncio.run(record_something(path))
    return path


async def record_something(path: Path) -> None:
    with Store.open(path) as store:
        recorder = Recorder(store)
        await recorder.start()
        session = {"agent": "bot", "session": "s-1"}
        await recorder.write(Record(RecordKind.SESSION_OPENED, session))
        started = await recorder.write(
            Record(RecordKind.STATEMENT_STARTED, {**session, "text": "DELETE \x1b[31mFROM t"})
        )
        read = recorder.read_started("s-1", "SELECT 1", None)
        recorder.read_finished(read, 3, "")
        recorder.read_started("s-2", "SELECT 2", None)
        await recorder.write(
            Record(RecordKind.STATEMENT_FINISHED, {"started": started, "session": "s-1", "rows": 5})
        )
        await recorder.write(Record(RecordKind.HOLD_ENDED, {"hold": "h-1", "state": "expired"}))
        await recorder.close()


def run(*words: object) -> Result:
    return CliRunner().invoke(audit, [str(word) for word in words])


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def shown(path: Path, *options: str) -> list[dict]:
    done = run("show", "--store", path, "--json", *options)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def test_a_whole_trail_passes_every_step(path: Path) -> None:
    done = run("verify", "--store", path)
    assert done.exit_code == 0, done.output
    assert [line[:3] for line in done.output.splitlines() if line.startswith("(")] == [
        f"({number})" for number in range(9)
    ]
    assert f"ok: {SIZE} records, {SIZE} of them under a signed head" in done.output


@pytest.mark.parametrize(
    ("statement", "seq", "how"),
    [
        ("UPDATE records SET body = '{}' WHERE seq = 3", 3, "changed"),
        ("UPDATE records SET at_us = 'never' WHERE seq = 3", 3, "changed"),
        ("UPDATE records SET hash = 'none' WHERE seq = 3", 3, "changed"),
        ("UPDATE records SET body = x'ff' WHERE seq = 3", 3, "changed"),
        ("DELETE FROM records WHERE seq = 3", 3, "removed"),
        ("DELETE FROM records WHERE seq > 5", 6, "truncated"),
        ("DELETE FROM records", 1, "truncated"),
        ("UPDATE records SET seq = 99 WHERE seq = 7", 7, "changed"),
    ],
)  # fmt: skip
def test_a_broken_trail_ends_with_5_and_says_what_broke(
    path: Path, statement: str, seq: int, how: str
) -> None:
    tamper(path, statement)
    done = run("verify", "--store", path, "--json")
    assert done.exit_code == 5, done.output
    report = json.loads(done.output)
    assert report["ok"] is False
    assert (report["breaks"][0]["seq"], report["breaks"][0]["how"]) == (seq, how)
    people = run("verify", "--store", path)
    assert people.exit_code == 5
    assert "BROKEN" in people.output


def test_cutting_the_end_and_its_heads_is_seen_by_the_side_file(path: Path) -> None:
    tamper(path, "DELETE FROM records WHERE seq > 5")
    tamper(path, "DELETE FROM heads WHERE size > 5")
    done = run("verify", "--store", path)
    assert done.exit_code == 5
    assert "from number 6, were cut off" in done.output


def test_an_export_verifies_elsewhere(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    exported = json.loads(run("export", file, "--store", path, "--json").output)
    assert exported["records"] == SIZE
    key = path.with_name("h.db.pub")
    for trusted in (key, key.read_text().strip()):
        done = run("verify", file, "--public-key", trusted, "--head", exported["head"])
        assert done.exit_code == 0, done.output
        assert "note" not in done.output.split("(8)")[0]

    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    done = run("verify", file, "--public-key", key)
    assert done.exit_code == 5
    assert "record 3 was removed" in done.output


def test_a_head_that_was_kept_sees_an_older_copy(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    run("export", file, "--store", path)
    kept = json.loads(run("verify", "--store", path, "--json").output)["head"]
    asyncio.run(record_something(path))
    later = json.loads(run("verify", "--store", path, "--json").output)["head"]
    assert run("verify", "--store", path, "--head", kept).exit_code == 0
    done = run("verify", file, "--head", later)
    assert done.exit_code == 5
    assert "the head given with `--head` vouches for them" in done.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("verify", "--head", "7"), 2, "is not SIZE:HASH"),
        (("verify", "--head", "7:xyz"), 2, "is not SIZE:HASH"),
        (("verify", "--public-key", "nonsense!"), 2, "is not base64"),
        (("verify", "--public-key", "AAAA"), 2, "has 3 bytes"),
        (("show", "--since", "yesterday"), 2, "neither a time nor a span"),
        (("show", "--kind", "statement.start"), 2, "did you mean `statement.started`?"),
    ],
)
def test_wrong_words_are_usage_errors(
    path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = run(*words, "--store", path)
    assert done.exit_code == code
    assert message in done.output


def test_a_file_that_is_no_export_is_a_broken_trail(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("hello\n")
    done = run("verify", file)
    assert done.exit_code == 5
    assert "cannot be verified" in done.output


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    for command in (("verify",), ("show",), ("export", tmp_path / "x")):
        done = run(*command, "--store", tmp_path / "none.db")
        assert done.exit_code == 3
        assert "there is no store at" in done.output
    assert not (tmp_path / "none.db").exists()


def test_show_gives_every_read_a_line(path: Path) -> None:
    lines = shown(path)
    reads = [line for line in lines if line["kind"] == "read"]
    assert [(line["session"], line["agent"], line["body"]["text"]) for line in reads] == [
        ("s-1", "bot", "SELECT 1"),
        ("s-2", "", "SELECT 2"),
    ]
    assert reads[0]["body"]["rows"] == 3
    assert "rows" not in reads[1]["body"]


def test_show_filters(path: Path) -> None:
    assert {line["session"] for line in shown(path, "--session", "s-1")} == {"s-1"}
    assert {line["agent"] for line in shown(path, "--agent", "bot")} == {"bot"}
    kinds = [line["kind"] for line in shown(path, "--kind", "read", "--kind", "hold.ended")]
    assert sorted(kinds) == ["hold.ended", "read", "read"]
    assert len(shown(path, "--limit", "2")) == 2
    assert len(shown(path, "--since", "1h")) == len(shown(path))
    assert shown(path, "--since", "2999-01-01") == []


def test_a_terminal_is_not_driven_by_an_agent_s_text(path: Path) -> None:
    done = run("show", "--store", path)
    assert done.exit_code == 0
    assert "\x1b[31m" not in done.output
    assert "<U+001B>" in done.output


def test_a_damaged_key_beside_the_store_is_said_in_words(path: Path) -> None:
    path.with_name("h.db.pub").write_text("not a key\n")
    done = run("verify", "--store", path)
    assert done.exit_code == 5
    assert "holds no public key" in done.output
    assert "`--public-key`" in done.output
