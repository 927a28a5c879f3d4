"""Write the table of PostgreSQL's built-in functions, types and operators from live servers.

Run: ``python tools/generate_functions.py DSN [DSN ...] > TABLE`` with one fresh, empty server per
major version, oldest first; ``TABLE`` is ``src/holdpoint/sql/data/builtins.json``.
A function's volatility is the least safe one over all its overloads and all the servers given, so
that a name counts as immutable only where every function of that name is. Names that some of the
servers lack stand once more under ``partial``, with the first and the last major that has them.
"""

from __future__ import annotations

import json
import sys
from typing import LiteralString

import psycopg

_ORDER = "isv"  # immutable, stable, volatile: a later letter wins
_KINDS = {"a": "aggregate", "w": "window"}
_FUNCTIONS = """
    SELECT n.nspname, p.proname, p.provolatile::text, p.prokind::text
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('pg_catalog', 'information_schema')
"""
_TYPES = """
    SELECT DISTINCT t.typname FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = 'pg_catalog' AND t.typtype IN ('b', 'r', 'm') AND t.typelem = 0
"""
# Without operators behind their operand (`5 !`): PostgreSQL 14 and the grammar have none any more,
# so such a symbol can only be a user's.
_OPERATORS = "SELECT DISTINCT oprname FROM pg_catalog.pg_operator WHERE oprkind <> 'r'"


def collect(dsns: list[str]) -> dict[str, object]:
    """Ask every server and join the answers; the keys are those of the shipped table."""
    volatility: dict[str, str] = {}
    kinds: dict[str, set[str]] = {word: set() for word in _KINDS.values()}
    majors: dict[str, list[int]] = {}
    sets: dict[str, set[str]] = {"types": set(), "operators": set()}
    information_schema: set[str] = set()
    versions: list[str] = []
    for dsn in dsns:
        with psycopg.connect(dsn) as connection:
            version = connection.info.server_version
            versions.append(f"{version // 10_000}.{version % 10_000}")
            for schema, name, letter, kind in connection.execute(_FUNCTIONS):
                if schema == "information_schema":
                    information_schema.add(name)
                    continue
                volatility[name] = max(volatility.get(name, "i"), letter, key=_ORDER.index)
                if kind in _KINDS:
                    kinds[_KINDS[kind]].add(name)
                if version // 10_000 not in majors.setdefault(name, []):
                    majors[name].append(version // 10_000)
            sets["types"] |= _first_column(connection, _TYPES)
            sets["operators"] |= _first_column(connection, _OPERATORS)
    return {
        "servers": versions,
        "immutable": sorted(n for n, letter in volatility.items() if letter == "i"),
        "stable": sorted(n for n, letter in volatility.items() if letter == "s"),
        "volatile": sorted(n for n, letter in volatility.items() if letter == "v"),
        **{word: sorted(names) for word, names in kinds.items()},
        "information_schema": sorted(information_schema),
        **{word: sorted(names) for word, names in sets.items()},
        "partial": {
            name: [found[0], found[-1]]
            for name, found in sorted(majors.items())
            if len(found) < len(dsns)
        },
    }


def _first_column(
    connection: psycopg.Connection[tuple[object, ...]], query: LiteralString
) -> set[str]:
    return {str(row[0]) for row in connection.execute(query)}


def written(table: dict[str, object]) -> str:
    """The table as text: one key a line, so that a difference between servers can be read."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in table.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.stdout.write(written(collect(sys.argv[1:])))
