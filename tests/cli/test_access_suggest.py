"""``holdpoint access suggest``: what it says, and what it does with odd trails and names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from click.testing import CliRunner, Result
from trail_maker import NOW_US, SECOND_US, Trail, config_at

from holdpoint.cli import main
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, status text);
CREATE SCHEMA side;
CREATE TABLE side.notes (id int PRIMARY KEY, body text);
CREATE TABLE lines (id serial, v int);
CREATE TABLE "Odd.name" ("a, b" int);
CREATE FUNCTION unseen(what text) RETURNS void LANGUAGE plpgsql
    AS $$ BEGIN EXECUTE 'DELETE FROM ' || what; END $$;
"""


class Suggesting:
    """A trail, and the database that it is about."""

    def __init__(self, trail: Trail, url: str) -> None:
        self.trail = trail
        self.url = url

    def run(self, *arguments: str, more: str = "", target: str = "shop") -> Result:
        """The command's result."""
        config = config_at(self.trail.path.parent, self.url, more)
        words = ["access", "suggest", target, "--since", "2000-01-01", "--config", str(config)]
        return CliRunner().invoke(main, [*words, "--store", str(self.trail.path), *arguments])

    def tier(self, code: int = 1, *arguments: str, more: str = "") -> dict[str, Any]:
        """What the command says of the one tier."""
        done = self.run("--json", *arguments, more=more)
        assert done.exit_code == code, done.output
        document = orjson.loads(done.stdout)
        [found] = document["tiers"]
        return {**found, "notes": document["notes"]}


@pytest.fixture(scope="module")
def url(postgres18: EmbeddedPostgres) -> Iterator[str]:
    """A database with a few tables."""
    with fresh_database(postgres18, TABLES) as name:
        yield postgres18.url(database=name)


@pytest.fixture
def suggesting(tmp_path: Path, url: str) -> Suggesting:
    return Suggesting(Trail(tmp_path / "trail.db"), url)


def _grants(tier: dict[str, Any]) -> dict[str, list[str]]:
    return {
        f"{each['schema']}.{each['name']}:{each['privilege']}": each["columns"]
        for each in tier["grants"]
    }


def test_an_empty_trail_suggests_nothing(suggesting: Suggesting) -> None:
    tier = suggesting.tier(0)
    assert (tier["grants"], tier["drops"]) == ([], [])
    assert tier["toml"] == "[targets.shop.tiers.write.grants]\n"


def test_exit_code_0_when_the_configuration_is_the_least(suggesting: Suggesting) -> None:
    suggesting.trail.ran("UPDATE orders SET status = 'x' WHERE id = 1")
    least = 'grants = { "orders" = ["select(id)", "update(status)"] }\n'
    assert suggesting.tier(0, more=least)["drops"] == []
    wider = 'grants = { "orders" = ["select(id)", "update"], "side.*" = ["select"] }\n'
    drops = suggesting.tier(1, more=wider)["drops"]
    assert [(each["name"], each["privilege"], each["used"]) for each in drops] == [
        ("orders", "update", ["status"]),
        ("*", "select", []),
    ]


def test_what_a_session_has_set_and_made(suggesting: Suggesting) -> None:
    for text in (
        "SELECT id FROM orders",
        "SET search_path = side",
        "SELECT body FROM notes",
        "CREATE TEMP TABLE scratch (id int)",
        "SELECT id FROM scratch",
        "RESET search_path",
        "SELECT status FROM orders",
    ):
        suggesting.trail.ran(text)
    tier = suggesting.tier()
    assert _grants(tier) == {
        "public.orders:select": [],
        "side.notes:select": ["body"],
        "side.side:usage": [],
    }
    assert tier["doubts"] == []


def test_a_path_set_in_the_same_message(suggesting: Suggesting) -> None:
    suggesting.trail.ran("SET LOCAL search_path = side; SELECT body FROM notes")
    assert _grants(suggesting.tier()) == {
        "side.notes:select": ["body"],
        "side.side:usage": [],
    }


