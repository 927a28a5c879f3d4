"""Tasks and agents' secrets from the command line, on a real store and its trail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.agent import agent
from holdpoint.cli.person import person
from holdpoint.cli.task import task
from holdpoint.model.budget import Budget
from holdpoint.model.task import Barred, Login
from holdpoint.store import Store
from holdpoint.wire.postgres.scram import make_verifier, parse_verifier

DESCRIPTION = "mend the totals of October"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with person `sam` and their agent `robin`; no configuration beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDPOINT_CONFIG", raising=False)
    path = tmp_path / "holdpoint.db"
    run(person, path, "add", "sam")
    run(agent, path, "add", "robin", "--owner", "sam")
    return path


def run(group: Any, path: Path, *words: str) -> Result:
    return CliRunner().invoke(group, [*words, "--store", str(path)])


def started(path: Path, *words: str) -> dict[str, Any]:
    done = run(task, path, "start", "--agent", "robin", "--description", DESCRIPTION, *words,
               "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    made: dict[str, Any] = json.loads(done.output)
    return made


def standing(path: Path, name: str) -> Login | Barred:
    with Store.open(path) as store:
        return store.credentials.standing([name], datetime.now(UTC))[name]


def fits(verifier: str, secret: str) -> bool:
    known = parse_verifier(verifier)
    return make_verifier(secret, known.salt, known.iterations) == verifier


def trail(path: Path) -> list[tuple[str, dict[str, Any]]]:
    with Store.open(path) as store:
        return [(each.kind, orjson.loads(each.body)) for each in store.records.walk()]


def test_a_task_has_a_secret_that_is_shown_once_and_kept_as_a_verifier(path: Path) -> None:
    made = started(
        path, "--tier", "shop/write", "--tier", "shop/owner", "--ticket", "OPS-12",
        "--budget", "rows=1000", "--budget", "statement_time=2s", "--expires", "2h",
        "--gate", "gate:6543",
    )  # fmt: skip
    assert (
        made["connection"] == f"postgresql://{made['id']}:{made['secret']}@gate:6543/shop%2Fwrite"
    )
    login = standing(path, made["id"])
    assert isinstance(login, Login)
    assert (login.agent, login.task) == ("robin", made["id"])
    assert login.tiers == ("shop/write", "shop/owner")
    assert login.budget == Budget(rows=1000, statement_s=2.0)
    assert fits(login.scram_verifier, made["secret"])
    assert not fits(standing(path, "robin").scram_verifier, made["secret"])
    everything = b"".join(each.read_bytes() for each in path.parent.iterdir() if each.is_file())
    assert made["secret"].encode() not in everything
    shown = json.loads(run(task, path, "show", made["id"], "--json").output)
    assert "secret" not in shown
    assert (shown["created_by"], shown["ticket"]) == ("sam", "OPS-12")
    kind, body = trail(path)[-1]
    assert (kind, body["task"], body["budget"]) == (
        "task.started",
        made["id"],
        {"rows": 1000, "statement_us": 2_000_000},
    )


def test_the_connection_string_leads_to_the_configured_gate(path: Path) -> None:
    (path.parent / "holdpoint.toml").write_text(
        '[server]\nlisten = "127.0.0.1:7777"\n[targets.shop.tiers.write]\naccess = "read-write"\n'
    )
    assert "@127.0.0.1:7777/shop%2Fwrite" in started(path, "--tier", "shop/write")["connection"]
    done = run(
        task, path, "start", "--agent", "robin", "--description", "x", "--tier", "shop/wirte"
    )
    assert (done.exit_code, "there is no such tier" in done.output) == (2, True)


def test_a_task_that_was_ended_stays_ended(path: Path) -> None:
    made = started(path)
    assert run(task, path, "end", made["id"]).exit_code == 0
    found = standing(path, made["id"])
    assert isinstance(found, Barred)
    assert "was ended" in found.why
    again = run(task, path, "end", made["id"])
    assert (again.exit_code, "ended already" in again.output) == (1, True)
    assert run(task, path, "end", "t-000000").exit_code == 1
    assert [kind for kind, _ in trail(path)] == ["agent.added", "task.started", "task.ended"]


def test_the_list_shows_what_is_open(path: Path) -> None:
    first, second = started(path), started(path)
    run(task, path, "end", first["id"])
    shown = run(task, path, "list")
    assert second["id"] in shown.output
    assert first["id"] not in shown.output
    every = json.loads(run(task, path, "list", "--all", "--json").output)["tasks"]
    assert {each["id"]: each["state"] for each in every} == {
        first["id"]: "ended",
        second["id"]: "open",
    }
    assert json.loads(run(task, path, "list", "--agent", "gpt", "--json").output)["tasks"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--tier", "shop"], 2, "target/tier"),
        (["--tier", "shop/write/x"], 2, "target/tier"),
        (["--expires", "soon"], 2, "duration"),
        (["--expires", "0s"], 2, "duration"),
        (["--expires", "400d"], 2, "at most 31 days"),
        (["--budget", "rows"], 2, "rows=1000"),
        (["--budget", "rwos=5"], 2, "rwos"),
        (["--budget", "rows=0"], 2, "rows"),
        (["--budget", "rows=5", "--budget", "rows=6"], 2, "once"),
        (["--description", "a\x1b[2Jb"], 2, "can be shown"),
        (["--description", " \n"], 2, "can be shown"),
        (["--description", "x" * 2001], 2, "2,000 fit"),
        (["--agent", "nobody"], 1, "no agent `nobody`"),
        (["--by", "nobody"], 1, "no person `nobody`"),
    ],
)
def test_what_makes_no_sense_starts_nothing(
    path: Path, words: list[str], code: int, said: str
) -> None:
    usual = ["--agent", "robin", "--description", "x"]
    done = run(task, path, "start", *usual, *words)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    with Store.open(path) as store:
        assert store.tasks.all() == []
    assert [kind for kind, _ in trail(path)] == ["agent.added"]


def test_a_rotated_secret_is_dead_at_once(path: Path) -> None:
    before = standing(path, "robin")
    done = run(agent, path, "rotate", "robin", "--expires", "30d", "--json")
    made = json.loads(done.output)
    after = standing(path, "robin")
    assert isinstance(after, Login)
    assert after.scram_verifier != before.scram_verifier
    assert fits(after.scram_verifier, made["secret"])
    assert after.expires_at is not None
    assert after.expires_at - datetime.now(UTC) > timedelta(days=29)
    assert run(agent, path, "rotate", "nobody").exit_code == 1
    assert [kind for kind, _ in trail(path)] == ["agent.added", "credential.rotated"]


def test_a_revoked_agent_has_no_tasks_left(path: Path) -> None:
    made = started(path)
    assert run(agent, path, "revoke", "robin").exit_code == 0
    assert isinstance(standing(path, made["id"]), Barred)
    assert run(agent, path, "rotate", "robin").exit_code == 1
    done = run(task, path, "start", "--agent", "robin", "--description", "more")
    assert (done.exit_code, "no agent `robin`" in done.output) == (1, True)


def test_what_cannot_be_recorded_does_not_happen(path: Path) -> None:
    """The change and its record are one transaction."""
    with Store.open(path) as store, store.database.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    assert run(task, path, "start", "--agent", "robin", "--description", "x").exit_code == 1
    assert run(agent, path, "revoke", "robin").exit_code == 1
    with Store.open(path) as store:
        assert store.tasks.all() == []
        assert store.agents.find("robin") is not None
