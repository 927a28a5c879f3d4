"""``holdpoint access apply`` through a real gate: held once, approved as a whole, done or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from click.testing import Result as Ended
from door_support import AGENTS, SECRET, Gate, eventually

from holdpoint.access.plan.apply import Applied, Notice, Result, send
from holdpoint.cli.access import access
from holdpoint.cli.access_plan import plan_of
from holdpoint.config import load
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.hold import Answer, HoldState
from support.servers import fresh_database

PASSWORD = "only-in-the-url"

CONFIGURATION = """
[server]
listen = "127.0.0.1:0"
web = "127.0.0.1:0"
[holds]
wait = "20s"
[targets.shop]
environment = "staging"
admin_url = "{admin}"
[targets.shop.tiers.read]
access = "read-only"
url = "{read}"
replica = false
role = "{role}"
grants = {{ "orders" = ["select"], "users" = ["select(id)"] }}
[targets.shop.tiers.owner]
access = "owner"
url = "{admin}"
agents = "claude"
"""

SCHEMA = """
CREATE TABLE orders (id serial PRIMARY KEY, status text);
CREATE TABLE users (id int, secret text);
"""


class Shop:
    """A gate before a database whose owner may make roles; commands as a person types them."""

    def __init__(self, gate: Gate, file: Path, name: str) -> None:
        self.gate = gate
        self.file = file
        self.name = name
        self.rights = f"{name}_rights"
        self.reader = f"{name}_reader"

    def run(self, *arguments: str, secret: str = SECRET, gate: str = "") -> Ended:
        """Run a command to its end."""
        where = ["--config", str(self.file)]
        if arguments[0] == "apply":
            where += ["--gate", gate or f"127.0.0.1:{self.gate.port}", "--agent", AGENTS[0]]
        return CliRunner(env={"HOLDPOINT_SECRET": secret}).invoke(access, [*arguments, *where])

    def roles(self) -> list[str]:
        """Which of the plan's roles there are."""
        with self.direct() as connection:
            rows = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1",
                [[self.rights, self.reader]],
            ).fetchall()
        return [name for (name,) in rows]

    def direct(self) -> psycopg.Connection[Any]:
        """A superuser's connection, past the gate."""
        return psycopg.connect(self.gate.direct, autocommit=True)

    def send(self, tick: Callable[[float], None], told: Callable[[Notice], None]) -> Applied:
        """Send the plan as the command does."""
        config = load(self.file)
        plan = plan_of(config, config.targets[0], (), mend=False, adopt=False)
        with self.gate.connect("owner") as connection:
            return send(connection, plan.sql, plan.steps, told=told, tick=tick)


