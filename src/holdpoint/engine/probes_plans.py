"""What the planner says: rows a statement would change, and what a read would cost.

Everything here gets a connection inside a read-only transaction (see ``engine.probes``), and texts
that were found safe to plan (see ``impact.planning``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import psycopg
from psycopg import generators, pq

from holdpoint.impact.selection import quoted
from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Statement
from holdpoint.model.impact import Basis, Figure, ReadCost

Connection = psycopg.AsyncConnection[Any]
Parameters = Sequence[Parameter]

# Tags of statements that EXPLAIN takes (manual, EXPLAIN), by what is asked of them.
_CHANGING_TAGS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT"})
_READING_TAGS: Final = frozenset({"SELECT", "DECLARE CURSOR"})
# A ModifyTable's inputs; before PostgreSQL 14 it has one "Member" for each partition.
_INPUTS: Final = frozenset({"Outer", "Member"})
# Rows at the last ANALYZE, -1 when there was none.
_COUNTED_QUERY: Final = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)"


async def first_value(
    connection: Connection, text: str, parameters: Parameters = ()
) -> bytes | None:
    """Run one statement with raw bind values, as the agent sent them; return its first value.

    Raises ``psycopg.Error`` with the server's own words.
    """
    result = await _result(connection, text, parameters)
    return result.get_value(0, 0) if result.ntuples else None


async def rows_of(
    connection: Connection, text: str, parameters: Parameters = ()
) -> list[tuple[str, ...]]:
    """Run one statement; return all its rows as texts, NULL as an empty one."""
    result = await _result(connection, text, parameters)
    return [
        tuple((result.get_value(row, at) or b"").decode() for at in range(result.nfields))
        for row in range(result.ntuples)
    ]


async def _result(connection: Connection, text: str, parameters: Parameters) -> Any:
    pgconn = connection.pgconn
    pgconn.send_query_params(
        text.encode(),
        [parameter.value for parameter in parameters],
        param_types=[parameter.type_oid for parameter in parameters],
        param_formats=[pq.Format.BINARY if each.binary else pq.Format.TEXT for each in parameters],
    )
    results = await connection.wait(generators.execute(pgconn))
    result = results[-1]
    if result.status == pq.ExecStatus.FATAL_ERROR:
        message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
        sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        raise _TOLD_APART.get(sqlstate, psycopg.ProgrammingError)(message or "the probe failed")
    return result


# The time is over, and a right is missing (manual, appendix A).
_TOLD_APART: Final = {
    "57014": psycopg.errors.QueryCanceled,
    "42501": psycopg.errors.InsufficientPrivilege,
}


async def plan_of(
    connection: Connection, text: str, parameters: Parameters = ()
) -> list[dict[str, Any]]:
    """Return what EXPLAIN says, parsed: one plan per statement that rules make of it."""
    plan = await first_value(connection, f"EXPLAIN (FORMAT JSON, VERBOSE) {text}", parameters)
    if plan is None:
        raise psycopg.DataError("no plan came back")
    plans: list[dict[str, Any]] = orjson.loads(plan)
    return plans


async def rows_expected(
    connection: Connection, statement: Statement, parameters: Parameters
) -> Figure:
    """Return how many rows the statement would change, as the planner estimates."""
    if statement.tag not in _CHANGING_TAGS:
        return Figure(None, Basis.UNKNOWN, f"{statement.tag} cannot be explained")
    plans = await plan_of(connection, statement.text, parameters)
    for name in _scanned(plans, "Foreign Scan"):
        if await first_value(connection, _COUNTED_QUERY, (Parameter(name.encode()),)) == b"-1":
            words = f"foreign table `{name}` was never counted; ANALYZE it"
            return Figure(None, Basis.UNKNOWN, words)
    return Figure(rows_changed(plans), Basis.ESTIMATE)


def rows_changed(plans: list[dict[str, Any]]) -> int:
    """Return the rows that the ModifyTable nodes of a plan take in, summed.

    A ModifyTable's own count is 0 without RETURNING; what it changes is what its input delivers.
    """
    return sum(
        int(child.get("Plan Rows", 0))
        for node in nodes_of(plans)
        if node.get("Node Type") == "ModifyTable"
        for child in node.get("Plans", [])
        if child.get("Parent Relationship") in _INPUTS
    )


def nodes_of(plans: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every node of a plan, outer ones first."""
    waiting = [plan["Plan"] for plan in reversed(plans) if "Plan" in plan]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.get("Plans", [])))


