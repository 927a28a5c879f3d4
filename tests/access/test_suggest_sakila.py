"""The least grants, from a workload that ran through a real gate, against a set made by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from suggest_support import (
    DENIED,
    FAILS,
    MINIMAL,
    ROWS,
    SAKILA,
    WORKLOAD,
    Gate,
    granting,
    needs_of_minimal,
    refused,
    role_with,
)

from holdpoint.cli import main
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database


class Recorded:
    """A trail of the workload, and the database that it ran on."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.gate = gate
        self.config = folder / "holdpoint.toml"

    def run(self, *arguments: str, config: Path | None = None) -> Result:
        """The command's result."""
        store = self.gate.config.server.store
        words = ["access", "suggest", "shop", "--store", str(store)]
        words += ["--config", str(config or self.config), *arguments]
        return CliRunner().invoke(main, words)

    def suggest(self, *arguments: str, config: Path | None = None) -> dict[str, Any]:
        """What the command says of the tier `write`."""
        done = self.run("--json", *arguments, config=config)
        assert done.exit_code in (0, 1), done.output
        [tier] = orjson.loads(done.stdout)["tiers"]
        found: dict[str, Any] = tier
        return found


@pytest.fixture(scope="module")
def recorded(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """The workload, run by an agent through a gate."""
    folder = tmp_path_factory.mktemp("suggest")
    with (
        fresh_database(postgres18, SAKILA + ROWS) as name,
        Gate.at(folder, postgres18.url(database=name)) as gate,
    ):
        with gate.connect("write") as agent:
            for text in WORKLOAD:
                if text.startswith("COPY"):
                    with agent.cursor().copy(text.encode()) as copy:
                        assert list(copy)
                else:
                    agent.execute(text.encode())
            for text in (FAILS, DENIED):
                with pytest.raises(psycopg.Error):
                    agent.execute(text.encode())
        with gate.connect("write", agent="gpt") as agent:
            agent.execute("SELECT city FROM city")
        gate.quiet()
        yield Recorded(gate, folder)


def _words(tier: dict[str, Any]) -> dict[str, dict[str, set[str]]]:
    """The suggested grants in the form of ``MINIMAL``."""
    found: dict[str, dict[str, set[str]]] = {}
    for each in tier["grants"]:
        place = found.setdefault(f"{each['kind']} {each['schema']}.{each['name']}", {})
        place[each["privilege"]] = set(each["columns"])
    return found


def test_the_set_made_by_hand_comes_out(recorded: Recorded) -> None:
    tier = recorded.suggest("--tier", "write", "--agent", "claude")
    assert _words(tier) == MINIMAL
    assert tier["statements"] == {"ran": len(WORKLOAD), "failed": 1, "denied": 1, "open": 0}
    assert tier["public"] == ["execute on public.inventory_in_stock", "usage on public"]
    assert tier["doubts"] == []


def test_it_covers_the_workload_and_each_grant_is_needed(recorded: Recorded) -> None:
    needs = needs_of_minimal(MINIMAL)
    with (
        psycopg.connect(recorded.gate.direct, autocommit=True) as admin,
        role_with(admin, "least", needs),
    ):
        assert {text: refused(admin, "least", text) for text in WORKLOAD} == dict.fromkeys(
            WORKLOAD, ""
        )
        for need in needs:
            admin.execute(granting("REVOKE", need, sql.Identifier("least")))
            assert "42501" in [refused(admin, "least", text) for text in WORKLOAD], need.label
            admin.execute(granting("GRANT", need, sql.Identifier("least")))


def test_the_evidence_names_records(recorded: Recorded) -> None:
    tier = recorded.suggest("--tier", "write", "--agent", "claude")
    [line] = [
        each for each in tier["grants"] if (each["name"], each["privilege"]) == ("rental", "select")
    ]
    assert line["by_column"] == {"rental_id": 3, "inventory_id": 2, "return_date": 2}
    trail = recorded.gate.trail()
    for example in line["evidence"]["examples"]:
        assert example["text"] in orjson.dumps(trail[example["record"] - 1][1]).decode()


def test_the_other_agent_has_its_own(recorded: Recorded) -> None:
    tier = recorded.suggest("--tier", "write", "--agent", "gpt")
    assert _words(tier) == {"table public.city": {"select": {"city"}}}


def test_toml_is_read_back_as_the_same_grants(recorded: Recorded, tmp_path: Path) -> None:
    done = recorded.run("--tier", "write", "--agent", "claude", "--toml")
    config = tmp_path / "holdpoint.toml"
    config.write_text(recorded.config.read_text() + "\n" + done.stdout)
    tomllib.loads(config.read_text())
    tier = recorded.suggest("--tier", "write", "--agent", "claude", config=config)
    assert [each for each in tier["drops"] if not each["holder"]] == []
    more = config.read_text().replace(
        '"category" = ["select"]', '"category" = ["select", "delete"]'
    )
    config.write_text(more)
    tier = recorded.suggest("--tier", "write", "--agent", "claude", config=config)
    [drop] = [each for each in tier["drops"] if not each["holder"]]
    assert (drop["name"], drop["privilege"], drop["used"]) == ("category", "delete", [])


def test_what_the_role_holds_and_nothing_used(recorded: Recorded, tmp_path: Path) -> None:
    config = tmp_path / "holdpoint.toml"
    text = recorded.config.read_text()
    config.write_text(
        text.replace(
            "[targets.shop.tiers.write]", '[targets.shop.tiers.write]\nrole = "film reader"'
        )
    )
    with (
        psycopg.connect(recorded.gate.direct, autocommit=True) as admin,
        role_with(admin, "film reader", needs_of_minimal(MINIMAL)),
    ):
        clean = recorded.suggest("--tier", "write", "--agent", "claude", config=config)
        assert clean["drops"] == []
        assert not any(each["lacking"] for each in clean["grants"])
        admin.execute('GRANT SELECT, DELETE ON staff TO "film reader"')
        admin.execute('GRANT SELECT (description, length) ON film TO "film reader"')
        admin.execute('REVOKE UPDATE (return_date) ON rental FROM "film reader"')
        tier = recorded.suggest("--tier", "write", "--agent", "claude", config=config)
    drops = {
        (each["name"], each["privilege"]): (each["columns"], each["used"]) for each in tier["drops"]
    }
    assert drops == {
        ("staff", "delete"): ([], []),
        ("staff", "select"): ([], ["staff_id"]),
        ("film", "select"): (["description", "length"], ["film_id", "title", "rating"]),
    }
    lacking = [(each["name"], each["privilege"]) for each in tier["grants"] if each["lacking"]]
    assert lacking == [("rental", "update")]


def test_what_taking_away_would_have_refused(recorded: Recorded) -> None:
    drops = ["film_actor:delete", "rental:select(rental_id)", "city:update"]
    without = [word for drop in drops for word in ("--without", drop)]
    tier = recorded.suggest("--tier", "write", *without)
    told = {
        each["without"]: [example["text"] for example in each["evidence"]["examples"]]
        for each in tier["refused"]
    }
    assert told == {
        "delete on public.film_actor": [WORKLOAD[9]],
        "select(rental_id) on public.rental": [WORKLOAD[3], WORKLOAD[4], WORKLOAD[6]],
        "update on public.city": [],
    }


def test_words_and_the_exit_code(recorded: Recorded) -> None:
    done = recorded.run("--tier", "write", "--agent", "claude")
    assert done.exit_code == 1
    assert "13 statements ran; 1 failed and do not count; 1 were denied" in done.output
    assert "select(film_id, title, rating) on table public.film" in done.output
    assert "is a superuser: no grant bounds it" in done.output


def test_the_gate_lets_through_what_the_suggestion_covers(
    recorded: Recorded, tmp_path: Path
) -> None:
    done = recorded.run("--tier", "write", "--agent", "claude", "--toml")
    config = tmp_path / "holdpoint.toml"
    config.write_text(recorded.config.read_text() + "\n" + done.stdout)
    words = ["policy", "replay", "--config", str(config), "--agent", "claude", "--json"]
    done = CliRunner().invoke(main, [*words, "--store", str(recorded.gate.config.server.store)])
    found = orjson.loads(done.stdout)
    # Only what failed is outside: nothing is suggested for it.
    assert [each["text"] for one in found["changes"] for each in one["examples"]] == [FAILS]
    assert found["unsure"] == []


def test_suggested_planned_and_applied_nothing_is_left_to_suggest(
    recorded: Recorded, tmp_path: Path
) -> None:
    direct = recorded.gate.direct
    database = psycopg.conninfo.conninfo_to_dict(direct)
    url = f"postgresql://film_app:pw@{database['host']}:{database['port']}/{database['dbname']}"
    toml = recorded.run("--tier", "write", "--agent", "claude", "--toml").stdout
    config, script = tmp_path / "holdpoint.toml", tmp_path / "plan.sql"
    config.write_text(
        f'[targets.shop]\nenvironment = "production"\nadmin_url = "{direct}"\n'
        '[targets.shop.tiers.write]\naccess = "read-write"\nrole = "film_app"\n'
        f'url = "{url}"\n{toml}'
    )
    words = ["access", "plan", "shop", "--config", str(config), "--sql", str(script)]
    assert CliRunner().invoke(main, words).exit_code == 1
    with psycopg.connect(direct, autocommit=True) as admin:
        admin.execute(script.read_bytes())
        try:
            done = recorded.run("--tier", "write", "--agent", "claude", config=config)
            assert [refused(admin, "film_app", text) for text in WORKLOAD] == [""] * len(WORKLOAD)
        finally:
            admin.execute("DROP OWNED BY film_app; DROP ROLE film_app")
    assert done.exit_code == 0, done.output
