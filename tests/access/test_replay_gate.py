"""A trail that a real gate wrote, decided again under other configurations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import psycopg
import pytest
from click.testing import CliRunner, Result
from suggest_support import Gate

from holdpoint.cli import main
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, status text NOT NULL);
INSERT INTO orders SELECT g, 'new' FROM generate_series(1, 5000) AS g;
CREATE TABLE payments (id int PRIMARY KEY, cents bigint);
CREATE SCHEMA side;
CREATE TABLE side.notes (id int PRIMARY KEY, body text);
ANALYZE;
"""
READ = "SELECT status FROM orders WHERE id = 1"
QUALIFIED = "SELECT body FROM side.notes"
FEW = "UPDATE orders SET status = 'paid' WHERE id < 10"
INSERT = "INSERT INTO payments (id, cents) VALUES (1, 100)"
MANY = "UPDATE orders SET status = 'void' WHERE id < 4000"
HELD = "UPDATE orders SET status = 'gone' WHERE id < 3000"
DENIED = "DROP TABLE payments"
SECRET = "SELECT 'postgresql://me:secret@host/db'"


class Trail:
    """The trail, and the configuration that it was written under."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.gate = gate
        self.config = folder / "holdpoint.toml"

    def run(self, config: Path, *arguments: str) -> Result:
        """The command's result under a configuration."""
        store = str(self.gate.config.server.store)
        # Reads that the harness itself has recorded are of no target.
        words = ["policy", "replay", "--target", "shop", "--config", str(config)]
        words += ["--store", store, *arguments]
        return CliRunner().invoke(main, words)

    def replay(self, folder: Path, more: str, *arguments: str) -> dict[str, Any]:
        """What the command says under the configuration with something added to it."""
        config = folder / "new.toml"
        config.write_text(self.config.read_text() + more)
        done = self.run(config, "--json", *arguments)
        assert done.exit_code in (0, 1), done.output
        found: dict[str, Any] = orjson.loads(done.stdout)
        assert (done.exit_code == 1) is (found["changed"] > 0)
        return found


@pytest.fixture(scope="module")
def trail(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trail]:
    """A trail with something of every kind."""
    folder = tmp_path_factory.mktemp("replay")
    with (
        fresh_database(postgres18, TABLES) as name,
        Gate.at(folder, postgres18.url(database=name)) as gate,
        gate.waiting(0.0),
    ):
        with gate.connect("write") as agent:
            for text in (READ, QUALIFIED, FEW, INSERT, SECRET):
                agent.execute(text.encode())
            with pytest.raises(psycopg.Error):
                agent.execute(DENIED.encode())
            with pytest.raises(psycopg.Error):
                agent.execute(MANY.encode())
            with pytest.raises(psycopg.Error):
                agent.execute(HELD.encode())
            gate.answer(gate.opened("gone"))
            agent.execute(HELD.encode())
        with gate.connect("replica", agent="gpt") as agent:
            agent.execute(READ.encode())
        gate.quiet()
        yield Trail(gate, folder)


def _matrix(document: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(each["then"], each["now"]): each["statements"] for each in document["matrix"]}


def test_the_same_configuration_changes_nothing(trail: Trail, tmp_path: Path) -> None:
    found = trail.replay(tmp_path, "")
    assert _matrix(found) == {
        ("allowed", "allowed"): 5,
        ("allowed", "cannot be replayed"): 1,
        ("held", "held"): 2,  # what was approved and ran is one statement
        ("refused", "refused"): 1,
    }
    [left_out] = found["left_out"]
    assert left_out["why"] == "its text was redacted"


