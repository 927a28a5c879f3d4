"""``holdpoint access verify``: words, JSON, exit codes, and silence for cron."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.access import access
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE orders (id int PRIMARY KEY, status text);
CREATE TABLE users (id int PRIMARY KEY, email text);
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
"""
ROLES = ("verify_reader", "verify_writer")


@pytest.fixture(scope="module")
def url(postgres18: EmbeddedPostgres) -> Iterator[str]:
    """A database with two roles; what a URL needs before its user stands in it as ``ROLE``."""
    with (
        fresh_database(postgres18, SCRIPT) as name,
        psycopg.connect(postgres18.url(database=name), autocommit=True) as root,
    ):
        root.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC".encode())
        for role in ROLES:
            root.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw' CONNECTION LIMIT 50".encode())
            root.execute(f"GRANT SELECT ON orders TO {role}".encode())
        root.execute("GRANT INSERT ON orders TO verify_writer")
        yield postgres18.url("ROLE", "pw", name)
        for role in ROLES:
            root.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def write(folder: Path, url: str, *, more: str = "") -> Path:
    """A configuration with a tier that reads and one that writes ``orders``."""
    for role in ROLES:
        (folder / role).write_text(url.replace("ROLE", role))
    path = folder / "holdpoint.toml"
    path.write_text(
        "[targets.shop]\n"
        '[targets.shop.tiers.read]\naccess = "read-only"\nurl = "file:verify_reader"\n'
        '[targets.shop.tiers.write]\naccess = "read-write"\nurl = "file:verify_writer"\n'
        'role = "verify_writer"\n'
        'grants = { orders = ["select", "insert"] }\n' + more
    )
    return path


def run(path: Path, *words: str) -> Result:
    command = ["verify", "--config", str(path), *words]
    return CliRunner().invoke(access, command, catch_exceptions=False)


def planted(url: str, statement: str) -> None:
    """Do something by hand, in the role of nobody in particular."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def root(url: str, postgres18: EmbeddedPostgres) -> str:
    """The superuser's URL of the database."""
    return postgres18.url(database=url.rpartition("/")[2])


def test_all_is_as_configured(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, url)
    done = run(path)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("shop/read  read-only  `verify_reader`: as configured, tried ")
    assert lines[-1] == "ok: 2 tiers, 2 roles, as the configuration says"
    assert run(path, "--quiet").output == ""
    assert "tried" not in run(path, "--no-try", "--tier", "write").output


def test_drift_is_told_with_its_source_and_its_mend(tmp_path: Path, url: str, root: str) -> None:
    path = write(tmp_path, url)
    planted(root, "GRANT DELETE ON users TO PUBLIC")
    try:
        done = run(path, "--quiet")
        assert done.exit_code == 1
        assert done.output == run(path, "--quiet").output
        assert (
            "  surplus: `verify_writer`, table `public.users`\n"
            "    the role has DELETE on `public.users`, and the tier does not give it\n"
            "    from: granted to PUBLIC: to everybody\n"
            "    tried: the database took it\n"
            "    mend: REVOKE DELETE ON TABLE public.users FROM PUBLIC;\n"
        ) in done.output
        assert done.output.splitlines()[-1] == "drift: 2 differences in 2 of 2 tiers"
        document = json.loads(run(path, "--json", "--tier", "read").stdout)
    finally:
        planted(root, "REVOKE DELETE ON users FROM PUBLIC")
    assert document["ok"] is False
    assert document["summary"] == "drift: 1 difference in 1 of 1 tier"
    (tier,) = document["tiers"]
    assert (tier["tier"], tier["roles"], tier["drifted"]) == ("read", ["verify_reader"], 1)
    assert tier["drift"][0]["mend"] == ["REVOKE DELETE ON TABLE public.users FROM PUBLIC;"]
    assert tier["tried"]["of_tables"] == 2


def test_names_cannot_paint_the_terminal(tmp_path: Path, url: str, root: str) -> None:
    planted(root, 'CREATE TABLE "a\x1b[31m\nb" (id int); GRANT DELETE ON "a\x1b[31m\nb" TO PUBLIC')
    try:
        done = run(write(tmp_path, url), "--tier", "read")
        document = run(write(tmp_path, url), "--tier", "read", "--json").stdout
    finally:
        planted(root, 'DROP TABLE "a\x1b[31m\nb"')
    assert done.exit_code == 1
    assert "\x1b" not in done.output + document
    assert "table `public.a?[31m?b`" in done.output
    (drift,) = json.loads(document)["tiers"][0]["drift"][:1]
    assert drift["mend"] == ['REVOKE DELETE ON TABLE public."a\x1b[31m\nb" FROM PUBLIC;']


DOWN = (
    '[targets.shop.tiers.away]\naccess = "read-only"\n'
    'url = "postgresql://nobody@127.0.0.1:1/nowhere"\n'
)


def test_a_server_that_is_down(tmp_path: Path, url: str, root: str) -> None:
    path = write(tmp_path, url, more=DOWN)
    done = run(path, "--quiet")
    assert done.exit_code == 4
    assert "not verified: cannot connect to 127.0.0.1:1/nowhere as `nobody`" in done.output
    assert "shop/read" not in done.output
    last = "no drift seen in 3 tiers, 2 roles; 1 tier not wholly verified"
    assert done.output.splitlines()[-1] == last
    planted(root, "GRANT DELETE ON users TO verify_reader")
    try:
        assert run(path).exit_code == 1  # drift counts more than what could not be seen
    finally:
        planted(root, "REVOKE DELETE ON users FROM verify_reader")


def test_names_that_are_not_there(tmp_path: Path, url: str) -> None:
    path = write(tmp_path, url)
    done = run(path, "shoop")
    assert done.exit_code == 2
    assert "there is no target `shoop`" in done.output
    assert "there is no tier `raed`" in run(path, "--tier", "raed").output
    path.write_text("[targets.shop]\n")
    assert run(path).exit_code == 3


def test_a_variable_that_is_not_set(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = '[targets.shop.tiers.late]\naccess = "read-only"\nurl = "env:NOT_SET_ANYWHERE"\n'
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    done = run(write(tmp_path, url, more=more))
    assert done.exit_code == 4
    assert "the environment variable `NOT_SET_ANYWHERE` is not set" in done.output
