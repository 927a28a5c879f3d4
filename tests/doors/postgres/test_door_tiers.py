"""Which tier a connection gets, what it is told about it, and that nothing else is believed."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from door_support import SECRET, TABLES, Gate
from wire_client import RefusedError, Wire

from holdpoint.embedded import EmbeddedPostgres, clients
from holdpoint.engine.probes import options_of
from support.servers import fresh_database

# The upstream is a superuser's: whatever these tiers keep back, the gate keeps back.
TILL = r"""
[targets.till]
timezone = "Europe/Berlin"
[targets.till.tiers.all]
access = "owner"
url = "file:upstream.url"
agents = ["gpt"]
[targets.till.tiers.write]
access = "read-write"
url = "file:upstream.url"
allow = [{ agents = ["claude"], from = 2999-01-01 }, { agents = ["gpt"], until = 2998-12-31 }]
[targets.till.tiers.reports]
access = "read-only"
url = "file:upstream.url"
agents = ["cl*"]
settings = { search_path = "sales", work_mem = "7MB", "app.note" = 'it''s a \ note' }
"""
BILLS = "CREATE SCHEMA sales; CREATE TABLE sales.bills (id int PRIMARY KEY);"


@pytest.fixture(scope="module")
def till(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with a second target, whose tiers are for different agents at different times."""
    folder = tmp_path_factory.mktemp("till")
    with (
        fresh_database(postgres18, TABLES + BILLS) as name,
        Gate.at(folder, postgres18.url(database=name), more=TILL.replace("''s", "s")) as gate,
    ):
        yield gate


def connect(gate: Gate, database: str, agent: str = "claude", **more: Any) -> psycopg.Connection:
    """Sign in to any target and tier."""
    return psycopg.connect(gate.url(agent=agent), dbname=database, autocommit=True, **more)


def refusal(gate: Gate, database: str, agent: str = "claude", **more: str) -> dict[str, str]:
    """What a client is told that may not come in."""
    with pytest.raises(RefusedError) as refused:  # noqa: SIM117 - the inner one raises
        with Wire.connect(gate.port, agent, SECRET, database, **more):
            pass
    return refused.value.fields


def one(connection: psycopg.Connection, text: str) -> str:
    """The one value that a query returns."""
    row = connection.execute(text.encode()).fetchone()
    assert row is not None
    return str(row[0])


# --- which one ------------------------------------------------------------------------------------


def test_no_tier_named_is_the_least_that_the_agent_may_use(till: Gate) -> None:
    with connect(till, "till") as reports:
        assert one(reports, "SHOW holdpoint.tier") == "till/reports"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="reports"):
            reports.execute("INSERT INTO markers VALUES ('x')")
    with connect(till, "till", "gpt") as write:
        # `reports` is not for it, and `all` stands first in the file but would be more.
        assert one(write, "SHOW holdpoint.tier") == "till/write"


def test_a_tier_that_is_named(till: Gate) -> None:
    with connect(till, "till/all", "gpt") as owner:
        assert one(owner, "SHOW holdpoint.access") == "owner"


def test_a_tier_of_another_agent(till: Gate) -> None:
    since = till.length()
    fields = refusal(till, "till/all")
    assert (fields["S"], fields["C"]) == ("FATAL", "28000")
    assert fields["M"] == "agent `claude` may not use tier `all` of target `till`"
    assert fields["H"] == (
        "it may use `till/reports`; ask for it: "
        "`holdpoint task request till/all --reason ...`; a person answers"
    )
    (refused,) = [body for kind, body in till.trail(since) if kind == "session.refused"]
    assert (refused["agent"], refused["reason"]) == ("claude", fields["M"])


def test_a_closed_window_says_when_it_opens(till: Gate) -> None:
    fields = refusal(till, "till/write")
    assert fields["C"] == "28000"
    assert fields["M"] == "agent `claude` may not use tier `write` of target `till` now"
    assert "open to it from 2999-01-01 00:00 Europe/Berlin;" in fields["H"]


def test_names_that_are_no_tier(till: Gate) -> None:
    for name in ("till/ write", "till/WRITE", "till/write/all", "till/*"):
        fields = refusal(till, name)
        assert fields["C"] == "28000", name
        assert "has no tier" in fields["M"], name
    fields = refusal(till, "tills")
    assert fields["C"] == "3D000"
    assert "`shop`, `till`" in fields["H"]


# --- what it is told ------------------------------------------------------------------------------


def test_psycopg_is_told_its_tier(each_gate: Gate) -> None:
    with each_gate.connect() as connection:
        status = connection.info.parameter_status
        assert status("holdpoint.tier") == "shop/replica"
        assert status("holdpoint.access") == "read-only"
        assert status("holdpoint.task") == ""
        assert one(connection, "SHOW holdpoint.tier") == "shop/replica"
        assert one(connection, "SELECT current_setting('holdpoint.access')") == "read-only"
        assert one(connection, "SELECT current_setting('holdpoint.task')") == ""