def test_what_was_prepared_counts_where_it_was(suggesting: Suggesting) -> None:
    suggesting.trail.ran("PREPARE p AS SELECT id FROM orders")
    suggesting.trail.ran("EXECUTE p")
    assert _grants(suggesting.tier()) == {"public.orders:select": ["id"]}
    assert suggesting.tier()["doubts"] == []
    suggesting.trail.ran("EXECUTE q")
    [doubt] = suggesting.tier()["doubts"]
    assert doubt["words"] == "not sure: `EXECUTE q` of a statement that was prepared before"


def test_sessions_that_began_before_the_period(suggesting: Suggesting) -> None:
    suggesting.trail.ran("SET search_path = side")
    suggesting.trail.at_us += 3600 * SECOND_US
    suggesting.trail.ran("SELECT body FROM side.notes")
    begun = (NOW_US + 1000 * SECOND_US) // SECOND_US
    since = f"{datetime.fromtimestamp(begun, UTC):%Y-%m-%dT%H:%M:%S}"
    [note] = suggesting.tier(1, "--since", since)["notes"]
    assert note.startswith("1 statement ran in sessions that began before")
    assert suggesting.tier()["notes"] == []


def test_a_table_that_is_gone_is_left_out_and_said(suggesting: Suggesting) -> None:
    number = suggesting.trail.ran("SELECT id FROM dropped_since")
    suggesting.trail.ran("SELECT id FROM orders")
    tier = suggesting.tier()
    assert _grants(tier) == {"public.orders:select": ["id"]}
    [doubt] = tier["doubts"]
    assert "`dropped_since` is not there any more" in doubt["words"]
    assert doubt["evidence"]["examples"][0]["record"] == number


def test_what_cannot_be_told_is_said(suggesting: Suggesting) -> None:
    suggesting.trail.ran("SELECT unseen('orders')")
    suggesting.trail.ran("VACUUM orders")
    suggesting.trail.ran("SELECT rolpassword FROM pg_authid")
    words = " / ".join(each["words"] for each in suggesting.tier(0)["doubts"])
    assert "builds SQL while it runs" in words
    assert "needs the ownership" in words
    assert "the server keeps `pg_authid` from PUBLIC" in words


def test_odd_names_come_back_from_toml(suggesting: Suggesting) -> None:
    suggesting.trail.ran('SELECT 1 FROM "Odd.name" WHERE "a, b" = 1')
    suggesting.trail.ran('INSERT INTO "Odd.name" ("a, b") VALUES (1)')
    toml = suggesting.run("--toml").stdout
    assert suggesting.tier(0, more=toml)["drops"] == []


def test_broken_and_disordered_trails_are_told(suggesting: Suggesting) -> None:
    number = suggesting.trail.ran("SELECT id FROM orders")
    suggesting.trail.at_us -= 100 * SECOND_US
    suggesting.trail.ran("SELECT status FROM orders")
    suggesting.trail.spoil(number, "SELECT id", "SELECT *")
    tier = suggesting.tier(5)
    assert f"the trail is broken at record {number}" in tier["notes"][0]
    assert "the clock was set back once" in tier["notes"][1]


