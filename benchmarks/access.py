"""How long ``holdpoint access verify`` takes: ``make bench``, or this file alone.

``python benchmarks/access.py [--tables 1000] [--roles 20]`` starts a server with that many tables
(seven columns and a sequence each) and tiers with a role each, and verifies them in a process of
its own, so that its memory is its own: once as configured, once with every table of every role
drifted (each role is then read twice), and once by access level alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from holdpoint.access.verify.verify import verify_target
from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.grants import Grant, GrantedPrivilege
from holdpoint.model.target import AccessLevel, Target, Tier

PASSWORD = "bench"
BAR_S = 10.0  # for 1,000 tables and 20 roles
TABLES_AT_ONCE = 500
STATES = ("as configured", "all drifted", "by access level")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One run over all roles: seconds, peak resident megabytes, differences, statements tried."""

    state: str
    seconds: float
    peak_mb: float
    drifted: int
    tried: int


@dataclass(slots=True, kw_only=True)
class Verifications:
    """What was measured."""

    tables: int
    roles: int
    runs: list[Verification] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it for a file."""
        return asdict(self)


def fill(connection: psycopg.Connection[Any], tables: int, roles: int) -> None:
    """Make tables and roles; every role has what its tier's grants say."""
    connection.execute("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")
    for start in range(0, tables, TABLES_AT_ONCE):
        numbers = range(start, min(start + TABLES_AT_ONCE, tables))
        script = ";".join(
            f"CREATE TABLE t{number} (id serial PRIMARY KEY, a text, b text, c int, d date,"
            " e numeric, f boolean)"
            for number in numbers
        )
        connection.execute(script.encode())
    for number in range(roles):
        name = f"r{number}"
        connection.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 50;"
            f"GRANT CONNECT ON DATABASE postgres TO {name}; GRANT USAGE ON SCHEMA public TO {name};"
            f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO {name};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {name}".encode()
        )


def verify(url: str, roles: int, state: str) -> Verification:
    """Verify every role once; in a process of its own."""
    grants = (Grant("public", "*", (GrantedPrivilege("select"), GrantedPrivilege("insert"))),)
    base = parse_url(url)
    place = f"{base.host}:{base.port}/{base.dbname}"
    tiers = tuple(
        Tier(
            name=f"tier{number}",
            access=AccessLevel.READ_WRITE,
            url_source=f"postgresql://r{number}:{PASSWORD}@{place}",
            role=f"r{number}",
            grants=None if state == "by access level" else grants,
        )
        for number in range(roles)
    )
    target = Target(name="bench", tiers=tiers)
    began = time.perf_counter()
    results = list(verify_target(target, lambda source, _: parse_url(source)))
    seconds = time.perf_counter() - began
    for result in results:
        if result.unreachable or result.problems:
            sys.exit(f"error: {result.unreachable or result.problems}")
    return Verification(
        state=state,
        seconds=seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        drifted=sum(each.drifted for each in results),
        tried=sum(each.statements for each in results),
    )


def run(tables: int, roles: int) -> Verifications:
    """Start a server, fill it, and measure every state."""
    found = Verifications(tables=tables, roles=roles)
    settings = {"max_locks_per_transaction": "1024"}
    with (
        EmbeddedPostgres(durable=False, settings=settings) as server,
        psycopg.connect(server.url(), autocommit=True) as connection,
    ):
        fill(connection, tables, roles)
        for state in STATES:
            if state == "all drifted":
                connection.execute("GRANT DELETE ON ALL TABLES IN SCHEMA public TO PUBLIC")
            words = ["--verify", server.url(), "--roles", str(roles), "--state", state]
            done = subprocess.run(
                [sys.executable, Path(__file__), *words], capture_output=True, text=True, check=True
            )
            found.runs.append(Verification(**json.loads(done.stdout)))
    return found


def show(found: Verifications, console: Console) -> None:
    """Print a run; the bar is for 1,000 tables and 20 roles and grows with both."""
    bar = BAR_S * max(1.0, found.tables * found.roles / 20_000)
    table = Table(title=f"access verify: {found.tables:,} tables, {found.roles:,} roles")
    table.add_column("state of the database")
    for heading in ("seconds", "bar", "differences", "statements tried", "peak MB"):
        table.add_column(heading, justify="right")
    for each in found.runs:
        mark = f"{bar:g} [green]ok[/]" if each.seconds <= bar else f"[red]over {bar:g}[/]"
        table.add_row(
            each.state,
            f"{each.seconds:.1f}",
            mark,
            f"{each.drifted:,}",
            f"{each.tried:,}",
            f"{each.peak_mb:,.0f}",
        )
    console.print(table)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--roles", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--verify", metavar="URL", help="only verify there, print JSON")
    parser.add_argument("--state", choices=STATES, default=STATES[0])
    options = parser.parse_args()
    if options.verify:
        print(json.dumps(asdict(verify(options.verify, options.roles, options.state))))
        return
    found = run(options.tables, options.roles)
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        show(found, Console() if sys.stdout.isatty() else Console(width=130))


if __name__ == "__main__":
    main()
