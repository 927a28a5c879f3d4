"""The helpers of other tests, because what they claim to do is what those tests rest on."""

import shutil
import socket
from collections.abc import Iterator

import psycopg
import pytest

from holdpoint.embedded import EmbeddedPostgres
from support.proxy import TcpProxy
from support.require import require


@pytest.fixture
def proxy(postgres18: EmbeddedPostgres) -> Iterator[TcpProxy]:
    with TcpProxy(postgres18.port) as made:
        yield made


def connect(server: EmbeddedPostgres, proxy: TcpProxy) -> "psycopg.Connection[tuple[int, ...]]":
    return psycopg.connect(server.url(), port=proxy.port, autocommit=True)


def test_bytes_one_by_one(postgres18: EmbeddedPostgres, proxy: TcpProxy) -> None:
    proxy.piece = 1
    with connect(postgres18, proxy) as connection:
        rows = connection.execute("SELECT * FROM generate_series(1, 100)").fetchall()
        assert rows == [(number,) for number in range(1, 101)]


def test_a_cut_is_a_reset(postgres18: EmbeddedPostgres, proxy: TcpProxy) -> None:
    connection = connect(postgres18, proxy)
    proxy.cut()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with connect(postgres18, proxy) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_a_cut_in_the_middle_of_a_result(postgres18: EmbeddedPostgres, proxy: TcpProxy) -> None:
    connection = connect(postgres18, proxy)
    proxy.cut_after(1_000)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 100)").fetchall()
    connection.close()


def test_exactly_as_many_bytes_as_said() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        TcpProxy(target.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
        target.accept()[0] as server,
    ):
        proxy.cut_after(5)
        server.sendall(b"12345678")
        assert client.recv(5, socket.MSG_WAITALL) == b"12345"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_nothing_moves_while_stalled() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        TcpProxy(target.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
        target.accept()[0] as server,
    ):
        proxy.stall()
        client.sendall(b"hello")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recv(1)
        proxy.resume()
        server.settimeout(30)
        assert server.recv(5, socket.MSG_WAITALL) == b"hello"


def test_a_refusing_proxy(postgres18: EmbeddedPostgres, proxy: TcpProxy) -> None:
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        connect(postgres18, proxy)


def test_what_is_missing_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert require("a shell", shutil.which("sh")) == shutil.which("sh")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="this machine lacks a unicorn"):
        require("a unicorn", None)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="CI lacks a unicorn"):
        require("a unicorn", None)
