"""Bad input: an answer or `unknown` in bounded time and memory, never an exception or a crash.

The limits of time are the test's own timeout; what is asserted is that there is an answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from corpus_cases import Case, cases
from corpus_reading import catalog_of
from corpus_server import Databases
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint import sql
from holdpoint.model.effects import Dialect, Effect, Reading, SessionView
from holdpoint.sql.names import Catalog

CASES = cases()
READ = frozenset({Effect.READ})
MEGABYTE = 1024 * 1024
WORDS = sorted({word for case in CASES for word in case.sql.split()} - {""})
BROKEN = (
    "'",
    '"',
    "$$",
    "/*",
    "*/",
    "--",
    "(",
    ")",
    ";",
    "\\",
    "E'",
    "U&'",
    "$1",
    "\x00",
    "\ud800",
)


@pytest.fixture(scope="module")
def catalog(databases18: Databases) -> Catalog:
    return catalog_of(databases18["shop"])


def whole(reading: Reading) -> None:
    """What holds for every answer."""
    unknown = Effect.UNKNOWN in reading.effects
    assert reading.effects
    assert unknown == bool(reading.unknowns)
    assert reading.problem is None or unknown


def read(text: str, catalog: Catalog | None = None) -> Reading:
    reading = sql.read(text, Dialect.POSTGRES, SessionView(), catalog)
    whole(reading)
    return reading


NESTED: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "SELECT " + "(" * n + "1" + ")" * n,
    "queries": lambda n: "SELECT 1 FROM " + "(SELECT 1 FROM " * n + "archive" + ") x" * n,
    "scalar queries": lambda n: "SELECT " + "(SELECT " * n + "1" + ")" * n,
    "calls": lambda n: "SELECT " + "abs(" * n + "1" + ")" * n,
    "cases": lambda n: "SELECT " + "CASE WHEN true THEN " * n + "1" + " END" * n,
    "negations": lambda n: "SELECT " + "NOT " * n + "true",
    "arrays": lambda n: "SELECT " + "ARRAY[" * n + "1" + "]" * n,
    "comments": lambda n: "SELECT " + "/*" * n + " DELETE FROM archive " + "*/" * n + "1",
    "CTEs": lambda n: (
        "".join(f"WITH c{i} AS (" for i in range(n))
        + "SELECT 1"
        + "".join(f") SELECT * FROM c{i}" for i in reversed(range(n)))
    ),
    "writing CTE below": lambda n: (
        "SELECT 1 FROM " + "(SELECT 1 FROM " * n + "evil_write()" + ") x" * n
    ),
    "filters": lambda n: "DELETE FROM archive WHERE " + "(id = 1 AND " * n + "true" + ")" * n,
    "unions": lambda n: "SELECT 1" + " UNION SELECT 1" * n,
    "casts": lambda n: "SELECT 1" + "::text::integer" * (n // 2),
    "operators": lambda n: "SELECT 1" + " + 1" * n,
    "blocks": lambda n: "DO $$ " + "BEGIN " * n + "DELETE FROM archive; " + "END; " * n + "$$",
    "dollar quotes": lambda n: "DO $a$ BEGIN EXECUTE $b$ " + "SELECT 1; " * n + "$b$; END $a$",
}


@pytest.mark.parametrize("depth", [100, 2_000, 20_000])
@pytest.mark.parametrize("shape", NESTED)
def test_nesting(shape: str, depth: int, catalog: Catalog) -> None:
    text = NESTED[shape](depth)
    reading = read(text, catalog)
    if Effect.UNKNOWN not in reading.effects and shape in (
        "blocks",
        "filters",
        "writing CTE below",
    ):
        assert reading.effects != READ, "what it does at its innermost is seen"


LONG: dict[str, Callable[[], str]] = {
    "a literal": lambda: f"SELECT '{'x' * 10 * MEGABYTE}'",
    "a literal to insert": lambda: f"INSERT INTO archive VALUES (1, '{'x' * 10 * MEGABYTE}')",
    "a comment": lambda: f"SELECT 1 /* {'x' * 10 * MEGABYTE} */",
    "a comment before a write": lambda: f"/*{'*' * 10 * MEGABYTE}*/ DELETE FROM archive",
    "blanks": lambda: f"SELECT{' ' * 10 * MEGABYTE}1",
    "rows": lambda: "INSERT INTO archive VALUES " + ",".join(f"({n}, 'x')" for n in range(700_000)),
    "statements": lambda: "SELECT 1;" * MEGABYTE,
    "a name": lambda: f"SELECT {'x' * 10 * MEGABYTE}",
    "an IN list": lambda: (
        f"SELECT id FROM orders WHERE id IN ({','.join(map(str, range(100_000)))})"
    ),
    "a DELETE with an IN list": lambda: (
        f"DELETE FROM archive WHERE id IN ({','.join(map(str, range(100_000)))})"
    ),
    "an array": lambda: f"SELECT ARRAY[{','.join(map(str, range(100_000)))}]",
    "columns": lambda: "SELECT " + ",".join(f"id AS c{n}" for n in range(50_000)) + " FROM orders",
    "alternatives": lambda: (
        "DELETE FROM archive WHERE " + " OR ".join(f"id = {n}" for n in range(100_000))
    ),
    "a block": lambda: "DO $$ BEGIN " + "PERFORM 1; " * 100_000 + "END $$",
}


@pytest.mark.parametrize("kind", LONG)
def test_length(kind: str, catalog: Catalog) -> None:
    reading = read(LONG[kind](), catalog)
    if "DELETE" in kind or "write" in kind or kind in ("rows", "alternatives"):
        assert reading.effects != READ


def test_every_prefix_of_every_case(catalog: Catalog) -> None:
    """A statement cut anywhere, as a broken connection might; a long one at every tenth place."""
    seen: set[str] = set()
    for case in CASES:
        step = 1 if len(case.sql) <= 200 else 10
        seen.update(case.sql[:end] for end in range(0, len(case.sql), step))
    for text in seen:
        reading = read(text, catalog)
        if reading.effects == READ:  # then the whole text was read, and no rest left out
            assert reading.problem is None


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes(data: bytes) -> None:
    read(data.decode("utf-8", "surrogateescape"))
    read(data.decode("latin-1"))


@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(BROKEN), max_size=30), st.booleans())
@settings(max_examples=500, deadline=None)
def test_soup_of_words(catalog: Catalog, words: list[str], tight: bool) -> None:
    read(("" if tight else " ").join(words), catalog)


@given(st.sampled_from(CASES), st.sampled_from(CASES), st.data())
@settings(max_examples=300, deadline=None)
def test_two_cases_spliced(catalog: Catalog, one: Case, other: Case, data: st.DataObject) -> None:
    first, second = one.sql, other.sql
    at, upto = data.draw(st.integers(0, len(first))), data.draw(st.integers(0, len(second)))
    read(first[:at] + second[upto:], catalog)


CRASHERS = [
    "SELECT " + "(" * 200_000,
    "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "SELECT 1" + " + 1" * 300_000,
    "SELECT " + "NOT " * 500_000 + "true",
    "SELECT " + "- " * 500_000 + "1",
    "SELECT " + "[" * 100_000,
    "SELECT x" + "[1]" * 200_000,
    "SELECT x" + ".a" * 200_000,
    "SELECT 1" + " UNION SELECT 1" * 200_000,
    "SELECT 1 FROM a" + " JOIN a ON true" * 100_000,
    "SELECT " + "CASE WHEN " * 100_000,
    "/*" * 1_000_000,
    "SELECT 1" + "::int" * 300_000,
    "SELECT 1 WHERE " + "a AND (" * 100_000,
    "CREATE TABLE a (" + "b int," * 200_000 + "c int)",
    "DO $$ " + "BEGIN " * 100_000 + "$$",
    "DO $$ BEGIN " + "IF true THEN " * 100_000 + " END $$",
    "EXPLAIN " * 100_000 + "SELECT 1",
    "PREPARE a AS " * 100_000 + "SELECT 1",
]


def test_nothing_crashes_a_process() -> None:
    """In a child, because a C stack that overflows takes its process along."""
    child = (
        "import sys, json\n"
        "from holdpoint import sql\n"
        "for text in json.load(sys.stdin):\n"
        "    reading = sql.read(text)\n"
        "    print(sorted(reading.effects)[0], flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child], input=json.dumps(CRASHERS), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert len(done.stdout.splitlines()) == len(CRASHERS)
