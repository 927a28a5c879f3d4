"""Compare direct, PgBouncer and Holdpoint in one run: ``make bench``.

Rounds are interleaved (A B C, A B C, ...), medians are shown, ratios first. ``--quick`` checks in
a minute that everything works; its numbers mean little.
"""

from __future__ import annotations

import argparse
import datetime
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import access
import decisions
from holdpoint.embedded import EmbeddedPostgres, binaries
from report import Run, save, show
from routes import DATABASE, Route, compiled, fill, free_port, pgbouncer, running
from scenarios import Bench, MeasurementFailed, Scenario, latencies, memory

HERE = Path(__file__).parent
AGENT = "bench"
WIDTH = 130  # of tables that go into a file
CONFIGURATION = """
[server]
listen = "127.0.0.1:{port}"
web = "127.0.0.1:{web_port}"

[targets.{database}]
engine = "postgres"
environment = "benchmark"

[targets.{database}.tiers.write]
access = "read-write"
url = "file:{directory}/upstream.url"

# COPY FROM cannot be counted beforehand, so `careful` would hold it.
[[rules]]
id = "bulk-load"
when = {{ effect = ["write"], objects = ["bench_copy"] }}
then = "allow"
reason = "the benchmark's own table"
[rules.examples]
allow = ["COPY bench_copy FROM STDIN"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How much is measured."""

    seconds: int
    rounds: int
    latency_blocks: int
    relay_rows: int


FULL = Length(seconds=5, rounds=3, latency_blocks=20, relay_rows=10_000_000)
QUICK = Length(seconds=1, rounds=1, latency_blocks=3, relay_rows=1_000_000)


@contextmanager
def gate(direct: str, directory: Path) -> Iterator[Route]:
    """The gate as its own process, as a user would run it: ``holdpoint serve``."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from holdpoint.demo.shop import local_url
    from holdpoint.demo.stage import add_agent, write_secret

    port, password = free_port(), secrets.token_urlsafe(24)
    directory.mkdir(mode=0o700)
    parts = conninfo_to_dict(direct)
    url = local_url(direct, str(parts["user"]), str(parts.get("password") or ""), DATABASE)
    write_secret(directory / "upstream.url", url)
    configuration = directory / "holdpoint.toml"
    configuration.write_text(
        CONFIGURATION.format(
            port=port, web_port=free_port(), database=DATABASE, directory=directory
        )
    )
    add_agent(directory / "holdpoint.db", AGENT, "nobody-in-particular", password)
    dsn = make_conninfo(host="127.0.0.1", port=port, user=AGENT, password=password, dbname=DATABASE)
    command = [sys.executable, "-m", "holdpoint", "serve", "--config", str(configuration)]
    with running(command, dsn, directory, "gate") as pid:
        yield Route(name="holdpoint", dsn=dsn, pid=pid)


def measure(run: Run, scenarios: tuple[Scenario, ...], routes: list[Route], rounds: int) -> None:
    """Run every scenario on every route, interleaved, so that drift hits all alike."""
    for scenario in scenarios:
        rates: dict[str, list[float]] = {route.name: [] for route in routes}
        run.rates[scenario.name] = rates
        for number in range(rounds):
            for route in routes:
                try:
                    rates[route.name].append(scenario.measure(route))
                except MeasurementFailed as failure:
                    run.failures.append(f"{scenario.name}: {failure}")
                    say(run.failures[-1])
                    continue
                latest = rates[route.name][-1]
                say(f"{scenario.name}, round {number + 1}, {route.name}: {latest:,.0f}")


def say(text: str) -> None:
    """Progress, beside the report."""
    print(f"  … {text}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run that checks the setup")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    parser.add_argument("--rounds", type=int, help="rounds of each scenario")
    parser.add_argument("--seconds", type=int, help="length of one measurement")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory part")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>.json")
    return parser.parse_args()


def version(command: list[str]) -> str:
    """The last word of a program's version line."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[0].split()[-1]


def main() -> None:
    """Set everything up, measure, report."""
    options = parse()
    length = QUICK if options.quick else FULL
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="holdpoint-bench-"))
        )
        directory.chmod(0o755)  # PgBouncer runs as another user below it
        server = stack.enter_context(EmbeddedPostgres(settings={"max_connections": "300"}))
        program = str(binaries() / "pgbench")
        say("filling the database")
        direct = Route(name="direct", dsn=fill(server.url(), program))
        routes = [direct]
        bouncer = stack.enter_context(pgbouncer(direct.dsn, directory / "pgbouncer"))
        if bouncer is None:
            say("pgbouncer is not installed: compared with direct only")
        else:
            routes.append(bouncer)
        gated = stack.enter_context(gate(direct.dsn, directory / "gate"))
        routes.append(gated)
        bench = Bench(
            pgbench=program,
            seconds=options.seconds or length.seconds,
            directory=directory,
            direct=direct,
        )
        scenarios = tuple(one for one in bench.scenarios() if options.only in one.name)
        run = Run(
            compiled=compiled(),
            quick=options.quick,
            versions={"PostgreSQL": version([program, "--version"])},
        )
        bench.prepare()
        measure(run, scenarios, routes, options.rounds or length.rounds)
        if not options.only:
            say("latencies")
            run.latencies = latencies(routes, length.latency_blocks)
        if not (options.only or options.no_memory):
            say(f"memory, relaying {length.relay_rows:,} rows")
            run.memory = memory(bench, gated, length.relay_rows)
    if not options.only:
        say("decisions")
        run.decisions = decisions.run(tables=10_000, rounds=options.rounds or length.rounds)
        say("access verify")
        run.access = access.run(tables=1_000, roles=20)
    if options.json:
        import json

        print(json.dumps(run.as_json(scenarios), indent=2))
    else:
        show(run, scenarios, console)
        if run.decisions is not None:
            decisions.show(run.decisions, console)
        if run.access is not None:
            access.show(run.access, console)
    if options.save:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        save(run, scenarios, HERE / "results" / f"{day}.json")
    if run.failures:
        sys.exit(f"error: {len(run.failures)} measurements failed; the first:\n{run.failures[0]}")


if __name__ == "__main__":
    main()