def test_statements_of_a_tier_that_is_gone_are_counted(suggesting: Suggesting) -> None:
    suggesting.trail.ran("SELECT id FROM orders", tier="admin")
    tier = suggesting.tier(0)
    assert tier["grants"] == []
    assert tier["notes"] == [
        "1 statement ran in tier `admin`, which the configuration has not: left out"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tier", "wirte"], "has no tier `wirte`"),
        (["--since", "soon"], "neither a time nor a span"),
        (["--without", "orders"], "names no table and privilege"),
        (["--without", "orders:fly"], "names no table and privilege"),
        (["--without", "orders:delete(id)"], "names no single column"),
        (["--from", "/nowhere/server.log"], "there is no log"),
        (["--from", "pg_stat_statements"], "is not installed in this database"),
    ],
)
def test_bad_arguments(suggesting: Suggesting, arguments: list[str], words: str) -> None:
    done = suggesting.run(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.output


def test_an_unknown_target_and_agent(suggesting: Suggesting) -> None:
    done = suggesting.run(target="shpo")
    assert (done.exit_code, "there is no target `shpo`" in done.output) == (2, True)
    suggesting.trail.ran("SELECT id FROM orders")
    tier = suggesting.tier(0, "--agent", "robbin")
    assert tier["notes"] == [
        "the trail shows nothing of agent `robbin` on `shop`; did you mean `robin`?"
    ]


def test_a_database_that_is_away(suggesting: Suggesting) -> None:
    suggesting.trail.ran("SELECT id FROM orders")
    suggesting.url = "postgresql://nobody@127.0.0.1:1/none"
    done = suggesting.run()
    assert done.exit_code == 4
    assert "cannot ask the database of tier `write`" in done.output


def test_what_everybody_holds_is_told_apart(suggesting: Suggesting, url: str) -> None:
    suggesting.trail.ran("SELECT id FROM orders")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE narrow; GRANT SELECT ON side.notes TO PUBLIC")
        try:
            drops = suggesting.tier(1, more='role = "narrow"\n')["drops"]
        finally:
            admin.execute("REVOKE SELECT ON side.notes FROM PUBLIC; DROP ROLE narrow")
    assert [(each["name"], each["holder"], each["why"]) for each in drops] == [
        ("notes", "narrow", "PUBLIC holds it: a REVOKE from the role does nothing")
    ]


def test_what_access_plan_gives_with_insert_is_no_surplus(suggesting: Suggesting, url: str) -> None:
    suggesting.trail.ran("INSERT INTO lines (id, v) VALUES (1, 1)")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE narrow; GRANT INSERT ON lines TO narrow")
        admin.execute("GRANT USAGE ON SEQUENCE lines_id_seq TO narrow")
        least = 'role = "narrow"\ngrants = { "lines" = ["insert"] }\n'
        try:
            assert suggesting.tier(0, more=least)["drops"] == []
            admin.execute("GRANT UPDATE ON SEQUENCE lines_id_seq TO narrow")
            [drop] = suggesting.tier(1, more=least)["drops"]
        finally:
            admin.execute("DROP OWNED BY narrow; DROP ROLE narrow")
    assert (drop["kind"], drop["privilege"]) == ("sequence", "update")


def test_no_name_of_an_agent_gets_out_of_its_line(suggesting: Suggesting) -> None:
    name = 'gone\n"orders" = ["delete"]\x1b[2J'
    suggesting.trail.ran(f"SELECT 1 FROM {chr(34)}{name.replace(chr(34), chr(34) * 2)}{chr(34)}")
    toml = suggesting.run("--toml").stdout
    assert tomllib.loads(toml) == {"targets": {"shop": {"tiers": {"write": {"grants": {}}}}}}
    assert "\x1b" not in toml + suggesting.run().stdout
    assert not any(line.startswith('"orders"') for line in suggesting.run().stdout.splitlines())


LOG = """\
2030-05-01 12:00:00.000 UTC [7] app@{database} LOG:  statement: SELECT status
\tFROM orders WHERE id = 1
2030-05-01 12:00:01.000 UTC [7] app@{database} LOG:  execute s1: DELETE FROM orders WHERE id = $1
2030-05-01 12:00:02.000 UTC [7] app@{database} LOG:  statement: UPDATE orders SET id = 1
2030-05-01 12:00:02.001 UTC [7] app@{database} ERROR:  permission denied for table orders
2030-05-01 12:00:02.001 UTC [7] app@{database} STATEMENT:  UPDATE orders SET id = 1
2030-05-01 12:00:03.000 UTC [9] boss@{database} LOG:  statement: TRUNCATE orders
2030-05-01 12:00:04.000 UTC [7] app@elsewhere LOG:  statement: SELECT body FROM side.notes
garbage
"""


def test_from_a_log(suggesting: Suggesting, url: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(LOG.format(database=psycopg.conninfo.conninfo_to_dict(url)["dbname"]))
    where = ("--from", str(log), "--tier", "write", "--role", "app")
    tier = suggesting.tier(1, *where, "--log-prefix", "%m [%p] %u@%d ")
    assert _grants(tier) == {"public.orders:select": [], "public.orders:delete": []}
    assert tier["statements"] == {"ran": 2, "failed": 1, "denied": 0, "open": 0}
    assert [note.partition(" of `")[0] for note in tier["notes"]] == [
        "1 line",
        "1 entry",
        "1 entry",
    ]
    # The server's own log_line_prefix is another: nothing of this log can be read with it.
    tier = suggesting.tier(0, *where)
    assert tier["grants"] == []
    assert "lines of `server.log` cannot be read" in tier["notes"][0]