@pytest.fixture(scope="module")
def opened(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with fresh_database(postgres18) as name:
        direct = postgres18.url(database=name)
        owner = f"{name}_owner"
        with psycopg.connect(direct, autocommit=True) as root:
            root.execute(
                f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'pw';"
                f"ALTER DATABASE {name} OWNER TO {owner}".encode()
            )
        admin = postgres18.url(user=owner, password="pw", database=name)
        read = postgres18.url(user=f"{name}_reader", password=PASSWORD, database=name)
        file = tmp_path_factory.mktemp("apply") / "holdpoint.toml"
        file.write_text(CONFIGURATION.format(admin=admin, read=read, role=f"{name}_rights"))
        with Gate.of(file, direct) as gate:
            yield Shop(gate, file, name)
        with psycopg.connect(direct, autocommit=True) as root:
            root.execute(f"REASSIGN OWNED BY {owner} TO postgres; DROP OWNED BY {owner}".encode())
            root.execute(f"DROP ROLE {owner}".encode())


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    """Fresh tables and none of the plan's roles; afterwards the trail must be whole."""
    with opened.direct() as root:
        root.execute(f"DROP TABLE IF EXISTS orders, users; SET ROLE {opened.name}_owner".encode())
        root.execute(SCHEMA.encode())
    opened.gate.look_again("owner")
    since = opened.gate.length()
    yield opened
    opened.gate.check_trail(since)
    with opened.direct() as root:
        for role in opened.roles():
            root.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_it_is_held_once_and_done_as_a_whole(shop: Shop):
    planned = shop.run("plan", "shop")
    assert planned.exit_code == 1
    since = shop.gate.length()
    with shop.gate.person() as seen:
        done = shop.run("apply", "shop")
    assert (done.exit_code, shop.roles()) == (0, [shop.reader, shop.rights]), done.output
    assert "held for approval" in done.stderr
    assert f"/h/{seen[0].id}" in done.stderr
    assert "done, in one transaction" in done.output
    assert "nothing to do" in done.output
    text = json.loads(seen[0].case_json)["text"]
    assert f"GRANT SELECT (id) ON TABLE public.users TO {shop.rights};" in text
    kinds = [kind for kind, _ in shop.gate.trail(since)]
    assert (kinds.count("statement.held"), kinds.count("statement.started")) == (1, 1)
    assert shop.run("apply", "shop").exit_code == 0, "there is nothing left to hold"


def test_no_verifier_is_shown_to_anybody(shop: Shop):
    with shop.gate.person() as seen:
        done = shop.run("apply", "shop")
    everything = [done.output, seen[0].case_json, *map(repr, shop.gate.trail())]
    assert not [text for text in everything if "SCRAM-SHA-256$" in text or PASSWORD in text]
    with psycopg.connect(load(shop.file).targets[0].tiers[0].url_source) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_a_ticket_is_used_by_the_same_command(shop: Shop):
    with shop.gate.waiting(0):
        held = shop.run("apply", "shop")
        assert held.exit_code == 1
        assert "run the same command again when it is approved" in held.stderr
        assert shop.roles() == []
        hold = shop.gate.opened("CREATE ROLE")
        assert hold.id in held.stderr
        again = shop.run("apply", "shop", "--json")
        assert json.loads(again.stdout)["result"] == "held"
        assert [each.id for each in shop.gate.holds(HoldState.OPEN)] == [hold.id]
        shop.gate.answer(hold)
        done = shop.run("apply", "shop", "--json")
    assert (done.exit_code, json.loads(done.stdout)["result"]) == (0, "done")
    assert json.loads(done.stdout)["left"]["settled"] is True


def test_a_rejection_does_nothing(shop: Shop):
    with shop.gate.person(Answer.REJECT, note="not on a Friday"):
        done = shop.run("apply", "shop")
    assert (done.exit_code, shop.roles()) == (1, [])
    assert "not on a Friday" in done.stderr
    assert "rejected; nothing was done" in done.stderr


def test_a_table_dropped_meanwhile_undoes_everything(shop: Shop):
    with shop.gate.waiting(0):
        shop.run("apply", "shop")
        hold = shop.gate.opened("CREATE ROLE")
        shop.gate.answer(hold)
        config = load(shop.file)
        plan = plan_of(config, config.targets[0], (), mend=False, adopt=False)
        with shop.direct() as root:
            root.execute("DROP TABLE users")
        with shop.gate.connect("owner") as connection:
            applied = send(connection, plan.sql, plan.steps, told=print, tick=print)
    assert applied.result in (Result.STALE, Result.SUPERSEDED)
    assert shop.roles() == []
    said = shop.run("apply", "shop")
    assert (said.exit_code, "table `public.users` does not exist" in said.stdout) == (1, True)


def test_an_error_half_way_names_its_statement(shop: Shop):
    """A role that somebody made while people were thinking: the statement before it is undone."""

    def made(_: Notice) -> None:
        with shop.direct() as root:
            root.execute(f"CREATE ROLE {shop.reader}".encode())
        shop.gate.answer(shop.gate.opened("CREATE ROLE"))

    applied = shop.send(lambda _: None, made)
    assert applied.result is Result.STALE
    assert applied.failed is not None
    assert applied.failed.sql.startswith(f"CREATE ROLE {shop.reader} LOGIN")
    assert shop.roles() == [shop.reader], "the role that came first is not there"


def test_a_connection_killed_in_the_middle_leaves_nothing(shop: Shop):
    """Another transaction holds what one of the later statements waits for."""
    with shop.direct() as root, shop.direct() as watch:
        root.execute("BEGIN")
        root.execute("GRANT SELECT ON orders TO pg_monitor")

        def in_the_middle() -> int:
            row = watch.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
                " AND query LIKE '%%CREATE ROLE%%'",
                [shop.name],
            ).fetchone()
            return row[0] if row else 0

        def kill() -> None:
            shop.gate.answer(shop.gate.opened("CREATE ROLE"))
            pid = eventually(in_the_middle, "a statement that waits")
            watch.execute("SELECT pg_terminate_backend(%s)", [pid])

        thread = threading.Thread(target=kill)
        thread.start()
        done = shop.run("apply", "shop")
        thread.join()
        root.execute("ROLLBACK")
    assert (done.exit_code, shop.roles()) == (1, [])
    assert "all of it was done or nothing" in done.stderr or "nothing was done" in done.stderr


def test_an_interrupt_ends_the_hold(shop: Shop):
    """As Ctrl-C does while the command shows that it waits."""

    def interrupt(_: float) -> None:
        if shop.gate.holds(HoldState.OPEN):
            raise KeyboardInterrupt

    applied = shop.send(interrupt, lambda _: None)
    assert applied.result is Result.CANCELLED
    assert shop.roles() == []
    assert shop.gate.holds()[0].state is HoldState.CANCELLED


def test_what_stands_in_the_way_is_told_before_anything_is_sent(shop: Shop, tmp_path: Path):
    nobody = shop.run("apply", "shop", secret="")
    assert (nobody.exit_code, "`HOLDPOINT_SECRET` is not set" in nobody.stderr) == (2, True)
    stranger = shop.run("apply", "shop", secret="wrong")
    assert (stranger.exit_code, "does not let `claude` into" in stranger.stderr) == (4, True)
    nowhere = shop.run("apply", "shop", gate="127.0.0.1:1")
    assert (nowhere.exit_code, "holdpoint serve" in nowhere.stderr) == (4, True)
    unknown = shop.run("apply", "shop", "--through", "nothing")
    assert (unknown.exit_code, "has no tier `nothing`" in unknown.stderr) == (2, True)
    assert not shop.gate.holds(HoldState.OPEN)


def test_a_tier_that_leads_elsewhere_is_refused(shop: Shop, tmp_path: Path):
    other = shop.file.read_text().replace(
        f'admin_url = "postgresql://{shop.name}_owner:pw@',
        (f'admin_url = "{shop.gate.direct.rsplit("@", 1)[0]}@'),
    )
    file = tmp_path / "holdpoint.toml"
    file.write_text(other)
    elsewhere = Shop(shop.gate, file, shop.name).run("apply", "shop")
    assert elsewhere.exit_code == 3
    assert f"leads to `{shop.name}_owner` in `{shop.name}`" in elsewhere.stderr
    assert not shop.gate.holds(HoldState.OPEN)
