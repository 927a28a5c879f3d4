"""``holdpoint explain``: one statement in words, and what a code means."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.explain import explain, known_codes
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database


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


SHOP = """
CREATE TABLE orders (id int PRIMARY KEY, at date);
CREATE TABLE items (order_id int REFERENCES orders ON DELETE CASCADE, n int);
INSERT INTO orders SELECT g, '2026-01-01' FROM generate_series(1, 100) AS g;
INSERT INTO items SELECT g, 1 FROM generate_series(1, 100) AS g;
ANALYZE;
"""


@pytest.fixture(scope="module")
def shop(postgres18: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres18, SHOP) as name:
        yield postgres18.url(database=name)


def test_a_database_tells_how_much_in_plain_sentences(shop: str) -> None:
    result = run("DELETE FROM orders", "--url", shop)
    assert result.exit_code == 1
    verdict, *said = result.output.splitlines()
    assert verdict.startswith("HOLD")
    assert said[0] == "  - removes about 100 rows (estimate) of `orders`, all there are"
    assert said[1] == "  - by cascade it removes about 100 rows of `items`"
    assert any("undo" in line for line in said)


def test_the_impact_in_json_and_nothing_of_it_without_a_database(shop: str) -> None:
    answer = json.loads(run("DELETE FROM orders", "--url", shop, "--json").output)
    assert answer["impact"]["rows"] == {"value": 100, "basis": "estimate", "why": ""}
    assert answer["impact"]["cascades"][0]["table"] == "public.items"
    assert answer["impact"]["words"]
    assert "impact" not in json.loads(run("DELETE FROM orders", "--json").output)


def test_asking_changes_nothing(shop: str) -> None:
    run("DELETE FROM orders", "--url", shop, "--tier", "owner")
    with psycopg.connect(shop) as watcher:
        assert watcher.execute("SELECT count(*) FROM orders").fetchone() == (100,)


def test_a_database_that_is_not_there() -> None:
    result = run("SELECT 1", "--url", "postgres://127.0.0.1:1/x")
    assert result.exit_code == 4
    assert "cannot reach" in result.output
