"""``holdpoint explain``: one statement in words, and what a code means."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.explain import explain, known_codes


def run(*args: str) -> Result:
    return CliRunner().invoke(explain, list(args))


def test_what_would_be_held_says_why_and_what_to_do() -> None:
    result = run("UPDATE accounts SET plan = 'free'")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "HOLD  postgres · tier read-write · production"
    assert lines[1] == ("  HP2204  UPDATE on `accounts` changes every row: nothing filters it")
    assert any(line.strip().startswith("hint  add a filter") for line in lines)
    assert any(line.split() == ["objects", "accounts", "(write)"] for line in lines)


def test_what_would_run() -> None:
    result = run("SELECT 1")
    assert result.exit_code == 0
    assert result.stdout.startswith("ALLOW  postgres")


@pytest.mark.parametrize(
    ("tier", "verdict"),
    [("read-only", "DENY"), ("read-write", "DENY"), ("full-no-drop", "DENY"), ("owner", "HOLD")],
)
def test_access_levels(tier: str, verdict: str) -> None:
    assert run("DROP TABLE orders", "--tier", tier).stdout.split()[0] == verdict


def test_json_has_the_form_of_check() -> None:
    document = json.loads(run("SELECT pg_sleep(9)", "--json").stdout)
    assert document["verdict"] == "hold"
    assert document["effects"] == ["exhaustion", "read"]
    assert document["functions"] == ["pg_sleep"]


def test_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    path.write_text("[targets.shop.tiers.replica]\naccess = 'read-only'\nurl = 'env:X'\n")
    result = run("DELETE FROM orders WHERE id = 1", "--config", str(path))
    assert result.exit_code == 1
    assert result.stdout.startswith("DENY  postgres · tier replica (read-only) · production")
    assert "no tier of `shop` gives this" in result.stdout
    assert run("SELECT 1", "--config", str(tmp_path / "none")).exit_code == 3
    assert run("SELECT 1", "--tier", "wrte").exit_code == 2


def test_a_statement_cannot_write_to_the_terminal() -> None:
    result = run('DELETE FROM "x\x1b[2J\u202eALLOW"')
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.parametrize("code", ["HP2101", "hp7002"])
def test_the_page_of_a_code(code: str) -> None:
    result = run(code)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"# {code.upper()}: ")
    assert json.loads(run(code, "--json").stdout)["code"] == code.upper()


def test_a_code_without_a_page() -> None:
    result = run("HP7092")
    assert result.exit_code == 2
    assert "there is no page for `HP7092`" in result.stderr
    assert "did you mean" in result.stderr


def test_every_finding_of_policy_has_a_page() -> None:
    from holdpoint.cli.check import BAD_LINE
    from holdpoint.policy import reasons

    codes = {
        value for value in vars(reasons).values()
        if isinstance(value, str) and value.startswith("HP") and len(value) == 6
    }  # fmt: skip
    assert len(codes) == 12
    assert {*codes, BAD_LINE} <= set(known_codes())
