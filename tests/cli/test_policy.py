"""``holdpoint policy``: begin a configuration, and check one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.policy import policy


def run(*args: str) -> Result:
    return CliRunner().invoke(policy, list(args))


def test_what_init_writes_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    begun = run("init", str(path))
    assert begun.exit_code == 0
    assert "holdpoint policy check" in begun.stdout
    checked = run("check", str(path))
    assert checked.exit_code == 0
    assert checked.stdout.startswith(f"ok: {path}\n")
    assert "tier replica: read-only  (default)" in checked.stdout
    assert "rule customer-data: hold" in checked.stdout


def test_init_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    path.write_text("mine")
    result = run("init", str(path))
    assert result.exit_code == 2
    assert "is already there" in result.stderr
    assert path.read_text() == "mine"
    assert run("init", str(tmp_path / "no" / "folder.toml")).exit_code == 2


def test_init_does_not_follow_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "holdpoint.toml").symlink_to(tmp_path / "elsewhere")
    assert run("init", str(tmp_path / "holdpoint.toml")).exit_code == 2
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_of_the_current_folder_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("check").exit_code == 3
    assert run("init").exit_code == 0
    assert run("check").exit_code == 0


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(
        "[targets.app]\nenvironmnt = 'x'\n[targets.app.tiers.main]\n"
        "access = 'read-onyl'\nurl = 'env:X'\n"
    )
    result = run("check", str(path))
    assert result.exit_code == 3
    assert result.stderr == (
        f"error: {path} is not valid\n"
        "  targets.app.environmnt, line 2: unknown key `environmnt`; "
        "did you mean `environment`?\n"
        "  targets.app.tiers.main.access, line 4: unknown access level `read-onyl`; "
        "did you mean `read-only`?\n"
    )
    document = json.loads(run("check", str(path), "--json").stdout)
    assert document["valid"] is False
    assert [problem["line"] for problem in document["problems"]] == [2, 4]


def test_json_of_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    path.write_text(
        "[targets.app.tiers.main]\naccess = 'owner'\nurl = 'postgres://u:hunter2@localhost/app'\n"
    )
    result = run("check", str(path), "--json")
    document = json.loads(result.stdout)
    assert document["valid"] is True
    (tier,) = document["targets"][0]["tiers"]
    assert (tier["name"], tier["access"], tier["default"]) == ("main", "owner", True)
    assert (tier["agents"], tier["budget"]) == ("every agent", "")
    assert len(document["digest"]) == 64
    assert "the URL holds a password" in document["advice"][0]
    assert "hunter2" not in result.output


def test_who_may_use_a_tier_and_how_much(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    path.write_text("""\
[targets.app.tiers.all]
access = "owner"
url = "env:ALL"
allow = [{ agents = ["mia"], hours = "Mon-Fri 08:00-18:00" }]
[targets.app.tiers.replica]
access = "read-only"
url = "env:REPLICA"
replica = true
budget = { rows = 1000 }
[[budgets]]
agents = ["ci-*"]
tiers = ["replica"]
rows = 10
""")
    result = run("check", str(path))
    assert result.stdout.splitlines()[2:7] == [
        "    tier all: owner",
        "      for mia, Mon-Fri 08:00-18:00 UTC",
        "    tier replica: read-only  (default)",
        "      for every agent; 1,000 rows per result",
        "  budget 1 (agents ci-*; tiers replica): 10 rows per result",
    ]
    document = json.loads(run("check", str(path), "--json").stdout)
    assert document["budgets"] == [
        {
            "agents": ["ci-*"],
            "tasks": [],
            "targets": [],
            "tiers": ["replica"],
            "budget": "10 rows per result",
        }
    ]
