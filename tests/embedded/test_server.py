"""The embedded server: who may come in, what it leaves behind, how it ends."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from holdpoint.embedded import EmbeddedError, EmbeddedPostgres, TlsFiles, binaries, clients
from holdpoint.embedded import server as server_module
from support.servers import fresh_database

HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait for something that must come; the bound is there to end a failing test only."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- coming in --------------------------------------------------------------------------------


def test_both_versions_answer_over_tcp_and_socket(postgres: EmbeddedPostgres) -> None:
    for host in ("127.0.0.1", str(postgres.socket_dir)):
        with psycopg.connect(postgres.url(host=host)) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version_num')::int / 10000,"
                " current_setting('server_encoding'), upper('ä')"
            ).fetchone()
            assert row == (postgres.version, "UTF8", "Ä")


def test_nobody_comes_in_without_the_password(postgres: EmbeddedPostgres) -> None:
    for host in ("127.0.0.1", str(postgres.socket_dir)):
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(postgres.url(password=password, host=host))


def test_each_server_has_a_password_of_its_own(postgres18: EmbeddedPostgres) -> None:
    with (
        EmbeddedPostgres(18, durable=False) as other,
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
    ):
        psycopg.connect(other.url(password=postgres18.password))


def test_the_password_is_in_no_file_and_no_command_line(postgres18: EmbeddedPostgres) -> None:
    secret = postgres18.password.encode()
    folder = postgres18.socket_dir.parent
    for file in folder.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file
    assert secret not in Path(f"/proc/{postgres18.pid}/cmdline").read_bytes()


def test_the_socket_is_for_its_owner_only(postgres18: EmbeddedPostgres) -> None:
    for folder in (postgres18.socket_dir, postgres18.socket_dir.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert postgres18.socket_dir.stat().st_uid == Path(f"/proc/{postgres18.pid}").stat().st_uid


def test_the_server_never_runs_as_root(postgres: EmbeddedPostgres) -> None:
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    (uids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    (gids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Gid:"))
    assert "0" not in uids
    assert "0" not in gids


def test_urls_survive_any_name(postgres18: EmbeddedPostgres) -> None:
    info = conninfo_to_dict(postgres18.url(user="a@b/c", password="p:%?#", database="x y"))
    assert (info["user"], info["password"], info["dbname"]) == ("a@b/c", "p:%?#", "x y")


def test_settings_reach_the_server() -> None:
    with (
        EmbeddedPostgres(16, durable=False, settings={"max_connections": "7"}) as server,
        psycopg.connect(server.url()) as connection,
    ):
        for name, value in (("max_connections", "7"), ("fsync", "off")):
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)


def test_a_durable_server_waits_for_the_disk() -> None:
    with EmbeddedPostgres(18) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


@pytest.mark.parametrize("version", [18, 16])
@pytest.mark.parametrize("program", ["psql", "pg_dump", "pg_restore", "pgbench", "pg_isready"])
def test_the_clients_run(version: int, program: str) -> None:
    said = subprocess.run(
        [clients(version) / program, "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    ).stdout
    assert f"(PostgreSQL) {version}." in said


def test_fresh_databases_are_fresh(postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres, "CREATE TABLE t (i int); INSERT INTO t VALUES (1)") as one:
        with psycopg.connect(postgres.url(database=one)) as connection:
            assert connection.execute("TABLE t").fetchall() == [(1,)]
        with fresh_database(postgres) as two, psycopg.connect(postgres.url(database=two)) as other:
            assert other.execute("SELECT to_regclass('t')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(postgres.url(database=one))


# --- ending -----------------------------------------------------------------------------------


def test_stop_leaves_nothing() -> None:
    server = EmbeddedPostgres(18, durable=False)
    server.start()
    pid, folder = server.pid, server.socket_dir.parent
    assert alive(pid)
    server.stop()
    assert not alive(pid)
    assert not folder.exists()
    server.stop()  # a second time does nothing
    with pytest.raises(EmbeddedError, match="not started"):
        server.url()


def test_a_stopped_server_can_start_again() -> None:
    server = EmbeddedPostgres(18, durable=False)
    for _ in range(2):
        with server, psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


PARENT = """
import os, signal, sys, time
{first}
from holdpoint.embedded import EmbeddedPostgres
server = EmbeddedPostgres(18, durable=False)
server.start()
print(server.pid, server.socket_dir.parent, os.getpid(), flush=True)
{then}
"""


@contextmanager
def parent(then: str, first: str = "") -> "Iterator[subprocess.Popen[str]]":
    """Run PARENT; it is killed at the end, so that a failing test does not wait for it."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(first=first, then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=HERE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def started(process: "subprocess.Popen[str]") -> tuple[int, Path]:
    assert process.stdout is not None
    pid, folder, _ = process.stdout.readline().split()
    return int(pid), Path(folder)