def test_a_rule_is_seen_at_work(trail: Trail, tmp_path: Path) -> None:
    rule = """
[[rules]]
id = "no-orders"
when = { objects = ["orders"], effect = ["write", "bulk_write"] }
then = "deny"
reason = "orders are frozen"
"""
    found = trail.replay(tmp_path, rule)
    assert found["changed"] == 3
    changes = {(each["then"], each["now"]): each for each in found["changes"]}
    assert changes.keys() == {("allowed", "refused"), ("held", "refused")}
    allowed = changes["allowed", "refused"]
    assert [each["text"] for each in allowed["examples"]] == [FEW]
    assert allowed["rules"]["no-orders"] == 1
    assert allowed["agents"] == {"claude": 1}
    record = trail.gate.trail()[allowed["examples"][0]["record"] - 1]
    assert (record[0], record[1]["text"]) == ("statement.started", FEW)


def test_thresholds_are_held_against_the_recorded_rows(trail: Trail, tmp_path: Path) -> None:
    lower = trail.replay(tmp_path, "\n[policy]\nwrite_rows_max = 5\n")
    assert _matrix(lower)["allowed", "held"] == 1
    higher = trail.replay(tmp_path, "\n[policy]\nwrite_rows_max = 3500\n")
    assert _matrix(higher)["held", "allowed"] == 1
    assert _matrix(higher)["held", "held"] == 1


def test_grants_of_a_tier_bound_it(trail: Trail, tmp_path: Path) -> None:
    grants = """
[targets.shop.tiers.write.grants]
"orders" = ["select", "update(status)"]
"""
    found = trail.replay(tmp_path, grants)
    refused = {
        example["text"]
        for each in found["changes"]
        if (each["then"], each["now"]) == ("allowed", "refused")
        for example in each["examples"]
    }
    assert refused == {INSERT, QUALIFIED}
    assert _matrix(found)["held", "held"] == 2


def test_a_tier_that_the_agent_may_not_use_any_more(trail: Trail, tmp_path: Path) -> None:
    config = tmp_path / "new.toml"
    config.write_text(
        trail.config.read_text().replace(
            "[targets.shop.tiers.write]", '[targets.shop.tiers.write]\nagents = ["gpt"]'
        )
    )
    done = trail.run(config, "--json")
    assert _matrix(orjson.loads(done.stdout))["allowed", "refused"] == 4


def test_figures_that_nobody_asked_for_are_not_assumed(trail: Trail, tmp_path: Path) -> None:
    config = tmp_path / "new.toml"
    config.write_text(
        trail.config.read_text().replace("[targets.shop]", "[targets.shop]\nread_cost_over = 1000")
    )
    found = orjson.loads(trail.run(config, "--json").stdout)
    assert {each["why"] for each in found["unsure"]} == {
        "it rests on what it cost to read, which was not recorded"
    }
    assert _matrix(found)["allowed", "cannot be told"] == 3


def test_words_and_picture(trail: Trail, tmp_path: Path) -> None:
    config = tmp_path / "new.toml"
    config.write_text(trail.config.read_text() + "\n[policy]\nwrite_rows_max = 5\n")
    picture = tmp_path / "replay.svg"
    done = trail.run(config, "--plot", str(picture))
    assert done.exit_code == 1
    assert "allowed → held: 1" in done.output
    assert "1 of 9 statements would be decided differently" in done.output
    bars = [
        each[0].text or ""
        for each in ElementTree.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}rect")
        if len(each)
    ]
    assert [each.split(": ")[1] for each in bars] == [
        "6 allowed", "2 held", "1 refused",
        "4 allowed", "3 held", "1 refused", "1 cannot be replayed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "shpo"], "there is no target `shpo`"),
        (["--tier", "wirte"], "there is no tier `wirte`"),
        (["--since", "soon"], "neither a time nor a span"),
    ],
)
def test_unknown_names_are_told(trail: Trail, arguments: list[str], words: str) -> None:
    done = trail.run(trail.config, *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_an_agent_that_did_nothing(trail: Trail) -> None:
    done = trail.run(trail.config, "--agent", "nobody")
    assert done.exit_code == 0
    assert "the trail shows nothing of agent `nobody`" in done.output