def test_psql_is_told_its_tier(gate: Gate) -> None:
    words = [str(clients(18) / "psql"), "-XAtc", "SHOW holdpoint.tier", gate.url("write")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "shop/write\n"
    assert done.stderr == ""


def test_asyncpg_is_told_its_tier(gate: Gate) -> None:
    async def work() -> tuple[Any, str]:
        connection = await asyncpg.connect(gate.url("write"))
        try:
            told = await connection.fetchval("SHOW holdpoint.tier")
            return told, getattr(connection.get_settings(), "holdpoint.tier")
        finally:
            await connection.close()

    assert asyncio.run(work()) == ("shop/write", "shop/write")


# --- what it cannot make of it --------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        {"holdpoint.tier": "shop/owner"},
        {"HOLDPOINT.access": "owner"},
        {"options": "-c holdpoint.access=owner"},
        {"options": "--holdpoint.task=t-1"},
    ],
    ids=str,
)
def test_a_client_does_not_say_its_tier_at_the_start(gate: Gate, setting: dict[str, str]) -> None:
    fields = refusal(gate, "shop", **setting)
    assert fields["C"] == "0A000"
    assert "holdpoint" in fields["M"].lower()


@pytest.mark.parametrize(
    "text",
    [
        "SET holdpoint.tier = 'shop/owner'",
        "SET LOCAL holdpoint.access = 'owner'",
        'SET SESSION "holdpoint.access" TO owner',
        "SELECT set_config('holdpoint.access', 'owner', false)",
        "SELECT set_config('hold' || 'point.access', 'owner', false)",
    ],
)
def test_a_session_does_not_set_its_tier(gate: Gate, text: str) -> None:
    with gate.waiting(0), gate.connect("replica") as connection:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(text.encode())
        assert refused.value.sqlstate in ("HP001", "42501")
        assert one(connection, "SHOW holdpoint.access") == "read-only"


def test_what_a_session_says_of_its_tier_is_not_believed(gate: Gate) -> None:
    """A person lets it be set, and still nothing follows from it."""
    with gate.connect("replica") as connection:
        with gate.person(containing="holdpoint.access"):
            connection.execute("SET holdpoint.access = 'owner'")
        assert one(connection, "SHOW holdpoint.access") == "owner"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="tier `replica`"):
            connection.execute("INSERT INTO markers VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE made (id int)")
        connection.execute("RESET holdpoint.access")
        assert one(connection, "SHOW holdpoint.access") == "read-only"


# --- settings of a tier ---------------------------------------------------------------------------


def test_sessions_start_with_the_settings_of_their_tier(till: Gate) -> None:
    with connect(till, "till/reports") as reports:
        for _ in range(2):
            assert one(reports, "SHOW work_mem") == "7MB"
            assert one(reports, "SHOW search_path") == "sales"
            assert one(reports, "SHOW app.note") == r"its a \ note"
            reports.execute("RESET ALL")


def test_figures_and_catalog_are_read_with_the_same_settings(till: Gate) -> None:
    """Drivers take settings as one text, in which blanks and backslashes are escaped."""
    (reports,) = [tier for tier in till.config.targets[1].tiers if tier.settings]
    with psycopg.connect(till.direct, options=options_of(reports.settings)) as probe:
        for name, value in reports.settings:
            assert one(probe, f"SHOW {name}") == value


def test_names_mean_what_the_tiers_search_path_makes_of_them(till: Gate) -> None:
    till.look_again()
    with connect(till, "till/reports") as reports:
        assert one(reports, "SELECT count(*) FROM bills") == "0"
        with pytest.raises(psycopg.errors.UndefinedTable):
            reports.execute("SELECT count(*) FROM orders")


EACH_ITS_OWN = """
[targets.till]
[targets.till.tiers.write]
access = "read-write"
url = "file:{folder}/each.url"
probe_url = "file:{folder}/upstream.url"
role = "till_{{agent}}"
"""


def test_each_agent_has_a_role_of_its_own(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("each")
    with (
        fresh_database(postgres18, "CREATE TABLE orders (id int)") as name,
        psycopg.connect(postgres18.url(database=name), autocommit=True) as admin,
    ):
        admin.execute("CREATE ROLE till_claude LOGIN PASSWORD 'pw'")
        try:
            admin.execute("GRANT SELECT ON orders TO till_claude")
            each = postgres18.url("till_{agent}", "pw", name)
            (folder / "each.url").write_text(each.replace("%7Bagent%7D", "{agent}"))
            more = EACH_ITS_OWN.format(folder=folder)
            with Gate.at(folder, postgres18.url(database=name), more=more) as gate:
                with gate.connect(agent="claude", dbname="till") as connection:
                    rows = connection.execute("SELECT current_user, count(*) FROM orders")
                    assert rows.fetchall() == [("till_claude", 0)]
                with pytest.raises(psycopg.OperationalError, match="till_gpt"):
                    gate.connect(agent="gpt", dbname="till")
        finally:
            admin.execute("DROP OWNED BY till_claude; DROP ROLE till_claude")
