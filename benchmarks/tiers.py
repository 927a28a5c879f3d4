"""What tiers add to a remembered statement: ``python benchmarks/tiers.py``.

A session's relay is fed what a client and a server send for one point read, with a memo that knows
its text. It is measured as a tier without anything, with a hundred grants, and with a budget whose
limits are far away, in turn, in one run. The bar is what grants and budget add, together.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from holdpoint.doors.postgres.memo import Memo
from holdpoint.doors.postgres.metering import Meter
from holdpoint.doors.postgres.pending import Known
from holdpoint.doors.postgres.relay import Relay
from holdpoint.model.budget import NO_BUDGET, Budget
from holdpoint.model.effects import SessionView
from holdpoint.model.grants import Grant, GrantedPrivilege
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.policy.compile import compile_policy
from holdpoint.wire.postgres import messages
from holdpoint.wire.postgres.frames import frame
from routes import compiled

BAR_US = 5.0
STATEMENTS = 20_000
FAR = Budget(rows=10**9, bytes=10**12, statements_per_minute=10**9)
SELECT = (GrantedPrivilege("select"),)
GRANTS = tuple(Grant("public", f"table_{each}", SELECT) for each in range(99))
GRANTED = (*GRANTS, Grant("public", "orders", SELECT))
TEXT = b"SELECT id, status, total FROM orders WHERE id = 7"
ASKED = messages.query(TEXT)
ANSWER = (
    frame(0x54, b"\x00\x01id\x00" + bytes(18))
    + frame(0x44, b"\x00\x01\x00\x00\x00\x017")
    + frame(0x43, b"SELECT 1\x00")
    + messages.ready_for_query()
)


class Session:
    """What a relay asks of its session, and the trail's lane for reads: nothing but the memo."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._view = SessionView()

    def known(self, query: bytes) -> Known | None:
        """Look the text up."""
        return self._memo.known(query, self._view)

    def read_started(self, session: str, text: str, parameters: bytes | None) -> int:
        """Record nothing."""
        return 1

    def read_started_once(self, session: str, text: str) -> int:
        """Record nothing."""
        return 1

    def read_finished(self, number: int, rows: int, sqlstate: str) -> None:
        """Record nothing."""


def relay_of(grants: tuple[Grant, ...] | None, budget: Budget) -> Relay:
    """A session's relay in a tier with these grants and this budget."""
    tier = Tier(name="write", access=AccessLevel.READ_WRITE, url_source="", grants=grants)
    target = Target(name="shop", tiers=(tier,))
    session: Any = Session(Memo(compile_policy((), (target,)), target, tier))
    relay = Relay(session, session, "s", lambda data: None, lambda data: None)
    meter = Meter(time.monotonic)
    meter.apply(budget)
    relay.meter = meter
    return relay


def spent_us(relay: Relay) -> float:
    """Microseconds of the processor for one statement and its answer, the mean of many."""
    began = time.thread_time()
    for _ in range(STATEMENTS):
        relay.client_data(ASKED)
        relay.server_data(ANSWER)
    return (time.thread_time() - began) / STATEMENTS * 1e6


def run(rounds: int) -> dict[str, float]:
    """Median microseconds per statement by kind of tier, measured in turn."""
    kinds = {
        "nothing": relay_of(None, NO_BUDGET),
        "grants": relay_of(GRANTED, NO_BUDGET),
        "budget": relay_of(None, FAR),
        "grants and budget": relay_of(GRANTED, FAR),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for at in range(rounds + 1):
        for name, relay in kinds.items():
            spent = spent_us(relay)
            if at:  # the first round warms up
                times[name].append(spent)
    return {name: statistics.median(spent) for name, spent in times.items()}


def show(medians: dict[str, float], console: Console) -> None:
    """Print what each kind costs, and what it adds."""
    kind = "compiled" if compiled() else "interpreted"
    table = Table(title=f"A remembered statement in a tier, {kind}: median microseconds")
    for heading in ("tier with", "each", "adds"):
        table.add_column(heading, justify="left" if heading == "tier with" else "right")
    least = medians["nothing"]
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{median - least:+.2f}")
    console.print(table)
    added = medians["grants and budget"] - least
    mark = "[green]ok[/]" if added <= BAR_US else f"[red]over {BAR_US:g} us[/]"
    console.print(f"grants and budget add {added:.2f} us (bar {BAR_US:g}) {mark}")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    show(run(options.rounds), Console() if sys.stdout.isatty() else Console(width=130))


if __name__ == "__main__":
    main()
