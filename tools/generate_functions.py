"""Write the table of PostgreSQL's built-in functions, types and operators from live servers.

Run: ``python tools/generate_functions.py postgresql://... [postgresql://...] > TABLE`` with one
fresh, empty server per major version; ``TABLE`` is ``src/holdpoint/sql/data/builtins.json``.
A function's volatility is the least safe one over all its overloads and all the servers given, so
that a name counts as immutable only where every function of that name is.
"""

import json
import sys

import psycopg

_ORDER = "isv"  # immutable, stable, volatile: a later letter wins
_FUNCTIONS = """
    SELECT n.nspname, p.proname, p.provolatile::text
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('pg_catalog', 'information_schema')
"""
_TYPES = """
    SELECT DISTINCT t.typname FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = 'pg_catalog' AND t.typtype IN ('b', 'r', 'm') AND t.typelem = 0
"""
_OPERATORS = "SELECT DISTINCT oprname FROM pg_catalog.pg_operator"


def collect(urls: list[str]) -> dict[str, object]:
    """Ask every server and join the answers; the keys are those of the shipped table."""
    volatility: dict[str, str] = {}
    information_schema: set[str] = set()
    types: set[str] = set()
    operators: set[str] = set()
    versions: list[str] = []
    for url in urls:
        with psycopg.connect(url) as connection:
            versions.append(connection.execute("SHOW server_version").fetchone()[0])
            for schema, name, letter in connection.execute(_FUNCTIONS):
                if schema == "information_schema":
                    information_schema.add(name)
                    continue
                volatility[name] = max(volatility.get(name, "i"), letter, key=_ORDER.index)
            types.update(row[0] for row in connection.execute(_TYPES))
            operators.update(row[0] for row in connection.execute(_OPERATORS))
    return {
        "servers": versions,
        "immutable": sorted(n for n, letter in volatility.items() if letter == "i"),
        "stable": sorted(n for n, letter in volatility.items() if letter == "s"),
        "volatile": sorted(n for n, letter in volatility.items() if letter == "v"),
        "information_schema": sorted(information_schema),
        "types": sorted(types),
        "operators": sorted(operators),
    }


if __name__ == "__main__":
    json.dump(collect(sys.argv[1:]), sys.stdout, indent=0)
    sys.stdout.write("\n")
