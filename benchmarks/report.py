"""Shows a run: ratios first, then the numbers behind them, then what the project asks of itself."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from access import Verifications
from decisions import Decisions
from scenarios import Latency, Scenario

ROUTES = ("holdpoint", "pgbouncer", "direct")


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything one run measured."""

    compiled: bool
    quick: bool
    versions: dict[str, str]
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    latencies: tuple[Latency, ...] = ()
    memory: dict[str, float] = field(default_factory=dict)
    decisions: Decisions | None = None
    access: Verifications | None = None
    failures: list[str] = field(default_factory=list)

    def rate(self, scenario: str, route: str) -> float | None:
        """The median of a scenario by one route, None if it was not measured."""
        rates = self.rates.get(scenario, {}).get(route)
        return median(rates) if rates else None

    def ratio(self, scenario: str, to: str) -> float | None:
        """Holdpoint's median as a share of another route's."""
        ours, other = self.rate(scenario, "holdpoint"), self.rate(scenario, to)
        return ours / other if ours is not None and other else None

    def as_json(self, scenarios: tuple[Scenario, ...]) -> dict[str, Any]:
        """The run as JSON values; rates keep every round."""
        return {
            "machine": {"processors": processors(), "platform": platform.platform()},
            "versions": self.versions,
            "compiled": self.compiled,
            "quick": self.quick,
            "scenarios": [
                {
                    "name": one.name,
                    "unit": one.unit,
                    "bar": one.bar,
                    "to_pgbouncer": self.ratio(one.name, "pgbouncer"),
                    "to_direct": self.ratio(one.name, "direct"),
                    "rounds": self.rates.get(one.name, {}),
                }
                for one in scenarios
            ],
            "median_latency_us": {one.name: one.medians for one in self.latencies},
            "resident_mb": self.memory,
            "decisions": self.decisions.as_json() if self.decisions is not None else None,
            "access": self.access.as_json() if self.access is not None else None,
            "failures": self.failures,
        }


def processors() -> str:
    """The processor's name and how many there are."""
    import os

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"


def ratio_text(value: float | None, bar: float | None) -> str:
    """A ratio, and whether it reaches its bar."""
    if value is None:
        return "-"
    if bar is None:
        return f"{value:.2f}"
    return f"{value:.2f} [green]ok[/]" if value >= bar else f"{value:.2f} [red]under {bar}[/]"


def number(value: float | None) -> str:
    """A rate as people read it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def show(run: Run, scenarios: tuple[Scenario, ...], console: Console) -> None:
    """Print the tables of a run."""
    kind = "compiled" if run.compiled else "interpreted, no compiled modules"
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    console.print(f"Holdpoint {kind}; {versions}; {processors()}")
    table = Table(title="Throughput: medians of interleaved rounds")
    table.add_column("scenario")
    for heading in ("of PgBouncer", "of direct", *(f"{route}" for route in ROUTES)):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for one in scenarios:
        table.add_row(
            one.name,
            ratio_text(run.ratio(one.name, "pgbouncer"), one.bar),
            ratio_text(run.ratio(one.name, "direct"), None),
            *(number(run.rate(one.name, route)) for route in ROUTES),
            one.unit,
        )
    console.print(table)
    if run.latencies:
        console.print(latency_table(run.latencies))
    if run.memory:
        console.print(memory_table(run.memory))


def latency_table(latencies: tuple[Latency, ...]) -> Table:
    """Median latencies of a single client, and what the gate adds."""
    table = Table(title="Median latency of one client, microseconds")
    for heading in ("statement", "added", *ROUTES):
        table.add_column(heading, justify="left" if heading == "statement" else "right")
    for one in latencies:
        added = one.medians["holdpoint"] - one.medians["direct"]
        mark = "[green]ok[/]" if added <= one.bar else f"[red]over {one.bar:.0f}[/]"
        table.add_row(
            one.name, f"{added:,.0f} {mark}", *(number(one.medians.get(route)) for route in ROUTES)
        )
    return table


def memory_table(memory: dict[str, float]) -> Table:
    """Resident memory of the gate."""
    table = Table(title="Resident memory of the gate (bar: 120 MB, flat)")
    table.add_column("when")
    table.add_column("MB", justify="right")
    for when, megabytes in memory.items():
        table.add_row(when, f"{megabytes:,.0f}")
    return table


def save(run: Run, scenarios: tuple[Scenario, ...], path: Path) -> None:
    """Write the run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run.as_json(scenarios), indent=2) + "\n")
