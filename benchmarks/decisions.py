"""What deciding costs: ``make bench``, or ``python benchmarks/decisions.py`` alone.

Each statement is measured in one run by four ways, in turn: libpg_query's C call, the same with its
tree as dictionaries, ``postgast.parse``, and the whole decision (read, findings, case, policy) with
and without a catalog of 10,000 tables. No text comes twice, so nothing is remembered. Ratios come
first: absolute times are the machine's.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

from holdpoint import sql
from holdpoint.app import _settle_memory as settle_memory
from holdpoint.doors.postgres.memo import Memo
from holdpoint.impact import hazards
from holdpoint.model.case import Case
from holdpoint.model.catalog import CatalogRows, Column, Constraint, Index, Relation, RelationKind
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.model.impact import Impact
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.policy.compile import compile_policy
from holdpoint.policy.decide import decide
from holdpoint.sql import grammar
from holdpoint.sql.names import Catalog
from routes import compiled

TIER = Tier(name="write", access=AccessLevel.READ_WRITE, url_source="")
TARGET = Target(name="shop", environment="production", tiers=(TIER,))
POLICY = compile_policy((), (TARGET,))
AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
VIEW = SessionView()
BYTES_MAX = 2_000  # per remembered decision

JOINED = (
    "orders", "customers", "addresses", "items", "products",
    "categories", "suppliers", "shipments", "carriers", "payments",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of statement: ``text`` makes the n-th of it; ``bar`` is microseconds."""

    name: str
    bar: float
    text: Callable[[int], str]
    count: int  # of texts in a round


def point_read(number: int) -> str:
    """A row by its key."""
    return f"SELECT id, status, total FROM orders WHERE id = {number}"


def point_write(number: int) -> str:
    """A change of a row by its key."""
    return f"UPDATE orders SET status = 'paid {number}' WHERE id = {number}"


def join(number: int) -> str:
    """Ten tables, joined, grouped and ordered, as a report does it."""
    joins = "\n".join(
        f"JOIN {name} AS t{at} ON t{at}.id = t{at - 1}.{name}_id"
        for at, name in enumerate(JOINED)
        if at
    )
    return (
        "SELECT t1.id, t1.status, count(*) AS n, sum(t3.total * t4.price) AS amount,"
        " max(t9.created_at) AS last,"
        " coalesce(t2.city, 'unknown') AS city, date_trunc('month', t0.created_at) AS month\n"
        f"FROM orders AS t0\n{joins}\n"
        f"WHERE t0.created_at >= '2026-01-01' AND t0.id > {number}"
        " AND t4.status IN ('new', 'old') AND t8.status LIKE 'a%'\n"
        "GROUP BY t1.id, t1.status, city, month HAVING count(*) > 3\n"
        "ORDER BY amount DESC LIMIT 50"
    )


def long_list(number: int) -> str:
    """100 kB of keys in one IN."""
    keys = ", ".join(str(number * 20_000 + each) for each in range(100_000, 110_000))
    return f"SELECT * FROM orders WHERE id IN ({keys})"


def long_insert(number: int) -> str:
    """100 kB of rows in one INSERT."""
    rows = ",\n".join(
        f"({number * 20_000 + each}, 'paid', {each}.50, '2026-11-23 10:00:00')"
        for each in range(1_950)
    )
    return f"INSERT INTO orders (id, status, total, created_at) VALUES\n{rows}"


def long_report(number: int) -> str:
    """100 kB of common table expressions, joins and calls."""
    ctes = ",\n".join(
        f"part_{each} AS (SELECT o.id, sum(o.total) AS total, coalesce(max(c.city), '-') AS city,"
        f" count(*) FILTER (WHERE o.status = 'paid') AS paid FROM orders o JOIN customers c ON"
        f" c.id = o.customers_id WHERE o.id > {number + each} AND lower(c.city) LIKE 'a%' GROUP BY"
        " o.id)"
        for each in range(395)
    )
    return f"WITH {ctes}\nSELECT * FROM part_0 WHERE id = {number}"


