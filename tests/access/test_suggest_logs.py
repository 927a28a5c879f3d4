"""Statements out of a server's log in each of its forms, and out of pg_stat_statements."""

from __future__ import annotations

import gzip
from pathlib import Path

import psycopg
import pytest
from suggest_support import eventually

from holdpoint.access.history import Ending, Said
from holdpoint.access.suggest.log_formats import BadLog, entries_of, pattern_of
from holdpoint.access.suggest.look import connected
from holdpoint.access.suggest.server_logs import LogFlaws, LogReader, moment_us
from holdpoint.access.suggest.statistics import HIDDEN, NotThere, Statistics
from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

PREFIX = "%m [%p] %q%u@%d "
LINES = "SELECT id\n  FROM t -- of three lines,\n\t WHERE true -- with a tab"
QUOTED = """SELECT '"a", b' AS "odd, ""name"" \u00e4" FROM t"""
TABLES = """
CREATE TABLE t (id int, name text);
CREATE ROLE app LOGIN PASSWORD 'app';
GRANT SELECT ON t TO app;
"""


FILES = {"stderr": "server.log", "csvlog": "server.csv", "jsonlog": "server.json"}
SETTINGS = {
    "logging_collector": "on",
    "log_destination": "stderr,csvlog,jsonlog",
    "log_directory": "log",
    "log_filename": "server.log",
    "log_rotation_age": "0",
    "log_statement": "all",
    "log_line_prefix": PREFIX,
    "log_timezone": "UTC",
}
END = "SELECT 'this is the end'"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same statements in all three forms, by the form's name."""
    folder = tmp_path_factory.mktemp("logs")
    with EmbeddedPostgres(18, durable=False, settings=SETTINGS) as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(TABLES.encode())
            with psycopg.connect(server.url("app", "app"), autocommit=True) as app:
                _work(app)
            [[data]] = admin.execute("SHOW data_directory")
            admin.execute(END.encode())
        for name in FILES.values():  # the collector writes when it gets to it
            log = Path(data) / "log" / name
            eventually(lambda log=log: END in log.read_text(), f"the end of `{name}`")
            (folder / name).write_bytes(log.read_bytes())
    return {form: folder / name for form, name in FILES.items()}


def _work(app: psycopg.Connection) -> None:
    """What the application does."""
    app.execute("SELECT count(*) FROM t")
    app.execute(LINES.encode())
    app.execute("SELECT name FROM t WHERE id = %s", (7,))
    app.execute(QUOTED.encode())
    with pytest.raises(psycopg.Error):
        app.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.Error):
        app.execute("SELECT nothing FROM t WHERE id = %s", (7,))
    with app.transaction():
        app.execute("SELECT 1 FROM t")


def _read(path: Path, prefix: str = PREFIX, **only: str) -> tuple[list[Said], LogFlaws]:
    flaws = LogFlaws()
    reader = LogReader(flaws, **only)
    return list(reader.read(entries_of(path, prefix, flaws))), flaws


@pytest.mark.parametrize("form", ["stderr", "csvlog", "jsonlog"])
def test_each_form_tells_the_same(logs: dict[str, Path], form: str) -> None:
    found, flaws = _read(logs[form], role="app")
    assert [(said.text, said.ending) for said in found] == [
        ("SELECT count(*) FROM t", Ending.RAN),
        (LINES, Ending.RAN),
        ("SELECT name FROM t WHERE id = $1", Ending.RAN),
        (QUOTED, Ending.RAN),
        ("INSERT INTO t VALUES (1)", Ending.FAILED),
        ("SELECT nothing FROM t WHERE id = $1", Ending.FAILED),
        ("BEGIN", Ending.RAN),
        ("SELECT 1 FROM t", Ending.RAN),
        ("COMMIT", Ending.RAN),
    ]
    assert {(said.role, bool(said.at_us), bool(said.session)) for said in found} == {
        ("app", True, True)
    }
    assert flaws.unreadable == 0
    assert flaws.other_roles > 0


def test_a_log_may_be_compressed(logs: dict[str, Path], tmp_path: Path) -> None:
    packed = tmp_path / "server.csv.gz"
    packed.write_bytes(gzip.compress(logs["csvlog"].read_bytes()))
    assert _read(packed, role="app")[0] == _read(logs["csvlog"], role="app")[0]
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(gzip.compress(logs["jsonlog"].read_bytes())[:-40])
    with pytest.raises(BadLog, match="is not whole"):
        _read(cut)


