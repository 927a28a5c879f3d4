"""How long a catalog of 10,000 tables takes to read, and what holding it costs: run by hand.

``.venv/bin/python benchmarks/catalog.py [--tables 10000]`` starts a server, makes the tables (each
ten columns, two indexes, every fourth a foreign key, every tenth a view, every twentieth a
function), and reads its catalog in a process of its own, so that its memory is that of the picture.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from holdpoint.embedded import EmbeddedPostgres

SCHEMAS = 20
WORDS = (
    "account",
    "balance",
    "channel",
    "code",
    "email",
    "grade",
    "item",
    "label",
    "region",
    "zone",
)
TYPES = (
    "text",
    "integer",
    "numeric(10,2)",
    "timestamptz DEFAULT now()",
    "text NOT NULL DEFAULT 'new'",
    "boolean",
    "date",
    "bigint",
)
READ_S = 5.0
HELD_MB = 150.0


def script(number: int) -> str:
    """What makes one table and what hangs on it."""
    schema, name = f"s{number % SCHEMAS}", f"table_{number}"
    columns = [
        f"{WORDS[(number * 7 + place) % len(WORDS)]}_{(number + place) % 200} {kind}"
        for place, kind in enumerate(TYPES)
    ]
    parent = number // 10
    refers = f"REFERENCES s{parent % SCHEMAS}.table_{parent}" if number % 4 == 1 else ""
    lines = [
        f"CREATE SCHEMA {schema}" if number < SCHEMAS else "",
        f"CREATE TABLE {schema}.{name} (id bigserial PRIMARY KEY, parent_id bigint {refers}, "
        f"{', '.join(columns)}, CHECK (parent_id > 0))",
        f"CREATE INDEX ON {schema}.{name} (parent_id)",
        f"CREATE VIEW {schema}.view_{number} AS SELECT * FROM {schema}.{name} WHERE id > 0"
        if number % 10 == 0
        else "",
        f"CREATE FUNCTION {schema}.count_{number}(since bigint) RETURNS bigint LANGUAGE sql AS "
        f"'SELECT count(*) FROM {schema}.{name} WHERE id >= since'"
        if number % 20 == 0
        else "",
    ]
    return ";\n".join(line for line in lines if line)


def fill(url: str, tables: int) -> None:
    """Make the tables, 500 to a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        for start in range(0, tables, 500):
            numbers = range(start, min(start + 500, tables))
            connection.execute(";\n".join(map(script, numbers)).encode())


def resident_mb() -> float:
    """This process's resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def read(url: str) -> dict[str, float]:
    """Read the catalog once and hold it; runs in a fresh process."""
    from holdpoint.engine.catalogs import read_catalog, read_mark
    from holdpoint.sql.names import Catalog

    gaps: list[float] = []

    async def heartbeat() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - start)

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await read_mark(connection)
        gc.collect()
        before = resident_mb()
        beating = asyncio.create_task(heartbeat())
        start = time.perf_counter()
        rows = await read_catalog(connection)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        catalog = await asyncio.to_thread(Catalog, rows)
        indexed = time.perf_counter() - start
        start = time.perf_counter()
        await read_mark(connection)
        mark = time.perf_counter() - start
        beating.cancel()
        gc.collect()
        return {
            "tables": sum(each.kind == "r" for each in catalog.rows.relations),
            "relations": len(catalog.rows.relations),
            "columns": sum(len(each.columns) for each in catalog.rows.relations),
            "read_s": round(seconds, 2),
            "index_s": round(indexed, 2),
            "mark_s": round(mark, 3),
            "held_mb": round(resident_mb() - before, 1),
            "longest_block_ms": round(max(gaps) * 1000, 1),
        }


def main() -> None:
    """Start a server, fill it, read it from a fresh process, say whether the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--read", metavar="URL", help="only read this catalog, print JSON")
    options = parser.parse_args()
    if options.read:
        print(json.dumps(asyncio.run(read(options.read))))
        return
    with EmbeddedPostgres(durable=False, settings={"max_locks_per_transaction": "1024"}) as server:
        print(f"  … making {options.tables:,} tables", file=sys.stderr, flush=True)
        fill(server.url(), options.tables)
        done = subprocess.run(
            [sys.executable, __file__, "--read", server.url()],
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)
    for name, value in found.items():
        print(f"{name:>18}  {value:,}")
    over = found["read_s"] + found["index_s"] > READ_S or found["held_mb"] > HELD_MB
    print(f"aim: read in {READ_S:g} s, held in {HELD_MB:g} MB: {'MISSED' if over else 'met'}")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
