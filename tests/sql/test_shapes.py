"""Texts that differ in whole numbers only: what has one shape must do one thing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint import sql
from holdpoint.model.effects import Reading
from holdpoint.sql.shapes import has_shape, shape_of

SHAPED = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = 12;",
    "SELECT a, 1, b - 3 FROM t WHERE x IN (1, 2, 3) AND y > -4 ORDER BY 2 LIMIT 10 OFFSET 20",
    "SELECT 1",
    "select t1.c2 from s3.t4 t1 where t1.id=5 or t1.id<>6",
    "WITH q AS (SELECT 1 AS n) SELECT * FROM q WHERE n = 1",
    "SELECT a FROM t GROUP BY 1 HAVING a > 3 UNION SELECT 7",
]
UNSHAPED = [
    "SELECT 1 -- 2",
    "SELECT 1 /* 2 */",
    "SELECT '1'",
    'SELECT "1" FROM t WHERE a = 1',
    "SELECT $1",
    "SELECT 1::int",
    "SELECT E'\\1'",
    "SELECT 1 FROM t WHERE a = 1.5e3 OR b = 'x'",
    "SELECT \x00 1",
    "SELECT ä FROM t WHERE a = 1",
    "SELECT a FROM t",
]


def meaning(reading: Reading) -> tuple[object, ...]:
    """Everything that policy and records make of a reading, but for the text itself."""
    return (
        reading.problem,
        reading.effects,
        reading.objects,
        reading.functions,
        reading.unknowns,
        reading.text_only,
        [(each.tag, each.effects, each.objects, each.marks) for each in reading.statements],
    )


@pytest.mark.parametrize("text", SHAPED)
def test_numbers_become_zero_and_nothing_else(text: str) -> None:
    shape = shape_of(text.encode())
    assert shape is not None
    assert re.sub(r"\d+", "", text) == re.sub(r"\d+", "", shape.decode())
    assert has_shape(sql.read(text))


@pytest.mark.parametrize("text", UNSHAPED)
def test_whatever_could_hide_something_has_no_shape(text: str) -> None:
    assert shape_of(text.encode()) is None


@pytest.mark.parametrize("text", ["a1", "1a", "1.5", ".5", "5.", "1_000", "0x1F", "1e5", "t.1"])
def test_a_number_inside_something_else_stays(text: str) -> None:
    query = f"SELECT {text} FROM t WHERE a = 7".encode()
    shape = shape_of(query)
    assert shape is not None
    assert text.encode() in shape


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pg_sleep(1)",
        "SELECT generate_series(1, 5)",
        "SELECT nextval(5)",
        "UPDATE t SET a = 1 WHERE id = 1",
        "DELETE FROM t WHERE 1 = 1",
        "SELECT a FROM t WHERE id = 1 FOR UPDATE",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "SET statement_timeout = 1000",
        "SELECT nosuchfunction(1)",
        "SELECT (1",
    ],
)
def test_only_a_select_without_functions_is_known_by_its_shape(text: str) -> None:
    assert not has_shape(sql.read(text))


NUMBERS = st.integers(min_value=0, max_value=10**30).map(str) | st.from_regex(
    r"[0-9]{1,40}", fullmatch=True
)


@given(st.sampled_from(SHAPED), st.data())
def test_other_numbers_mean_the_same(text: str, data: st.DataObject) -> None:
    other = re.sub(r"(?<![A-Za-z0-9_.])[0-9]+(?![A-Za-z0-9_.])", lambda _: data.draw(NUMBERS), text)
    assert shape_of(other.encode()) == shape_of(text.encode())
    assert meaning(sql.read(other)) == meaning(sql.read(text))


WORDS = st.sampled_from(
    [
        "SELECT",
        "FROM",
        "WHERE",
        "a",
        "b",
        "t1",
        "1",
        "22",
        "0",
        ".",
        ",",
        "(",
        ")",
        "=",
        "<",
        ">",
        "*",
        "+",
        "-",
        ";",
        "ORDER BY",
        "LIMIT",
        "INTO",
        "UPDATE",
        "DELETE",
        "AND",
        "OR",
        "IN",
        "NOT",
        "NULL",
        "x.y",
        "3.5",
        "AS",
        "UNION",
        "ALL",
        "VALUES",
        "FOR",
    ]
)


@given(st.lists(WORDS, max_size=14), st.lists(st.sampled_from(["", " ", "  ", "\n"]), max_size=14))
def test_any_text_of_a_known_shape_means_what_its_shape_means(
    words: list[str], gaps: list[str]
) -> None:
    text = "".join(word + (gaps[at] if at < len(gaps) else " ") for at, word in enumerate(words))
    shape = shape_of(text.encode())
    if shape is not None and has_shape(sql.read(shape.decode())):
        assert meaning(sql.read(text)) == meaning(sql.read(shape.decode()))
