"""``holdpoint access plan``: words, SQL, JSON and exit codes."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.access import access
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

CONFIGURATION = """
[targets.shop]
admin_url = "{url}"
[targets.shop.tiers.replica]
access = "read-only"
url = "postgresql://{name}_reader:pw@127.0.0.1/{name}"
replica = false
role = "{name}_read"
grants = {{ "orders" = ["select"] }}
[targets.shop.tiers.write]
access = "read-write"
url = "postgresql://{name}_writer:pw@127.0.0.1/{name}"
agents = "robin"
role = "{name}_write"
grants = {{ "orders" = ["select", "update(status)"] }}
[targets.shop.tiers.other]
access = "read-write"
url = "postgresql://{name}_other:pw@127.0.0.1/{name}"
agents = "robin"
"""


@pytest.fixture(scope="module")
def shop(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A database of the superuser's with one table, and the configuration for it."""
    script = "CREATE TABLE orders (id int, status text); GRANT SELECT ON orders TO PUBLIC"
    with fresh_database(postgres18, script) as name:
        file = tmp_path_factory.mktemp("plan") / "holdpoint.toml"
        url = postgres18.url(database=name)
        file.write_text(CONFIGURATION.format(url=url, name=name))
        yield name, file


def run(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(access, ["plan", *arguments, "--config", str(file)])


def test_changes_end_with_one_and_are_told_in_words_and_sql(shop: tuple[str, Path]):
    name, file = shop
    done = run(file, "shop")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert f"+ role `{name}_write` may SELECT and UPDATE (status) on `public.orders`" in lines
    assert f"GRANT SELECT, UPDATE (status) ON TABLE public.orders TO {name}_write;" in lines
    assert "    PASSWORD '[redacted]';" in lines
    assert "access apply shop" in lines[-1]


def test_only_the_tiers_that_are_asked_for(shop: tuple[str, Path]):
    name, file = shop
    document = json.loads(run(file, "shop", "--tier", "replica", "--json").stdout)
    assert {step["role"] for step in document["steps"]} == {f"{name}_read", f"{name}_reader"}
    assert document["settled"] is False
    assert "SCRAM-SHA-256" not in json.dumps(document)


def test_the_statements_in_a_file_are_for_oneself(shop: tuple[str, Path], tmp_path: Path):
    _, file = shop
    written = tmp_path / "plan.sql"
    run(file, "shop", "--sql", str(written))
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "PASSWORD 'SCRAM-SHA-256$" in written.read_text()
    with psycopg.connect(file.read_text().split('"')[1]) as connection:
        connection.execute(written.read_bytes())
        connection.rollback()


def test_while_something_stands_in_the_way_there_is_no_sql(shop: tuple[str, Path], tmp_path: Path):
    _, file = shop
    gone, written = tmp_path / "holdpoint.toml", tmp_path / "plan.sql"
    gone.write_text(file.read_text().replace('"orders" = ["select"]', '"gone" = ["select"]'))
    done = run(gone, "shop", "--sql", str(written))
    assert (done.exit_code, written.exists(), "CREATE ROLE" in done.stdout) == (1, False, False)
    assert "table `public.gone` does not exist" in done.stdout


def test_what_public_holds_is_mended_only_when_asked(shop: tuple[str, Path]):
    _, file = shop
    without = json.loads(run(file, "shop", "--json").stdout)
    mended = json.loads(run(file, "shop", "--mend", "--json").stdout)
    public = [each["sql"] for each in mended["steps"] if each["role"] is None]
    assert any(text.startswith("REVOKE TEMPORARY ON DATABASE") for text in public)
    assert not [each for each in without["steps"] if each["role"] is None]
    assert "make temporary tables" in without["everybody"][0]["words"]


def test_nothing_to_do_ends_with_zero(shop: tuple[str, Path]):
    name, file = shop
    written = file.with_name("all.sql")
    run(file, "shop", "--tier", "replica", "--sql", str(written))
    url = file.read_text().split('"')[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(written.read_bytes())
        try:
            done = run(file, "shop", "--tier", "replica")
            assert (done.exit_code, done.stdout.splitlines()[-1]) == (
                0,
                "nothing to do: the database gives what the configuration asks",
            )
        finally:
            connection.execute(f"DROP OWNED BY {name}_read; DROP ROLE {name}_read".encode())
            connection.execute(f"DROP ROLE {name}_reader".encode())


def test_what_is_wrong_with_the_configuration_ends_with_three(
    shop: tuple[str, Path], tmp_path: Path
):
    _, file = shop
    unknown = run(file, "shop", "--tier", "writer")
    assert (unknown.exit_code, "has no tier `writer`" in unknown.stderr) == (3, True)
    silent = run(file, "shop", "--tier", "other")
    assert (silent.exit_code, "says nothing of grants" in silent.stderr) == (3, True)
    no_admin = tmp_path / "holdpoint.toml"
    text = file.read_text()
    no_admin.write_text("\n".join(line for line in text.splitlines() if "admin_url" not in line))
    missing = run(no_admin, "shop")
    assert (missing.exit_code, "has no `admin_url`" in missing.stderr) == (3, True)
    no_variable = tmp_path / "variable.toml"
    no_variable.write_text(text.replace(text.split('"')[1], "env:NO_SUCH_VARIABLE"))
    unset = run(no_variable, "shop")
    assert (unset.exit_code, "`NO_SUCH_VARIABLE` is not set" in unset.stderr) == (3, True)


def test_a_target_that_is_down_ends_with_four(shop: tuple[str, Path], tmp_path: Path):
    _, file = shop
    down = tmp_path / "holdpoint.toml"
    text = file.read_text()
    down.write_text(text.replace(text.split('"')[1], "postgresql://admin:hidden@127.0.0.1:1/shop"))
    done = run(down, "shop")
    assert (done.exit_code, "cannot reach `127.0.0.1:1/shop`" in done.stderr) == (4, True)
    assert "hidden" not in done.output
    assert run(file, "shops").exit_code == 2
