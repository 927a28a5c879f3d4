"""``holdpoint doctor`` against real databases: the first broken hop, and the proof of read-only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from holdpoint.cli.doctor import doctor
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE orders (id int PRIMARY KEY);
CREATE SCHEMA hidden;
CREATE TABLE hidden.secrets (id int);
GRANT SELECT ON orders TO doctor_reader;
"""


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS doctor_reader")
        connection.execute("CREATE ROLE doctor_reader LOGIN PASSWORD 'reads'")
    with fresh_database(postgres, SCRIPT) as name:
        yield name


def examine(path: Path, url: str, access: str = "read-only") -> tuple[int, dict[str, Any]]:
    """The exit code, and hops by name."""
    path.joinpath("url").write_text(url)
    file = path / "holdpoint.toml"
    file.write_text(
        '[server]\nlisten = "127.0.0.1:1"\n'
        f'[targets.shop.tiers.replica]\naccess = "{access}"\nurl = "file:{path}/url"\n'
    )
    result = CliRunner().invoke(doctor, ["--config", str(file), "--json"])
    report = json.loads(result.output)
    assert report["ok"] is (report["first_broken"] is None)
    return result.exit_code, {hop["name"]: hop for hop in report["hops"]} | {"": report}


def reader(postgres: EmbeddedPostgres, database: str) -> str:
    return postgres.url(user="doctor_reader", password="reads", database=database)


def test_a_role_that_only_reads_is_proved_to(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str
) -> None:
    code, hops = examine(tmp_path, reader(postgres, database))
    assert code == 0
    assert hops["shop/replica read-only"]["health"] == "ok"
    assert "proved" in hops["shop/replica read-only"]["detail"]
    assert hops["shop/replica role"]["health"] == "ok"


@pytest.mark.parametrize(
    ("grant", "named"),
    [
        ("GRANT DELETE ON orders TO PUBLIC", "public.orders"),
        ("GRANT USAGE ON SCHEMA hidden TO doctor_reader;"
         "GRANT DELETE ON hidden.secrets TO doctor_reader", "hidden.secrets"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE TABLE"),
    ],
)  # fmt: skip
def test_a_write_that_the_database_would_take_is_named(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str, grant: str, named: str
) -> None:
    with psycopg.connect(postgres.url(database=database), autocommit=True) as connection:
        connection.execute(grant.encode())
    code, hops = examine(tmp_path, reader(postgres, database))
    assert code == 1
    assert hops["shop/replica read-only"]["health"] == "broken"
    assert named in hops["shop/replica read-only"]["detail"]
    assert hops[""]["first_broken"] == "shop/replica read-only"
    assert hops["shop/replica read-only"]["mend"]


def test_a_setting_of_the_role_is_no_proof(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str
) -> None:
    with psycopg.connect(postgres.url(database=database), autocommit=True) as connection:
        connection.execute("ALTER ROLE doctor_reader SET default_transaction_read_only = on")
        connection.execute("GRANT DELETE ON orders TO doctor_reader")
    code, _ = examine(tmp_path, reader(postgres, database))
    assert code == 1


def test_asking_leaves_everything_as_it_was(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str
) -> None:
    with psycopg.connect(postgres.url(database=database), autocommit=True) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        examine(tmp_path, postgres.url(database=database))  # a superuser: every try is accepted
        tables = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'holdpoint%'"
        ).fetchone()
        rows = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert (tables, rows) == ((0,), (1,))


def test_a_superuser_is_too_much_for_any_tier_but_the_owners(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str
) -> None:
    url = postgres.url(database=database)
    code, hops = examine(tmp_path, url, "read-write")
    assert code == 1
    assert "superuser" in hops["shop/replica role"]["detail"]
    code, hops = examine(tmp_path, url, "owner")
    assert code == 0
    assert hops["shop/replica role"]["health"] == "note"


def test_a_database_that_is_not_there_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    code, hops = examine(tmp_path, "postgres://x:secretword@127.0.0.1:1/shop?sslmode=disable")
    assert code == 4
    assert hops[""]["first_broken"] == "shop/replica upstream"
    assert "secretword" not in json.dumps(hops)


def test_a_url_that_is_missing_is_told_by_name(tmp_path: Path) -> None:
    file = tmp_path / "holdpoint.toml"
    file.write_text('[targets.shop.tiers.r]\naccess = "read-only"\nurl = "env:NO_SUCH_URL"\n')
    result = CliRunner().invoke(doctor, ["--config", str(file)])
    assert result.exit_code == 4
    assert "NO_SUCH_URL" in result.output


def test_a_configuration_that_is_wrong_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "holdpoint.toml"
    file.write_text("[targets.shop.tiers.r]\naccess = 'reed-only'\nurl = 'env:X'\n")
    result = CliRunner().invoke(doctor, ["--config", str(file)])
    assert result.exit_code == 3
    assert "read-only" in result.output


def test_a_store_that_does_not_serve_ends_with_the_trails_exit_code(
    tmp_path: Path, postgres: EmbeddedPostgres, database: str
) -> None:
    tmp_path.joinpath("holdpoint.db").write_bytes(b"this is no database" * 300)
    code, hops = examine(tmp_path, reader(postgres, database))
    assert code == 5
    assert hops["store"]["health"] == "broken"