@pytest.mark.parametrize(
    ("then", "number"),
    [
        pytest.param("time.sleep(600)", signal.SIGKILL, id="kill-9"),
        pytest.param("time.sleep(600)", signal.SIGTERM, id="terminated"),
        pytest.param("time.sleep(600)", signal.SIGINT, id="ctrl-c"),
        pytest.param("os._exit(3)", None, id="exits-without-cleaning-up"),
        pytest.param("raise SystemExit(1)", None, id="exits"),
        pytest.param("os.abort()", None, id="crashes"),
        # A forked child keeps the pipe to the watchdog open; the changed parent is noticed.
        pytest.param(
            "os.fork() == 0 and (os.close(1), time.sleep(45)); time.sleep(600)",
            signal.SIGKILL,
            id="kill-9-with-a-forked-child",
        ),
    ],
)
def test_however_the_parent_ends_nothing_is_left(then: str, number: signal.Signals | None) -> None:
    with parent(then) as process:
        pid, folder = started(process)
        assert number is None or alive(pid)
        if number is not None:
            process.send_signal(number)
        process.wait(timeout=60)
        assert eventually(lambda: not alive(pid))
        assert eventually(lambda: not folder.exists())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has groups to give up")
def test_the_server_keeps_none_of_roots_groups() -> None:
    with parent("sys.stdin.read()", first="os.setgroups([0, 4])") as one:
        pid, _ = started(one)
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        one.communicate()
    assert [line.split() for line in status if line.startswith("Groups:")] == [["Groups:"]]


def test_a_forked_child_does_not_stop_its_parents_server() -> None:
    with parent("os.fork() == 0 and sys.exit(0); os.wait(); print('on'); sys.stdin.read()") as one:
        pid, folder = started(one)
        assert one.stdout is not None
        assert one.stdin is not None
        # The child's exit handlers have run.
        one.stdin.close()
        one.wait(timeout=60)
        assert "on" in one.stdout.read()
        assert not alive(pid)
        assert not folder.exists()


def test_a_killed_watchdog_takes_the_server_along_and_the_next_start_sweeps() -> None:
    server = EmbeddedPostgres(18, durable=False)
    server.start()
    pid, folder = server.pid, server.socket_dir.parent
    watchdog = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(watchdog, signal.SIGKILL)
    assert eventually(lambda: not alive(pid))
    server.stop()

    def is_free() -> bool:
        try:
            with (folder / "alive").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:
            pass  # another process has swept it
        return True

    assert eventually(is_free)  # the last of the dead server's processes still holds the lock
    with EmbeddedPostgres(18, durable=False):
        assert eventually(lambda: not folder.exists())


