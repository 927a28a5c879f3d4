"""``holdpoint doctor``: every hop in order, and the first broken one with its mend."""

from __future__ import annotations

import json
import secrets
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.agent import agent
from holdpoint.cli.doctor import doctor
from holdpoint.cli.person import person
from holdpoint.config import load
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.store import Store
from holdpoint.wire.postgres import scram
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE "odd ""name" (id int);
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
"""


@pytest.fixture(scope="module")
def server(postgres18: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """The cluster, with one role that may only read and one that may write orders."""
    with psycopg.connect(postgres18.url(), autocommit=True) as connection:
        for role in ("doctor_reader", "doctor_writer"):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'".encode())
        connection.execute("CREATE ROLE doctor_power LOGIN CREATEROLE PASSWORD 'pw'")
    yield postgres18
    with psycopg.connect(postgres18.url(), autocommit=True) as connection:
        for role in ("doctor_reader", "doctor_writer", "doctor_power"):
            connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(server, SCRIPT) as name:
        with psycopg.connect(server.url(database=name), autocommit=True) as connection:
            connection.execute(
                "GRANT SELECT ON ALL TABLES IN SCHEMA public"
                " TO doctor_reader, doctor_writer, doctor_power"
            )
            connection.execute("GRANT INSERT, DELETE ON orders TO doctor_writer")
        yield name


def write(folder: Path, url: str, access: str = "read-only", listen: int = 1) -> Path:
    (folder / "url").write_text(url)
    (folder / "url").chmod(0o600)
    path = folder / "holdpoint.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:{listen}"\nstore = "{folder}/h.db"\n'
        f'[targets.shop]\n[targets.shop.tiers.main]\naccess = "{access}"\n'
        f'url = "file:{folder}/url"\n'
    )
    return path


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(doctor, ["--config", str(path), *words], catch_exceptions=False)


def hops(path: Path) -> tuple[int, dict[str, Any], dict[str, dict[str, str]]]:
    """The exit code, the whole document and its hops by name."""
    done = run(path, "--json")
    document = json.loads(done.stdout)
    return done.exit_code, document, {hop["name"]: hop for hop in document["hops"]}


def test_all_is_well(tmp_path: Path, server: EmbeddedPostgres, database: str) -> None:
    path = write(tmp_path, server.url("doctor_reader", "pw", database))
    done = run(path)
    assert done.exit_code == 0, done.output
    assert done.output.rstrip().endswith("everything works")
    code, document, found = hops(path)
    assert (code, document["ok"], document["first_broken"]) == (0, True, None)
    assert list(found) == [
        "configuration",
        "store",
        "gate",
        "shop/main upstream",
        "shop/main clock",
        "shop/main replica",
        "shop/main role",
        "shop/main read-only",
    ]
    assert "PostgreSQL 18" in found["shop/main upstream"]["detail"]
    (tmp_path / "url").chmod(0o644)
    advice = hops(path)[2]["shop/main secret"]
    assert (advice["health"], "can be read by everybody" in advice["detail"]) == ("note", True)
    proof = found["shop/main read-only"]["detail"]
    assert "proved: the database itself refused a write to each of 2 tables" in proof
    assert found["store"]["health"] == found["gate"]["health"] == "note"


def test_a_read_only_tier_that_could_write_is_found_out(
    tmp_path: Path, server: EmbeddedPostgres, database: str
) -> None:
    path = write(tmp_path, server.url("doctor_writer", "pw", database))
    code, document, found = hops(path)
    assert (code, document["first_broken"]) == (1, "shop/main read-only")
    hop = found["shop/main read-only"]
    assert hop["detail"] == "the database would take writes: public.orders"
    assert "REVOKE" in hop["mend"]
    with psycopg.connect(server.url(database=database)) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    spoken = run(path).output
    assert "BROKEN  shop/main read-only" in spoken
    assert "first broken: shop/main read-only\nmend: " in spoken


@pytest.mark.parametrize(
    "grant", ["INSERT ON orders", "UPDATE ON orders", "TRUNCATE ON orders", "UPDATE (id) ON orders"]
)
def test_every_kind_of_write_counts(
    tmp_path: Path, server: EmbeddedPostgres, database: str, grant: str
) -> None:
    with psycopg.connect(server.url(database=database), autocommit=True) as connection:
        connection.execute(f"GRANT {grant} TO doctor_reader".encode())
    code, _, found = hops(write(tmp_path, server.url("doctor_reader", "pw", database)))
    assert code == 1
    assert "public.orders" in found["shop/main read-only"]["detail"]


def test_being_able_to_create_tables_is_found_out(
    tmp_path: Path, server: EmbeddedPostgres, database: str
) -> None:
    with psycopg.connect(server.url(database=database), autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO doctor_reader")
    code, _, found = hops(write(tmp_path, server.url("doctor_reader", "pw", database)))
    assert code == 1
    assert "CREATE TABLE" in found["shop/main read-only"]["detail"]
    with psycopg.connect(server.url(database=database)) as connection:
        row = connection.execute("SELECT to_regclass('holdpoint_doctor_probe')").fetchone()
        assert row == (None,), "the probe was rolled back"


@pytest.mark.parametrize(
    ("role", "words"),
    [("postgres", "is a superuser"), ("doctor_power", "can create roles")],
)
def test_a_role_with_powers_is_broken_below_owner(
    tmp_path: Path, server: EmbeddedPostgres, database: str, role: str, words: str
) -> None:
    url = server.url(database=database)
    if role != "postgres":
        url = server.url(role, "pw", database)
    code, document, found = hops(write(tmp_path, url, "read-write"))
    assert (code, document["first_broken"]) == (1, "shop/main role")
    assert words in found["shop/main role"]["detail"]
    code, _, found = hops(write(tmp_path, url, "owner"))
    assert (code, found["shop/main role"]["health"]) == (0, "note")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:topsecret@127.0.0.1:1/x", "cannot connect to 127.0.0.1:1/x"),
        ("{wrong}", "password authentication failed"),
        ("{missing}", "does not exist"),
    ],
)
def test_a_database_that_cannot_be_reached(
    tmp_path: Path, server: EmbeddedPostgres, url: str, words: str
) -> None:
    url = url.format(
        wrong=server.url("doctor_reader", "topsecret"),
        missing=server.url("doctor_reader", "pw", "no_such_database"),
    )
    code, document, found = hops(write(tmp_path, url))
    assert (code, document["first_broken"]) == (4, "shop/main upstream")
    hop = found["shop/main upstream"]
    assert words in hop["detail"]
    assert hop["mend"]
    assert "topsecret" not in json.dumps(document)
    assert list(found)[-1] == "shop/main upstream", "nothing follows a connection that fails"


def test_a_url_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    (tmp_path / "url").unlink()
    code, document, _ = hops(path)
    assert (code, document["first_broken"]) == (4, "shop/main url")


def test_a_wrong_configuration(tmp_path: Path) -> None:
    path = tmp_path / "holdpoint.toml"
    path.write_text("[targets.shop]\ncolour = 'red'\n")
    done = run(path)
    assert done.exit_code == 3
    assert "colour" in done.output
    done = run(path, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["first_broken"] == "configuration"


def test_a_store_that_no_server_has_used_is_not_signed_yet(tmp_path: Path) -> None:
    path = write(tmp_path, "postgres://nobody@127.0.0.1:1/none")
    where = ["--store", str(load(path).server.store)]
    for group, words in ((person, ["add", "sam"]), (agent, ["add", "robin", "--owner", "sam"])):
        assert CliRunner().invoke(group, [*words, *where]).exit_code == 0
    _, _, found = hops(path)
    assert found["trail"]["health"] == "note"
    assert "not signed yet" in found["trail"]["detail"]

    # A file that only a server makes: then what is not signed is broken.
    Path(f"{load(path).server.store}.heads").write_text("")
    _, document, found = hops(path)
    assert (document["first_broken"], found["trail"]["health"]) == ("trail", "broken")


def test_store_and_trail_are_verified(
    tmp_path: Path, server: EmbeddedPostgres, database: str
) -> None:
    path = write(tmp_path, server.url("doctor_reader", "pw", database))
    config = load(path)
    with Store.open(config.server.store) as store:
        verifier = scram.make_verifier("x", secrets.token_bytes(16), 4096)
        store.agents.add("claude", "sam", verifier, datetime.now(UTC))
        import asyncio

        from holdpoint.engine.recorder import Recorder

        async def record() -> None:
            recorder = Recorder(store)
            await recorder.start()
            await recorder.close()

        asyncio.run(record())
    code, _, found = hops(path)
    assert (code, found["store"]["health"], found["trail"]["health"]) == (0, "ok", "ok")

    knife = sqlite3.connect(config.server.store)
    knife.execute("DELETE FROM records WHERE seq = 1")
    knife.commit()
    knife.close()
    code, document, found = hops(path)
    assert (code, document["first_broken"]) == (5, "trail")
    assert "audit verify" in found["trail"]["mend"]

    Path(config.server.store).write_bytes(b"nonsense" * 1000)
    code, document, found = hops(path)
    assert (code, document["first_broken"]) == (5, "store")
    assert found["store"]["mend"]


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Something that listens and says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(8)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "health", "words"),
    [
        (b"N", "ok", "without TLS"),
        (b"S", "ok", "with TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broken", "something else than Holdpoint"),
    ],
)
def test_who_listens_at_the_gates_address(
    tmp_path: Path,
    server: EmbeddedPostgres,
    database: str,
    answer: bytes,
    health: str,
    words: str,
) -> None:
    with answering(answer) as port:
        path = write(tmp_path, server.url("doctor_reader", "pw", database), listen=port)
        _, _, found = hops(path)
    assert found["gate"]["health"] == health
    assert words in found["gate"]["detail"]