FULL = (
    Kind("point read", 60, point_read, 500),
    Kind("point write", 60, point_write, 500),
    Kind("join of 10 tables", 400, join, 100),
    Kind("100 kB, an IN list", 50_000, long_list, 4),
    Kind("100 kB, an INSERT", 50_000, long_insert, 4),
    Kind("100 kB, a report", 50_000, long_report, 4),
)


def catalog_of(tables: int) -> Catalog:
    """A picture of a database of that many tables, the joined ones first, with keys and links."""
    relations = []
    for number in range(tables):
        name = JOINED[number] if number < len(JOINED) else f"table_{number}"
        oid = 20_000 + 10 * number
        links = [f"{other}_id" for other in JOINED]
        columns = (
            Column(name="id", type_oid=20, not_null=True),
            Column(name="status", type_oid=25),
            Column(name="city", type_oid=25),
            Column(name="total", type_oid=1700),
            Column(name="price", type_oid=1700),
            Column(name="created_at", type_oid=1184, default="now()"),
            *(Column(name=link, type_oid=20) for link in links),
        )
        primary = Index(oid + 1, f"{name}_pkey", ("id",), unique=True, primary=True)
        constraints = [Constraint(f"{name}_pkey", "p", ("id",))]
        if number >= len(JOINED):
            link = Constraint(f"{name}_fkey", "f", (links[0],), oid - 10, ("id",))
            constraints.append(link)
        relations.append(
            Relation(
                oid=oid, schema="public", name=name, kind=RelationKind.TABLE, owner="shop",
                rows=1_000, columns=columns, indexes=(primary,), constraints=tuple(constraints),
            )
        )  # fmt: skip
    return Catalog(
        CatalogRows(
            version=180_004, role="agent", search_path=("public",), schemas=("public",),
            relations=tuple(relations),
        )
    )  # fmt: skip


def decided(text: str, catalog: Catalog | None) -> int:
    """Decide over a text as ``gate.admit`` does, without asking a database; gives the verdict."""
    reading = sql.read(text, Dialect.POSTGRES, VIEW, catalog)
    case = Case(
        agent="bench", task="", session="s", target=TARGET, tier=TIER, role="agent", peer="",
        reading=reading, parameters=None, impact=Impact(),
        findings=hazards.findings_of(reading), policy_digest=POLICY.digest, at=AT,
    )  # fmt: skip
    return int(decide(POLICY, case).verdict)


def bare_parse(text: str) -> None:
    """libpg_query alone: text to a tree as JSON, which nobody looks at."""
    result = grammar._parse(text.encode())
    failed = bool(result.error)
    grammar._free(result)
    assert not failed, text[:200]


def ways(catalog: Catalog | None) -> dict[str, Callable[[str], object]]:
    """What is measured, by name."""
    # By name: its stubs are not for type checkers, and the product never imports it.
    postgast = import_module("postgast")
    found: dict[str, Callable[[str], object]] = {
        "C parse": bare_parse,
        "parse to dictionaries": lambda text: grammar.parse(text, text.encode()),
        "postgast.parse": postgast.parse,
        "decision": lambda text: decided(text, None),
    }
    if catalog is not None:
        found["decision, catalog"] = lambda text: decided(text, catalog)
    return found


