"""What is measured. A scenario is one number per route: higher is better, except for latencies."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import psycopg.pq

from routes import COPY_BYTES, Route

SCRIPTS: Final = Path(__file__).parent / "scripts"
RELAY_ROWS_PER_QUERY: Final = 100_000  # scripts/relay.sql


class MeasurementFailed(Exception):
    """A client ended with an error; the text has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One comparison. ``bar`` is the least ratio to PgBouncer that the project asks of itself."""

    name: str
    unit: str
    measure: Callable[[Route], float]
    bar: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How long and with which pgbench."""

    pgbench: str
    seconds: int
    directory: Path
    direct: Route

    def scenarios(self) -> tuple[Scenario, ...]:
        """Every throughput scenario, in the order of the report."""
        points = tuple(
            Scenario(
                name=f"point select, {mode}, {clients} client{'s' if clients > 1 else ''}",
                unit="statements/s",
                measure=self.pgbench_rate("-S", "-M", mode, "-c", str(clients), "-j", "2"),
                bar={"prepared": 0.9, "simple": 0.7}.get(mode),
            )
            for mode in ("simple", "extended", "prepared")
            for clients in (1, 8, 64)
        )
        rows = self.pgbench_rate("-f", str(SCRIPTS / "rows.sql"), "-M", "prepared", "-c", "2")
        one = self.pgbench_rate("-f", str(SCRIPTS / "select_one.sql"), "-C", "-c", "1")
        return (
            *points,
            Scenario(name="10,000-row results, 2 clients", unit="results/s", measure=rows, bar=0.9),
            Scenario(name="COPY 100 MB out", unit="MB/s", measure=self.copy_out),
            Scenario(name="COPY 100 MB in", unit="MB/s", measure=self.copy_in),
            Scenario(name="connect and SELECT 1", unit="connections/s", measure=one),
        )

    def prepare(self) -> None:
        """Write the file that COPY reads, and bring the tables into the server's memory."""
        with (
            psycopg.connect(self.direct.dsn) as connection,
            (self.directory / "bulk.copy").open("wb") as file,
            connection.cursor().copy("COPY bench_bulk TO STDOUT") as copy,
        ):
            for block in copy:
                file.write(block)

    def pgbench_rate(self, *options: str) -> Callable[[Route], float]:
        """A measurement: transactions per second that pgbench reaches with these options."""

        def measure(route: Route) -> float:
            command = [self.pgbench, "-n", "-T", str(self.seconds), *options]
            done = subprocess.run(
                command, env=route.environment(), capture_output=True, text=True, timeout=600
            )
            found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
            if done.returncode or found is None:
                raise MeasurementFailed(
                    f"pgbench by way of {route.name} failed: {' '.join(command)}\n"
                    f"{done.stderr[-800:]}"
                )
            return float(found.group(1))

        return measure

    def copy_out(self, route: Route) -> float:
        """Megabytes per second of COPY to the client, which throws them away."""
        return self._copy(route, "COPY bench_bulk TO STDOUT", Path("/dev/null"))

    def copy_in(self, route: Route) -> float:
        """Megabytes per second of COPY from the client into an emptied table."""
        with psycopg.connect(self.direct.dsn, autocommit=True) as connection:
            connection.execute("TRUNCATE bench_copy")
        source = self.directory / "bulk.copy"
        return self._copy(route, f"\\copy bench_copy FROM '{source}'", Path("/dev/null"))

    def _copy(self, route: Route, command: str, target: Path) -> float:
        psql = str(Path(self.pgbench).with_name("psql"))
        with target.open("wb") as output:
            began = time.perf_counter()
            done = subprocess.run(
                [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command],
                env=route.environment(),
                stdout=output,
                stderr=subprocess.PIPE,
                text=False,
                timeout=600,
            )
            seconds = time.perf_counter() - began
        if done.returncode:
            raise MeasurementFailed(
                f"`{command}` by way of {route.name} failed:\n{done.stderr[-800:].decode()}"
            )
        return COPY_BYTES / 1e6 / seconds

    def relay(self, route: Route, rows: int) -> None:
        """Let ``rows`` rows pass by way of ``route``."""
        each = max(1, rows // RELAY_ROWS_PER_QUERY // 4)
        script = str(SCRIPTS / "relay.sql")
        subprocess.run(
            [self.pgbench, "-n", "-c", "4", "-t", str(each), "-f", script],
            env=route.environment(),
            check=True,
            capture_output=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Median time of one statement on each route, microseconds."""

    name: str
    medians: dict[str, float]
    bar: float


def latencies(routes: list[Route], blocks: int) -> tuple[Latency, ...]:
    """Median latencies of one client, in alternating blocks of 200 statements.

    ``memoised`` sends one text again and again; ``never seen`` sends texts that differ in a number.
    """
    sessions = {route.name: psycopg.connect(route.dsn, sslmode="disable") for route in routes}
    fresh = iter(range(1, 1_000_000))
    kinds: dict[str, Callable[[], str]] = {
        "memoised": lambda: "SELECT abalance FROM pgbench_accounts WHERE aid = 4711",
        "never seen": lambda: (
            f"SELECT abalance FROM pgbench_accounts WHERE aid = {next(fresh)} AND bid > 0"
        ),
    }
    found = []
    try:
        for kind, text in kinds.items():
            times: dict[str, list[float]] = {route.name: [] for route in routes}
            for block in range(blocks + 1):
                for name, session in sessions.items():
                    spent = [timed(session.pgconn, text()) for _ in range(200)]
                    if block:  # the first block warms up
                        times[name] += spent
            medians = {name: statistics.median(spent) * 1e6 for name, spent in times.items()}
            bar = 100.0 if kind == "memoised" else 250.0
            found.append(Latency(name=kind, medians=medians, bar=bar))
    finally:
        for session in sessions.values():
            session.close()
    return tuple(found)


def timed(connection: psycopg.pq.abc.PGconn, text: str) -> float:
    """Seconds that one simple query takes."""
    encoded = text.encode()
    began = time.perf_counter()
    result = connection.exec_(encoded)
    spent = time.perf_counter() - began
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return spent


def resident_mb(pid: int) -> float:
    """Resident memory of a process and of its children, in MB (10^6 bytes)."""
    total = 0
    for one in (pid, *children(pid)):
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{one}/status").read_text(), re.M)
        total += int(found.group(1)) * 1024 if found else 0
    return total / 1e6


def children(pid: int) -> list[int]:
    """Child processes, direct ones."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def memory(bench: Bench, route: Route, rows: int) -> dict[str, float]:
    """Resident memory of the gate: at rest, with 64 sessions, during and after relaying rows."""
    found = {"at rest": resident_mb(route.pid)}
    sessions = [psycopg.connect(route.dsn, sslmode="disable", autocommit=True) for _ in range(64)]
    for session in sessions:
        session.execute("SELECT count(*) FROM bench_rows").fetchall()
    found["64 sessions"] = resident_mb(route.pid)
    bench.relay(route, rows // 10)
    found["after 1 tenth of the rows"] = resident_mb(route.pid)
    bench.relay(route, rows - rows // 10)
    found["after all rows"] = resident_mb(route.pid)
    for session in sessions:
        session.close()
    return found
