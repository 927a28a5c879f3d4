"""The three ways to one database that are compared: direct, PgBouncer, Holdpoint.

All three stand on this machine, use SCRAM on every leg and no TLS. PgBouncer pools sessions and
logs nothing. Holdpoint runs with its policy on and records every statement durably.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DATABASE: Final = "bench"
SCALE: Final = 10  # pgbench scale: 1,000,000 accounts
COPY_BYTES: Final = 100_000_000
READY_TIMEOUT_S: Final = 30.0
UNPRIVILEGED: Final = "nobody"

TABLES: Final = f"""
CREATE TABLE bench_rows AS
    SELECT i AS id, 'payload of row ' || i AS payload FROM generate_series(1, 10000) AS i;
CREATE TABLE bench_bulk AS
    SELECT i AS id, repeat(md5(i::text), 30) AS payload
    FROM generate_series(1, {COPY_BYTES // 970}) AS i;
CREATE TABLE bench_copy (LIKE bench_bulk);
VACUUM (ANALYZE);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way in. ``pid`` is the process between client and database, 0 for none."""

    name: str
    dsn: str
    pid: int = 0

    def environment(self) -> dict[str, str]:
        """What libpq programs need to take this route."""
        parts = conninfo_to_dict(self.dsn)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        chosen = {names[key]: str(value) for key, value in parts.items() if key in names}
        return {
            **os.environ,
            **chosen,
            "PGDATABASE": str(parts["dbname"]),
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fill(admin: str, pgbench: str) -> str:
    """Create the benchmark's database; returns its connection string."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    dsn = make_conninfo(admin, dbname=DATABASE)
    route = Route(name="direct", dsn=dsn)
    subprocess.run(
        [pgbench, "--initialize", "--quiet", f"--scale={SCALE}"],
        env=route.environment(),
        check=True,
        capture_output=True,
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in TABLES.split(";\n")[:-1]:
            connection.execute(statement)
        connection.execute("CHECKPOINT")
    return dsn


def until_ready(dsn: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``dsn`` answers; raises with the end of its log when it does not."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with psycopg.connect(dsn, connect_timeout=2, sslmode="disable") as connection:
                connection.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise SystemExit(f"error: `{process.args!s:.120}` did not become ready; its log ends:\n{tail}")


@contextmanager
def running(command: list[str], dsn: str, directory: Path, name: str) -> Iterator[int]:
    """Run a server until the block ends; yields its process id once ``dsn`` answers."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
    try:
        until_ready(dsn, process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def pgbouncer(direct: str, directory: Path) -> Iterator[Route | None]:
    """PgBouncer before the database, or None where it is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        yield None
        return
    parts = conninfo_to_dict(direct)
    port = free_port()
    directory.mkdir(mode=0o755)
    (directory / "users.txt").write_text(f'"{parts["user"]}" "{parts["password"]}"\n')
    (directory / "pgbouncer.ini").write_text(
        f"""[databases]
{DATABASE} = host={parts["host"]} port={parts["port"]} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users.txt
pool_mode = session
default_pool_size = 100
max_client_conn = 200
log_connections = 0
log_disconnections = 0
log_stats = 0
ignore_startup_parameters = extra_float_digits
"""
    )
    command = [program, "-q", str(directory / "pgbouncer.ini")]
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, UNPRIVILEGED)
        command += ["-u", UNPRIVILEGED]
    dsn = make_conninfo(direct, host="127.0.0.1", port=port)
    with running(command, dsn, directory, "pgbouncer") as pid:
        yield Route(name="pgbouncer", dsn=dsn, pid=pid)


def compiled() -> bool:
    """Whether the gate's hot modules are compiled in this environment."""
    import holdpoint.gate

    return (holdpoint.gate.__file__ or "").endswith(".so")