def test_a_sweep_leaves_living_servers_alone(postgres18: EmbeddedPostgres) -> None:
    with EmbeddedPostgres(18, durable=False):
        assert postgres18.socket_dir.exists()
    with psycopg.connect(postgres18.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_ctrl_c_at_the_terminal_is_not_for_the_server(postgres18: EmbeddedPostgres) -> None:
    assert os.getpgid(postgres18.pid) != os.getpgrp()


# --- preparing --------------------------------------------------------------------------------


def shared_cache(tmp_path: Path) -> Path:
    """Make a directory that the server's user can enter: pytest's own is for its owner only."""
    cache = Path("/var/tmp") / f"holdpoint-test-{os.getpid()}-{tmp_path.name}"
    cache.mkdir(mode=0o755)
    return cache


def test_first_use_by_several_processes_at_once(tmp_path: Path) -> None:
    cache = shared_cache(tmp_path)
    code = (
        "import sys; from pathlib import Path; from holdpoint.embedded import EmbeddedPostgres\n"
        "with EmbeddedPostgres(16, durable=False, cache_dir=Path(sys.argv[1])) as s: print(s.pid)"
    )

    def run(_: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, cache],
            capture_output=True,
            text=True,
            check=True,
            env=HERE,
        ).stdout

    try:
        with ThreadPoolExecutor(3) as pool:
            assert len({int(said) for said in pool.map(run, range(3))}) == 3
        assert len(list(cache.glob("data-16-*[!k]"))) == 1
        assert not list(cache.glob("new-*"))
    finally:
        shutil.rmtree(cache)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_binaries_that_the_servers_user_cannot_reach_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a virtual environment below /root. Nothing of the original is made wider."""
    wheel = binaries(18).parent.parent
    closed = tmp_path / "site-packages"
    shutil.copytree(wheel / "pginstall18", closed / wheel.name / "pginstall18", symlinks=True)
    libraries = f"{wheel.name}.libs"
    shutil.copytree(wheel.parent / libraries, closed / libraries)
    (closed / wheel.name / "__init__.py").write_text("raise SystemExit('imported')")
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    cache = shared_cache(tmp_path)
    try:
        for _ in range(2):
            with EmbeddedPostgres(18, durable=False, cache_dir=cache) as server:
                program = Path(f"/proc/{server.pid}/exe").readlink()
                assert program.is_relative_to(cache)
        assert len(list(cache.glob("binaries-18-*[!k]"))) == 1
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(cache)


# --- failing ----------------------------------------------------------------------------------


def test_a_server_that_does_not_start_says_why() -> None:
    server = EmbeddedPostgres(18, durable=False, settings={"no_such_setting": "1"})
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        server.start()
    server.stop()


def test_a_port_that_was_taken_meanwhile_is_no_failure(
    postgres18: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = server_module._free_port
    ports = [postgres18.port, postgres18.port]
    monkeypatch.setattr(server_module, "_free_port", lambda: ports.pop() if ports else free())
    with EmbeddedPostgres(18, durable=False) as server:
        assert ports == []
        assert server.port != postgres18.port
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_tls_needs_binaries_with_tls(tmp_path: Path) -> None:
    """The wheel's have none; the refusal must be clear and must leave nothing."""
    files = TlsFiles(certificate=tmp_path / "c", key=tmp_path / "k")
    files.certificate.write_text("x")
    files.key.write_text("x")
    with pytest.raises(EmbeddedError, match="SSL is not supported by this build"):
        EmbeddedPostgres(18, durable=False, tls=files).start()


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbeddedError, match="there are 18, 16"):
        binaries(9)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(EmbeddedError, match="pip install"):
        binaries(18)


def test_settings_cannot_smuggle_switches() -> None:
    with pytest.raises(EmbeddedError, match="no name of a setting"):
        EmbeddedPostgres(settings={"a=b -c c": "d"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may name another user")
@pytest.mark.parametrize("user", ["root", "no-such-user-here"])
def test_users_that_cannot_run_it(user: str) -> None:
    with pytest.raises(EmbeddedError, match="user"):
        EmbeddedPostgres(18, user=user).start()


def test_a_cache_that_others_may_write_is_refused(tmp_path: Path) -> None:
    cache = shared_cache(tmp_path)
    try:
        cache.chmod(0o777)
        with pytest.raises(EmbeddedError, match="no cache directory"):
            EmbeddedPostgres(18, cache_dir=cache).start()
    finally:
        shutil.rmtree(cache)