@pytest.mark.parametrize("form", ["stderr", "csvlog", "jsonlog"])
def test_what_cannot_be_read_is_counted_and_named(
    logs: dict[str, Path], tmp_path: Path, form: str
) -> None:
    lines = logs[form].read_bytes().splitlines(keepends=True)
    whole = _read(logs[form], role="app")[0]
    spoiled = tmp_path / logs[form].name
    spoiled.write_bytes(b"".join([lines[0], b"what is this\n", *lines[1:]]))
    found, flaws = _read(spoiled, role="app")
    assert found == whole
    assert (flaws.unreadable, flaws.places) == (1, [f"{spoiled.name}:2"])


def test_another_prefix_reads_nothing_rather_than_something(logs: dict[str, Path]) -> None:
    found, flaws = _read(logs["stderr"], "%t %u ", role="app")
    assert found == []
    assert flaws.unreadable > 9


def test_without_the_role_in_the_prefix_nothing_is_taken_for_a_role(
    logs: dict[str, Path],
) -> None:
    found, flaws = _read(logs["stderr"], "%m [%p] %q", role="app")
    assert found == []
    assert flaws.no_role + flaws.unreadable > 0


DURATION = """\
2030-05-01 12:00:00.000 UTC [7] app@shop LOG:  duration: 0.5 ms  parse <unnamed>: SELECT 1
2030-05-01 12:00:00.100 UTC [7] app@shop LOG:  duration: 0.1 ms  bind <unnamed>: SELECT 1
2030-05-01 12:00:00.200 UTC [7] app@shop LOG:  duration: 1.2 ms  execute <unnamed>: SELECT 1
2030-05-01 12:00:00.250 UTC [7] app@shop DETAIL:  Parameters: $1 = 'x'
2030-05-01 12:00:00.300 UTC [7] app@shop LOG:  execute fetch from a/b: SELECT 2
2030-05-01 12:00:01.000 UTC [7] app@shop LOG:  statement: SELECT 3
2030-05-01 12:00:01.100 UTC [7] app@shop LOG:  duration: 9.5 ms
2030-05-01 12:00:02.000 UTC [8] LOG:  checkpoint starting: time
2030-05-01 12:00:03.000 UTC [7] app@shop LOG:  statement: SELECT 4
"""


def test_durations_and_steps_of_the_protocol(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text(DURATION)
    found, flaws = _read(path)
    assert [said.text for said in found] == ["SELECT 1", "SELECT 3", "SELECT 4"]
    assert flaws.unreadable == 0


def test_prefixes() -> None:
    line = "1893499200.5 6f00.1 shop/app 00000 3 LOG:  statement: SELECT 1"
    found = pattern_of("%n %c %d/%u %e %l ").match(line)
    assert found is not None
    assert (found["session"], found["user"], found["database"]) == ("6f00.1", "app", "shop")
    with pytest.raises(BadLog, match="`%z`"):
        pattern_of("%z ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2030-05-01 12:00:00.5 UTC", 1903867200.5),
        ("2030-05-01 12:00:00 +02", 1903860000),
        ("2030-05-01 12:00:00 CEST", 0),
        ("yesterday", 0),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment_us(text) == int(seconds * 1_000_000)


SHAPE = """
CREATE SCHEMA stats;
CREATE TABLE stats.pg_stat_statements (
    userid oid, dbid oid, toplevel boolean, query text, calls bigint);
INSERT INTO stats.pg_stat_statements
    SELECT r.oid, d.oid, v.top, v.query, v.calls
      FROM pg_roles AS r, pg_database AS d,
           (VALUES (true, 'SELECT id FROM t WHERE id = $1', 41),
                   (false, 'SELECT inside()', 3),
                   (true, '<insufficient privilege>', 5)) AS v (top, query, calls)
     WHERE r.rolname = current_user AND d.datname = current_database();
INSERT INTO stats.pg_stat_statements SELECT 0, 0, true, 'SELECT 1 -- of another database', 9;
"""


@pytest.mark.anyio
async def test_statistics(postgres18: EmbeddedPostgres) -> None:
    with fresh_database(postgres18, SHAPE) as name:
        url = parse_url(postgres18.url(database=name))
        async with connected(url) as connection:
            statistics = Statistics()
            found = await statistics.read(connection, "stats")
            assert [(said.text, said.ending, count) for said, count in found] == [
                ("SELECT id FROM t WHERE id = $1", Ending.RAN, 41)
            ]
            assert statistics.hidden == 1
            assert await Statistics(role="nobody").read(connection, "stats") == []
            # A table of that name is not the extension's: nobody can plant statistics.
            with pytest.raises(NotThere, match="CREATE EXTENSION"):
                await Statistics().read(connection)
    assert HIDDEN in SHAPE