def _scanned(plans: list[dict[str, Any]], kind: str) -> list[str]:
    """Quoted names of the tables that nodes of one type read."""
    return [
        f"{quoted(str(node.get('Schema', '')))}.{quoted(str(node['Relation Name']))}"
        for node in nodes_of(plans)
        if node.get("Node Type") == kind and node.get("Relation Name")
    ]


async def cost_expected(
    connection: Connection, statements: Sequence[Statement], parameters: Parameters
) -> ReadCost:
    """Return the cost of the dearest of some reads."""
    dearest = ReadCost(cost=0, rows=0)
    for statement in statements:
        if statement.tag not in _READING_TAGS:
            return unknown_cost(f"{statement.tag} cannot be explained")
        plans = await plan_of(connection, statement.text, parameters)
        sizes = {}
        for name in dict.fromkeys(_scanned(plans, "Seq Scan")[: limits.READ_TABLES_MAX]):
            size = await first_value(connection, _COUNTED_QUERY, (Parameter(name.encode()),))
            sizes[name] = int(size or 0)
        found = cost_of(plans, sizes)
        if found.cost >= dearest.cost:
            dearest = found
    return dearest


def unknown_cost(why: str) -> ReadCost:
    """A cost that nobody could tell."""
    return ReadCost(cost=0, rows=0, basis=Basis.UNKNOWN, why=why)


def cost_of(plans: list[dict[str, Any]], sizes: Mapping[str, int]) -> ReadCost:
    """Return what a plan costs, and what in it would hurt; ``sizes`` are rows by quoted name."""
    top = [plan["Plan"] for plan in plans if "Plan" in plan]
    cost = sum(float(node.get("Total Cost", 0)) for node in top)
    rows = sum(int(node.get("Plan Rows", 0)) for node in top)
    hurts = [words for node in nodes_of(plans) if (words := _hurting(node))]
    for name, size in sizes.items():
        if size > limits.READ_SCAN_ROWS_MAX:
            hurts.append(f"reads every row of `{name.replace(chr(34), '')}`, about {size:,}")
    return ReadCost(cost=math.ceil(cost), rows=rows, hurts="; ".join(dict.fromkeys(hurts)))


def _hurting(node: dict[str, Any]) -> str:
    """Why a node would hurt, in words; empty when it would not."""
    children = node.get("Plans", [])
    rows = int(node.get("Plan Rows", 0))
    if node.get("Node Type") == "Nested Loop" and len(children) >= 2:
        pairs = int(children[0].get("Plan Rows", 0)) * int(children[1].get("Plan Rows", 0))
        if pairs > limits.READ_PAIRS_MAX:
            return f"compares about {pairs:,} pairs of rows"
    if node.get("Node Type") == "Sort" and rows > limits.READ_SCAN_ROWS_MAX:
        return f"sorts about {rows:,} rows"
    return ""


async def plan_lines(connection: Connection, text: str, parameters: Parameters) -> tuple[str, ...]:
    """Return the plan as EXPLAIN writes it, the first lines of a long one."""
    rows = await rows_of(connection, f"EXPLAIN (COSTS ON) {text}", parameters)
    lines = [row[0][: limits.PLAN_LINE_CHARS_MAX] for row in rows]
    if len(lines) > limits.PLAN_LINES_MAX:
        left = len(lines) - limits.PLAN_LINES_MAX
        lines = [*lines[: limits.PLAN_LINES_MAX], f"... and {left:,} more lines"]
    return tuple(lines)
