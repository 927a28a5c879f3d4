"""Texts made to exhaust the parser: refused with words, and the process lives."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Effect
from holdpoint.model.limits import PARSE_BYTES_MAX, STATEMENT_COUNT_MAX
from holdpoint.sql import read
from holdpoint.sql.prescan import obstacle

BOMBS = {
    "brackets": lambda n: "SELECT " + "(" * n + "1" + ")" * n,
    "open brackets": lambda n: "SELECT " + "(" * n,
    "sum": lambda n: "SELECT " + "1+" * n + "1",
    "unary": lambda n: "SELECT " + "- " * n + "1",
    "not": lambda n: "SELECT " + "NOT " * n + "true",
    "casts": lambda n: "SELECT 1" + "::int" * n,
    "collations": lambda n: "SELECT a" + ' COLLATE "C"' * n,
    "concatenation": lambda n: "SELECT 'a'" + "||'a'" * n,
    "unions with commas": lambda n: "SELECT 1,2 " + "UNION SELECT 1,2 " * n,
    "joins": lambda n: "SELECT 1 FROM a" + " JOIN a ON a.i = 1" * n,
    "subqueries": lambda n: "SELECT " + "(SELECT " * n + "1" + ")" * n,
    "case": lambda n: "SELECT " + "CASE WHEN a THEN " * n + "1" + " END" * n,
    "comments": lambda n: "/*" * n,
    "closed comments": lambda n: "/**/" * n + "SELECT 1",
    "calls": lambda n: "SELECT " + "abs(" * n + "1" + ")" * n,
    "calls with commas": lambda n: "SELECT " + "f(1,2)+" * n + "1",
    "brackets with or": lambda n: "SELECT " + "(a or b)+" * n + "1",
    "subscripts with commas": lambda n: "SELECT " + "ARRAY[1,2]||" * n + "a",
    "rows with semicolons": lambda n: "SELECT " + "(1;2)+" * n + "1",
    "behind an escape": lambda n: r"SELECT E'\'', " + "1+" * n + "1",
    "behind a dollar quote": lambda n: "SELECT 1$a$'$a$, " + "1+" * n + "1",
    "behind a continued escape": lambda n: "SELECT E'x'\n'\\'', " + "1+" * n + "1",
    "behind a quoted name": lambda n: 'SELECT "a\'", ' + "1+" * n + "1",
    "behind a comment": lambda n: "SELECT 1 -- '\n, " + "1+" * n + "1",
    "behind a nested comment": lambda n: "SELECT /* /* */ ' */ " + "1+" * n + "1",
    "a name that begins like a space and an or": lambda n: "SELECT 1" + "+\u3000or" * n,
    "after a word that ends in e": lambda n: "SELECT date'\\', " + "1+" * n + "1",
}


@pytest.mark.parametrize("size", [300, 3_000, 100_000])
@pytest.mark.parametrize("name", BOMBS)
def test_depth_is_refused_with_words_or_read(name: str, size: int) -> None:
    reading = read(BOMBS[name](size))
    assert reading.effects <= {Effect.READ, Effect.UNKNOWN}
    assert (Effect.UNKNOWN in reading.effects) == bool(reading.unknowns)
    if size == 100_000:
        assert reading.effects == {Effect.UNKNOWN}


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES " + ", ".join(f"({n}, 'name {n}', now())" for n in range(5_000)),
        "SELECT * FROM t WHERE id IN (" + ", ".join(map(str, range(50_000))) + ")",
        "INSERT INTO t VALUES ('" + "1 + 1 - ''quoted'' /* no comment " * 20_000 + "')",
        "INSERT INTO t VALUES (E'" + r"it\'s \\ + " * 20_000 + "')",
        "INSERT INTO t VALUES ($x$" + "a + b' $y$ " * 20_000 + "$x$)",
        "SELECT 1 -- " + "+" * 20_000,
        "/* " + "=" * 20_000 + " */ SELECT 1",
        "SELECT 1 WHERE " + " OR ".join(f"a = {n}" for n in range(2_000)),
        "\n".join(f"INSERT INTO t VALUES ({n});" for n in range(STATEMENT_COUNT_MAX)),
    ],
    ids=lambda text: text[:40],
)
def test_long_texts_of_ordinary_work_are_read(text: str) -> None:
    reading = read(text)
    assert reading.problem is None
    assert Effect.UNKNOWN not in reading.effects, reading.unknowns


def test_too_many_statements_are_refused() -> None:
    assert read("SELECT 1;" * (STATEMENT_COUNT_MAX + 1)).effects == {Effect.UNKNOWN}


def test_size_is_bounded_before_anything_is_scanned() -> None:
    assert "bytes" in obstacle("", PARSE_BYTES_MAX + 1)
    assert obstacle("", PARSE_BYTES_MAX) == ""


def test_a_message_of_the_parser_stays_short() -> None:
    reading = read("SELECT FROM FROM '" + "x" * 100_000)
    assert reading.problem is not None
    assert len(reading.problem.message) < 500