@dataclass(slots=True, kw_only=True)
class Decisions:
    """What one run measured: median microseconds by kind and way, bytes by kind."""

    compiled: bool
    tables: int
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    bytes_each: dict[str, tuple[float, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "compiled": self.compiled,
            "catalog_tables": self.tables,
            "kinds": [
                {
                    "name": kind.name,
                    "bar_us": kind.bar,
                    "ratio_to_c_parse": ratio(self.medians[kind.name], "C parse"),
                    "ratio_to_postgast": ratio(self.medians[kind.name], "postgast.parse"),
                    "median_us": self.medians[kind.name],
                }
                for kind in FULL
                if kind.name in self.medians
            ],
            "remembered_bytes": {
                name: {"each": each, "of_which_text": text}
                for name, (each, text) in self.bytes_each.items()
            },
        }


def ratio(medians: dict[str, float], to: str) -> float:
    """The slowest decision as a multiple of another way."""
    return slowest(medians) / medians[to]


def slowest(medians: dict[str, float]) -> float:
    """The decision that costs most, with or without a catalog."""
    return max(median for way, median in medians.items() if way.startswith("decision"))


def run(tables: int, rounds: int) -> Decisions:
    """Measure every kind by every way, in turn."""
    settle_memory()  # before the catalog is there, as in the product
    catalog = catalog_of(tables) if tables else None
    found = Decisions(compiled=compiled(), tables=tables)
    fresh = 0
    for kind in FULL:
        times: dict[str, list[float]] = {way: [] for way in ways(catalog)}
        for at in range(rounds + 1):
            texts = [kind.text(fresh + each) for each in range(kind.count)]
            fresh += kind.count
            for way, call in ways(catalog).items():
                spent = timed(call, texts)
                if at:  # the first round warms up
                    times[way] += spent
        found.medians[kind.name] = {
            way: statistics.median(spent) * 1e6 for way, spent in times.items()
        }
    for name, text in (("point read", named_read), ("join of 10 tables", named_join)):
        found.bytes_each[name] = remembered(text)
    return found


def timed(call: Callable[[str], object], texts: list[str]) -> list[float]:
    """Seconds of the processor that each text takes."""
    spent = []
    gc.collect()
    for text in texts:
        began = time.thread_time()
        call(text)
        spent.append(time.thread_time() - began)
    return spent


def named_read(number: int) -> str:
    """A point read with its key in a string: such texts are remembered one by one."""
    return f"SELECT id, status, total FROM orders WHERE code = 'A-{number:08}'"


def named_join(number: int) -> str:
    """The join with a string in it, as ``named_read``."""
    return join(0).replace("'old'", f"'old {number:08}'")


def remembered(text: Callable[[int], str], count: int = 2_000) -> tuple[float, int]:
    """Bytes that the memo keeps for each text, and how many of them are the text itself."""
    memo = Memo(POLICY, TARGET, TIER)
    texts = [text(number).encode() for number in range(count)]
    for one in texts[:10]:
        memo.known(one, VIEW)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for one in texts[10:]:
            assert memo.known(bytes(bytearray(one)), VIEW) is not None  # a copy, as from a socket
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return kept / (count - 10), len(texts[0])


def microseconds(value: float) -> str:
    """A time as people read it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def show(found: Decisions, console: Console) -> None:
    """Print a run: ratios, then times, then bytes."""
    kind_of_code = "compiled" if found.compiled else "interpreted, no compiled modules"
    table = Table(title=f"Deciding, {kind_of_code}: median microseconds")
    table.add_column("statement, never seen")
    names = list(next(iter(found.medians.values())))
    for heading in ("of C parse", "of postgast", "bar", *names):
        table.add_column(heading, justify="right")
    for kind in FULL:
        medians = found.medians[kind.name]
        over = slowest(medians) > kind.bar
        bar = f"[red]over {kind.bar:,.0f}[/]" if over else f"{kind.bar:,.0f} [green]ok[/]"
        table.add_row(
            kind.name,
            f"{ratio(medians, 'C parse'):.1f}",
            f"{ratio(medians, 'postgast.parse'):.2f}",
            bar,
            *(microseconds(medians[way]) for way in names),
        )
    console.print(table)
    for name, (each, text) in found.bytes_each.items():
        mark = "[green]ok[/]" if each <= BYTES_MAX else f"[red]over {BYTES_MAX:,}[/]"
        console.print(
            f"remembered, {name}: {each:,.0f} bytes each ({text:,} are the text's) {mark}"
        )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=10_000, help="tables of the catalog; 0: none")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each statement")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = run(options.tables, options.rounds)
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        show(found, Console() if sys.stdout.isatty() else Console(width=130))


if __name__ == "__main__":
    main()
