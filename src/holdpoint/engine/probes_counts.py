"""Rows counted or estimated by queries that only read: what a write picks, what cascades take.

A count runs under a budget; when the time is over, or the role may not look, the planner's estimate
stands in and says why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import psycopg

from holdpoint.engine.probes_plans import Connection, Parameters, first_value, plan_of
from holdpoint.impact.selection import Selection, quoted
from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.steps import RowQuery

_TEXT_OID: Final = 25
# Whether a table's rows are those that a SELECT shows: no view, and no rule that puts something
# else in the place of a write.
_PLAIN_QUERY: Final = """
SELECT relkind IN ('r', 'p', 'f')
       AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid)
  FROM pg_class WHERE oid = to_regclass($1)
"""


def fitted(parameters: Parameters, used: Collection[int]) -> list[Parameter]:
    """The bind values for a query in which not all of them occur.

    A ``$n`` that does not occur has no type to be inferred: it becomes a NULL of type text.
    """
    return [
        parameter if number in used else Parameter(None, type_oid=_TEXT_OID)
        for number, parameter in enumerate(parameters, start=1)
        if number <= max(used, default=0)
    ]


async def count_selection(
    connection: Connection, selection: Selection, parameters: Parameters, budget_s: float
) -> int:
    """Count what a write picks. Raises ``psycopg.Error``; ``ValueError`` when a count would lie."""
    name = quoted(selection.name)
    if selection.schema:
        name = f"{quoted(selection.schema)}.{name}"
    if await first_value(connection, _PLAIN_QUERY, (Parameter(name.encode()),)) != b"t":
        raise ValueError("it writes through a view or a rule")
    await _limit(connection, budget_s)
    values = fitted(parameters, selection.parameters)
    value = await first_value(connection, selection.query("pg_catalog.count(*)"), values)
    return int(value or 0)


async def selection_expected(
    connection: Connection, selection: Selection, parameters: Parameters
) -> Figure:
    """What a write picks, as the planner estimates it for a SELECT. Raises ``psycopg.Error``."""
    values = fitted(parameters, selection.parameters)
    await _limit(connection, limits.PROBE_TIMEOUT_S)
    plans = await plan_of(connection, selection.query("1"), values)
    return Figure(expected_rows(plans), Basis.ESTIMATE)


async def _limit(connection: Connection, budget_s: float) -> None:
    """Give what follows in this transaction its time, and no rows hidden by row security.

    With ``row_security`` off a query that a policy would thin out fails instead (manual, 5.9).
    """
    await connection.execute(
        f"SET LOCAL statement_timeout = {max(1, int(budget_s * 1000))}; "
        "SET LOCAL row_security = off"
    )


async def rows_of_query(
    connection: Connection, query: RowQuery, parameters: Parameters, budget_s: float | None
) -> Figure:
    """Count the rows of a query if there is a budget for it, else estimate them.

    Raises ``psycopg.Error``; the transaction is then over.
    """
    values = fitted(parameters, query.parameters)
    # Estimates are not to run the functions of row security policies either.
    await _limit(connection, budget_s or limits.PROBE_TIMEOUT_S)
    if budget_s is None:
        plans = await plan_of(connection, f"SELECT 1 {query.text}", values)
        return Figure(expected_rows(plans), Basis.ESTIMATE)
    value = await first_value(connection, f"SELECT pg_catalog.count(*) {query.text}", values)
    return Figure(int(value or 0), Basis.EXACT)


def expected_rows(plans: Sequence[dict[str, object]]) -> int:
    """Rows that the outermost node of a plan delivers."""
    total = 0
    for plan in plans:
        node = plan.get("Plan")
        rows = node.get("Plan Rows", 0) if isinstance(node, dict) else 0
        total += int(rows)
    return total


def why_not_exact(error: Exception, budget_s: float) -> str:
    """Why a count gave no answer, in words."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"counting took over {budget_s:g} s"
    first = str(error).strip().splitlines()
    return f"not counted: {first[0][:200]}" if first else "not counted"
