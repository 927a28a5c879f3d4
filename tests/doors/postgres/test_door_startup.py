"""How sessions begin: settings, TLS to clients, and every way into the database behind the gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from door_support import AGENTS, SECRET, TABLES, Gate
from tls_support import Authority, TlsServer
from wire_client import RefusedError, Wire

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.wire.postgres import startup
from support.servers import fresh_database

# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"options": "-c search_path=evil"}, "search_path"),
        ({"options": "-c default_transaction_read_only=off"}, "default_transaction_read_only"),
        ({"options": "--default-transaction-read-only=off"}, "default_transaction_read_only"),
        ({"options": r"-c default\_transaction_read_only=off"}, "default_transaction_read_only"),
        ({"default_transaction_read_only": "off"}, "default_transaction_read_only"),
        ({"transaction_read_only": "off"}, "transaction_read_only"),
        ({"role": "postgres"}, "role"),
        ({"ROLE": "postgres"}, "ROLE"),
        ({"session_authorization": "postgres"}, "session_authorization"),
        ({"replication": "database"}, "replication"),
        ({"replication": "true"}, "replication"),
        ({"search_path": "evil"}, "search_path"),
        ({"session_replication_role": "replica"}, "session_replication_role"),
        ({"row_security": "off"}, "row_security"),
        ({"standard_conforming_strings": "off"}, "standard_conforming_strings"),
        ({"client_encoding": "SJIS"}, "client_encoding"),
        ({"client_encoding": "LATIN1"}, "client_encoding"),
        ({"backslash_quote": "on"}, "backslash_quote"),
        ({"session_preload_libraries": "evil"}, "session_preload_libraries"),
        ({"local_preload_libraries": "evil"}, "local_preload_libraries"),
        ({"statement_timeout": "0"}, "statement_timeout"),
        ({"lo_compat_privileges": "on"}, "lo_compat_privileges"),
        ({"options": "-f s"}, "-f"),
        ({"options": "-c"}, "-c"),
        ({"made_up": "x"}, "made_up"),
    ],
    ids=str,
)
def test_settings_that_could_loosen_anything_are_refused_with_words(
    gate: Gate, setting: dict[str, str], words: str
) -> None:
    with pytest.raises(RefusedError) as refused, gate.raw("owner", **setting):
        pass
    fields = refused.value.fields
    assert fields["V"] == "FATAL"
    assert words in fields["M"]
    assert fields["C"] in ("0A000", "22023", "08P01")


def test_a_setting_given_twice_is_refused(gate: Gate) -> None:
    packet = startup.startup_message({"user": AGENTS[0], "database": "shop", "role": "a"})
    body = packet[4:-1] + b"ROLE\0b\0\0"
    with Wire.open(gate.port) as wire:
        wire.send((len(body) + 4).to_bytes(4, "big"), body)
        assert wire.rest() == "E:08P01"


def test_harmless_settings_reach_the_server(gate: Gate) -> None:
    with gate.raw(
        "write",
        application_name="me",
        options="-c statement_timeout=5s -c TimeZone=Asia/Tokyo",
        DateStyle="German",
        extra_float_digits="3",
    ) as wire:
        assert wire.parameters["application_name"] == "me"
        assert wire.parameters["TimeZone"] == "Asia/Tokyo"
        assert wire.parameters["DateStyle"].startswith("German")
        assert wire.query("SHOW statement_timeout") == "T D:5s C:SHOW ZI"
        assert wire.query("RESET statement_timeout") == "C:RESET ZI"
        assert wire.query("SHOW statement_timeout") == "T D:5s C:SHOW ZI"


def test_a_read_only_tier_is_read_only_whatever_the_session_does(gate: Gate) -> None:
    with gate.raw("replica") as wire:
        show = "SHOW default_transaction_read_only"
        assert wire.query(show) == "T D:on C:SHOW ZI"
        for reset in ("RESET ALL", "DISCARD ALL", "RESET default_transaction_read_only"):
            wire.query(reset)
            assert wire.query(show) == "T D:on C:SHOW ZI"
        for attempt in (
            "SET default_transaction_read_only = off",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "BEGIN READ WRITE",
            "START TRANSACTION READ WRITE",
            "SELECT set_config('default_transaction_read_only', 'off', false)",
            "SET TRANSACTION READ WRITE",
        ):
            assert wire.query(attempt) == "E:42501 ZI", attempt
        assert wire.query("BEGIN; SET LOCAL transaction_read_only = off") == "E:42501 ZI"
        assert wire.query(show) == "T D:on C:SHOW ZI"


def test_the_first_tier_is_the_default(gate: Gate, direct: psycopg.Connection) -> None:
    with gate.raw() as wire:
        assert wire.query("INSERT INTO markers VALUES ('x')") == "E:42501 ZI"
        assert "write" in wire.errors[-1]["H"]


# --- TLS to clients -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(
    postgres18: EmbeddedPostgres, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """A gate that takes clients with TLS only."""
    certificate, key = authority.issue()
    server = f'tls = "require"\ntls_cert = "{certificate}"\ntls_key = "{key}"'
    with (
        fresh_database(postgres18, TABLES) as name,
        Gate.at(
            tmp_path_factory.mktemp("secure"), postgres18.url(database=name), server=server
        ) as gate,
    ):
        yield gate
        gate.check_trail()


def test_verify_full_with_channel_binding(secure: Gate, authority: Authority) -> None:
    for host in ("localhost", "127.0.0.1"):
        with secure.connect(
            "write",
            host=host,
            hostaddr="127.0.0.1",
            sslmode="verify-full",
            sslrootcert=str(authority.file),
            channel_binding="require",
        ) as client:
            assert client.pgconn.ssl_in_use
            assert client.execute("SELECT 1").fetchone() == (1,)
            big = client.execute("SELECT repeat('x', 3000000)").fetchone()
            assert big == ("x" * 3_000_000,)
            client.execute("INSERT INTO markers VALUES (%s)", ("y" * 3_000_000,))
            with pytest.raises(psycopg.Error, match="DROP TABLE"):
                client.execute("DROP TABLE markers")


def test_direct_tls_without_a_request_is_told_apart(secure: Gate, authority: Authority) -> None:
    with pytest.raises(psycopg.OperationalError):
        secure.connect(sslmode="require", sslnegotiation="direct")


def test_a_client_without_tls_is_refused(secure: Gate) -> None:
    with pytest.raises(psycopg.OperationalError, match="without TLS are not accepted"):
        secure.connect(sslmode="disable")


def test_a_client_that_does_not_know_the_authority_stays_away(secure: Gate, folder: Path) -> None:
    other = Authority.make(folder, "other")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        secure.connect(sslmode="verify-full", sslrootcert=str(other.file))


def test_a_request_is_cancelled_inside_tls(secure: Gate, authority: Authority) -> None:
    import threading

    with secure.connect("write", sslmode="require") as client:

        def give_up() -> None:
            secure.opened("DELETE")
            client.cancel_safe()

        thread = threading.Thread(target=give_up)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("DELETE FROM orders")
        thread.join()


def test_plain_bytes_before_the_handshake_are_an_attack(secure: Gate) -> None:
    with Wire.open(secure.port) as wire:
        wire.send(startup.ssl_request() + b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert wire.socket.recv(1) == b"S"
        data = b""
        while more := wire.socket.recv(1000):
            data += more
        assert b"unencrypted data" in data


def test_gssenc_is_declined_and_tls_may_follow(secure: Gate, gate: Gate) -> None:
    request = b"\0\0\0\x08\x04\xd2\x16\x30"
    with Wire.open(secure.port) as wire:
        wire.send(request)
        assert wire.socket.recv(1) == b"N"
        wire.send(startup.ssl_request())
        assert wire.socket.recv(1) == b"S"
    with Wire.open(gate.port) as wire:
        wire.send(request)
        assert wire.socket.recv(1) == b"N"
        wire.send(startup.ssl_request())
        assert wire.socket.recv(1) == b"N"
        wire.sign_in(AGENTS[0], SECRET, "shop")


# --- ways into the database -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_server() -> Iterator[EmbeddedPostgres]:
    """A server whose pg_hba.conf has one role for each method."""
    with EmbeddedPostgres(18, durable=False) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE by_scram LOGIN PASSWORD 'pw'")
            connection.execute("CREATE ROLE by_clear LOGIN PASSWORD 'pw'")
            connection.execute("CREATE ROLE by_trust LOGIN")
            connection.execute("SET password_encryption = 'md5'")
            connection.execute("CREATE ROLE by_md5 LOGIN PASSWORD 'pw'")
            hba = server.socket_dir.parent / "data" / "pg_hba.conf"
            rules = hba.read_text()
            methods = {"by_clear": "password", "by_trust": "trust", "by_md5": "md5"}
            own = "".join(
                f"host all {role} 127.0.0.1/32 {method}\nlocal all {role} {method}\n"
                for role, method in methods.items()
            )
            own += "host all by_reject 127.0.0.1/32 reject\n"
            hba.write_text(own + rules)
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="module")
def upstream(
    open_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with Gate.at(tmp_path_factory.mktemp("upstream"), open_server.url()) as gate:
        yield gate


def behind(gate: Gate, url: str) -> str:
    """Point every tier at ``url``, which is read late, and ask who we are there."""
    (Path(gate.config.file).parent / "upstream.url").write_text(url)
    with gate.raw() as wire:
        return wire.query("SELECT current_user")


@pytest.mark.parametrize("role", ["by_scram", "by_md5", "by_trust"])
def test_ways_to_sign_in_at_the_database(
    upstream: Gate, open_server: EmbeddedPostgres, role: str
) -> None:
    url = open_server.url(role, "pw")
    assert behind(upstream, url) == f"T D:{role} C:SELECT 1 ZI"
    url = open_server.url(role, "pw", host=str(open_server.socket_dir))
    assert behind(upstream, url) == f"T D:{role} C:SELECT 1 ZI"


def test_a_password_in_clear_goes_through_a_socket_only(
    upstream: Gate, open_server: EmbeddedPostgres
) -> None:
    url = open_server.url("by_clear", "pw", host=str(open_server.socket_dir))
    assert behind(upstream, url) == "T D:by_clear C:SELECT 1 ZI"
    with pytest.raises(RefusedError) as refused:
        behind(upstream, open_server.url("by_clear", "pw"))
    assert "clear text over an unencrypted connection" in refused.value.fields["M"]


def test_what_is_wrong_with_the_database_is_told_without_secrets(
    upstream: Gate, open_server: EmbeddedPostgres
) -> None:
    cases = {
        open_server.url("by_scram", "topsecret"): "password authentication failed",
        open_server.url("by_reject", "topsecret"): "pg_hba.conf rejects",
        open_server.url("by_scram", "pw", database="missing"): "does not exist",
        open_server.url("by_scram", ""): "password",
        "postgresql://u:topsecret@127.0.0.1:1/x": "cannot connect",
        open_server.url("by_trust", "topsecret") + "?sslmode=require": "has no TLS",
    }
    for url, words in cases.items():
        with pytest.raises(RefusedError) as refused:
            behind(upstream, url)
        fields = refused.value.fields
        assert words in fields["M"]
        assert fields["C"] == "08006"
        assert "topsecret" not in str(fields)
        assert "holdpoint doctor" in fields["H"]


@pytest.fixture(scope="module")
def tls_server(open_server: EmbeddedPostgres, authority: Authority) -> Iterator[TlsServer]:
    certificate, key = authority.issue()
    target = (open_server.port, "by_scram", "pw", "postgres")
    with TlsServer(certificate, key, target, "inside tls") as server:
        yield server


def tls_url(
    server: TlsServer, host: str = "localhost", secret: str = "inside tls", **more: str
) -> str:
    options = "&".join(f"{name}={quote(value, safe='')}" for name, value in more.items())
    return f"postgresql://by_scram:{quote(secret)}@{host}:{server.port}/postgres?{options}"


def test_tls_to_the_database_with_its_channel_bound(
    upstream: Gate, tls_server: TlsServer, authority: Authority
) -> None:
    root = str(authority.file)
    for more in (
        {"sslmode": "verify-full", "sslrootcert": root, "channel_binding": "require"},
        {"sslmode": "verify-full", "sslrootcert": root},
        {"sslmode": "require"},
        {"sslmode": "prefer"},
    ):
        assert behind(upstream, tls_url(tls_server, **more)) == "T D:by_scram C:SELECT 1 ZI"
        assert tls_server.mechanisms[-1] == "SCRAM-SHA-256-PLUS"


def test_a_database_that_is_not_the_one_is_refused(
    upstream: Gate, tls_server: TlsServer, authority: Authority, folder: Path
) -> None:
    other = Authority.make(folder, "other")
    root = str(authority.file)
    cases = [
        tls_url(tls_server, sslmode="verify-full", sslrootcert=str(other.file)),
        tls_url(tls_server, sslmode="verify-ca", sslrootcert=str(other.file)),
        tls_url(tls_server, secret="wrong", sslmode="verify-full", sslrootcert=root),
    ]
    for url in cases:
        with pytest.raises(RefusedError) as refused:
            behind(upstream, url)
        assert refused.value.fields["C"] == "08006"


def test_a_certificate_for_another_name_is_refused(
    upstream: Gate, open_server: EmbeddedPostgres, authority: Authority
) -> None:
    certificate, key = authority.issue("elsewhere.example")
    target = (open_server.port, "by_scram", "pw", "postgres")
    with TlsServer(certificate, key, target, "inside tls") as server:
        root = str(authority.file)
        with pytest.raises(RefusedError, match="08006"):
            behind(upstream, tls_url(server, sslmode="verify-full", sslrootcert=root))
        assert "D:by_scram" in behind(
            upstream, tls_url(server, sslmode="verify-ca", sslrootcert=root)
        )
