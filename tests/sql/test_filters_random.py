"""Random conditions over a table that has every combination of its columns' values.

What every row there meets, whatever its values, is no filter: it must be said to be bulk. The
constants lie inside the columns' ranges, so that no plain comparison holds for every value.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from filter_shop import catalog_of
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect
from holdpoint.sql import read
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE facts (n int NOT NULL, m int NOT NULL, q int, ok bool NOT NULL, maybe bool,
    word text NOT NULL, note text);
INSERT INTO facts SELECT * FROM generate_series(-3, 4) n, generate_series(-3, 4) m,
    unnest(ARRAY[-3, -1, 0, 1, 2, 3, NULL]) q, unnest(ARRAY[true, false]) ok,
    unnest(ARRAY[true, false, NULL]) maybe, unnest(ARRAY['', 'a', 'b', 'ba', 'z']) word,
    unnest(ARRAY['', 'a', NULL]) note;
CREATE TABLE few AS SELECT n FROM unnest(ARRAY[-2, 2]) n;
"""

NUMBERS = st.sampled_from(["-1", "0", "1", "2"])
# One form of each column only: that `n + 1 = 3` says what `n = 2` says is not seen (known limit).
INTEGERS = st.sampled_from(["n", "-m", "q", "facts.n", "public.facts.n", "q"])
WORDS = st.sampled_from(["word", "lower(note)"])
COMPARISONS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])

ATOMS = st.one_of(
    st.tuples(INTEGERS, COMPARISONS, NUMBERS).map(" ".join),
    st.tuples(NUMBERS, COMPARISONS, INTEGERS).map(" ".join),
    st.tuples(INTEGERS, COMPARISONS, INTEGERS).map(" ".join),
    st.tuples(INTEGERS, st.sampled_from(["IN", "NOT IN"]), NUMBERS, NUMBERS).map(
        lambda four: f"{four[0]} {four[1]} ({four[2]}, {four[3]})"
    ),
    st.tuples(INTEGERS, st.sampled_from(["BETWEEN", "NOT BETWEEN"]), NUMBERS, NUMBERS).map(
        lambda four: f"{four[0]} {four[1]} {four[2]} AND {four[3]}"
    ),
    st.tuples(INTEGERS, COMPARISONS, st.sampled_from(["ANY", "ALL"]), NUMBERS, NUMBERS).map(
        lambda five: f"{five[0]} {five[1]} {five[2]} (ARRAY[{five[3]}, {five[4]}])"
    ),
    st.tuples(WORDS, st.sampled_from(["=", "<>", "<", "LIKE", "NOT LIKE", "~", "!~"])).map(
        lambda two: f"{two[0]} {two[1]} 'b'"
    ),
    st.tuples(WORDS, st.sampled_from(["LIKE '%'", "~ ''", "LIKE 'b%'", "= word"])).map(" ".join),
    st.tuples(
        st.sampled_from(["n", "q", "ok", "maybe", "note", "(n = 1)", "(q > 0)", "lower(note)"]),
        st.sampled_from(["IS NULL", "IS NOT NULL", "IS DISTINCT FROM NULL"]),
    ).map(" ".join),
    st.tuples(
        st.sampled_from(["ok", "maybe", "(n = 1)", "(q = 1)"]),
        st.sampled_from(
            [
                "IS TRUE",
                "IS NOT TRUE",
                "IS FALSE",
                "IS NOT FALSE",
                "IS UNKNOWN",
                "IS NOT UNKNOWN",
                "= true",
                "<> true",
                "= false",
            ]
        ),
    ).map(" ".join),
    st.sampled_from(["ok", "maybe", "true", "false", "1 = 1", "1 = 2", "NULL"]),
    st.sampled_from(
        [
            "EXISTS (SELECT 1 FROM few)",
            "(n, m) = (1, 2)",
            "(1, n) > (0, 1)",
            "(n, m) <> (1, 1)",
        ]
    ),
)


# Alone only: `n <> 1 OR n NOT IN (SELECT ...)` may hold for what the other table happens to have.
QUERIES = st.one_of(
    st.tuples(INTEGERS, COMPARISONS, st.sampled_from(["ANY", "ALL"])).map(
        lambda three: f"{three[0]} {three[1]} {three[2]} (SELECT f.n FROM few f)"
    ),
    st.tuples(INTEGERS, st.sampled_from(["IN", "NOT IN"]), st.sampled_from(["few", "facts"])).map(
        lambda three: f"{three[0]} {three[1]} (SELECT x.n FROM {three[2]} x)"
    ),
    st.sampled_from(
        [
            "EXISTS (SELECT 1 FROM few f WHERE f.n = facts.n)",
            "NOT EXISTS (SELECT 1 FROM few f WHERE f.n = facts.n)",
        ]
    ),
)


def both(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions made of conditions."""
    return st.one_of(
        st.tuples(parts, parts).map(lambda two: f"({two[0]} AND {two[1]})"),
        st.tuples(parts, parts).map(lambda two: f"({two[0]} OR {two[1]})"),
        parts.map(lambda one: f"({one} OR NOT ({one}))"),
        parts.map(lambda one: f"NOT ({one})"),
    )


CONDITIONS = st.one_of(QUERIES, *[st.recursive(ATOMS, both, max_leaves=5)] * 4)


@pytest.fixture(scope="module")
def world(postgres18: EmbeddedPostgres) -> Iterator[tuple[psycopg.Connection, Catalog]]:
    with fresh_database(postgres18, SCRIPT) as name:
        url = postgres18.url(database=name)
        with psycopg.connect(url) as connection:
            yield connection, catalog_of(url)


# The same conditions in every run: one of a million may hold for what the tables happen to have.
@settings(max_examples=400, deadline=None, derandomize=True)
@given(condition=CONDITIONS)
def test_what_every_row_meets_is_bulk(
    condition: str, world: tuple[psycopg.Connection, Catalog]
) -> None:
    connection, catalog = world
    (statement,) = read(f"DELETE FROM facts WHERE {condition}", catalog=catalog).statements
    if Effect.BULK_WRITE in statement.effects:
        return
    query = f"SELECT EXISTS (SELECT 1 FROM facts WHERE ({condition}) IS NOT TRUE)"
    row = connection.execute(query.encode()).fetchone()
    assert row == (True,), condition
