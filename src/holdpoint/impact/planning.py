"""Whether a message may be given to a planner: planning runs functions.

The planner runs functions that are declared IMMUTABLE, and to guess at selectivity those that are
STABLE (manual, section 36.7), whatever their bodies do. VOLATILE ones it leaves alone. So a text
may be planned when nothing in it is unknown and no function that claims not to be volatile does
more than read.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.effects import Effect, Reading, Statement
from holdpoint.sql.names import Catalog

PLANNED: Final = frozenset({Effect.READ, Effect.WRITE, Effect.BULK_WRITE})
"""Effects of messages whose every part EXPLAIN takes and leaves undone."""

_READ: Final = frozenset({Effect.READ})


def obstacle(reading: Reading, catalog: Catalog | None) -> str:
    """Why the message must not be planned, in words; empty when it may be."""
    if not reading.effects <= PLANNED or reading.unknowns:
        return "it does more than change rows"
    for statement in reading.statements:
        if not runs_functions(statement):
            continue
        for oid in statement.reached:
            function = catalog.function(oid) if catalog is not None else None
            if function is None or function.volatility != "v":
                name = "a function" if function is None else f"`{function.label}`"
                return f"planning would run {name}, which may do more than read"
    return ""


def runs_functions(statement: Statement) -> bool:
    """Whether users' functions that do more than read are among what the statement runs.

    Built-in functions that do more than read are all volatile.
    """
    return bool(statement.reached) and not statement.called <= _READ


def costly(statement: Statement) -> bool:
    """Whether a read could cost anything: it uses a table or a function, and runs.

    FETCH from a cursor that was judged when it was declared uses nothing by itself.
    """
    if not statement.objects and not statement.functions:
        return False
    # ANALYZE, also written ANALYSE, runs the statement; without it only the plan is shown.
    return statement.tag != "EXPLAIN" or "analy" in statement.text.lower()
