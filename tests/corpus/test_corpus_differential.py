"""The reader against a server, over statements nobody wrote.

Whatever the reader calls a read runs unchanged in a read-only transaction of a role that may only
read, and changes nothing where it may write. What changed something was not called a read.
"""

from __future__ import annotations

import os
import time
from collections import Counter

from corpus_cases import Case
from corpus_generator import statement
from corpus_observe import REFUSED, TIMED_OUT, Watcher
from corpus_reading import covered
from corpus_server import Databases, Session
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from holdpoint import sql
from holdpoint.model.effects import Dialect, Effect, SessionView
from holdpoint.sql.names import Catalog

# HOLDPOINT_GENERATED and HOLDPOINT_SEED: for a long run, and for the same one again.
STATEMENTS = int(os.environ.get("HOLDPOINT_GENERATED", "250"))
READ = frozenset({Effect.READ})


class Tally:
    """What became of the statements of one run."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"{dict(self.ends)}; errors {dict(self.states.most_common(8))}"


def check(text: str, catalog: Catalog, watcher: Watcher, reader: Session, tally: Tally) -> None:
    """Run one statement where it may write and where it may not, and compare."""
    said = sql.read(text, Dialect.POSTGRES, SessionView(), catalog).effects
    observed = watcher.rolled_back(Case(id="made", sql=text, effects=READ))
    state = observed.ran.sqlstate
    tally.states[state] += 1
    if state:
        tally.ends["error"] += 1
        return
    did = observed.effects() - {Effect.EXHAUSTION}  # DECLARE and EXPLAIN take no locks of note
    harmful = did | ({Effect.BULK_WRITE} if observed.emptied else set())
    tally.ends["read" if said == READ else "unknown" if Effect.UNKNOWN in said else "write"] += 1
    if said != READ:
        seen = Effect.UNKNOWN in said or covered(did - {Effect.BULK_WRITE}, said)
        assert seen, f"called {sorted(said)}, it did {sorted(harmful)}: {observed}"
        return
    assert not harmful, f"called a read, it did {sorted(harmful)}: {observed}"
    reader.do("BEGIN READ ONLY")
    try:
        ran = reader.run(text)
    finally:
        reader.do("ROLLBACK")
    if text.startswith("EXPLAIN") and ran.sqlstate == REFUSED:
        return  # who may not write a table may not see the plan of a write either
    assert ran.sqlstate in ("", TIMED_OUT), f"called a read, it is refused: {ran.words}"


def test_what_is_called_a_read_reads(
    databases: Databases,
    catalogs: dict[str, Catalog],
    watchers: dict[str, Watcher],
    readers: dict[str, Session],
) -> None:
    tally = Tally()
    drawn = int(os.environ.get("HOLDPOINT_SEED", time.time_ns() % 2**32))
    print(f"seed {drawn}")

    @seed(drawn)
    @settings(
        max_examples=STATEMENTS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(statement())
    def run(text: str) -> None:
        note(text)
        check(text, catalogs["shop"], watchers["shop"], readers["shop"], tally)

    run()
    print(tally)
    total = sum(tally.ends.values())
    assert total - tally.ends["error"] >= total / 2, f"most statements must run: {tally}"
    assert tally.ends["read"] >= total / 10, tally
    assert tally.ends["write"] >= total / 20, tally
