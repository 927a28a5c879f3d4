"""Counting what a write picks: the count is what the statement then reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdpoint import sql
from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.probes import DatabaseProber, Question
from holdpoint.model.case import Parameter
from holdpoint.model.effects import SessionView
from holdpoint.model.impact import Basis, Figure
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

SCRIPT = """
CREATE TABLE a (id int PRIMARY KEY, n int, "Where" text, flag bool, tags int[]);
INSERT INTO a SELECT g, g % 7, CASE WHEN g % 5 > 0 THEN 'w' || g % 3 END, g % 2 = 0, ARRAY[g, g % 4]
  FROM generate_series(1, 60) AS g;
CREATE TABLE b (a_id int, n int, note text);
INSERT INTO b SELECT g % 80, g % 9, 'it''s' FROM generate_series(1, 150) AS g;
CREATE TABLE p (id int, n int) PARTITION BY LIST (n);
CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0, 1);
CREATE TABLE p1 PARTITION OF p DEFAULT;
INSERT INTO p SELECT g, g % 4 FROM generate_series(1, 40) AS g;
CREATE TABLE old_a () INHERITS (a);
INSERT INTO old_a SELECT g, 3, 'w1', true, '{}' FROM generate_series(1000, 1009) AS g;
CREATE VIEW few AS SELECT * FROM a WHERE n < 3;
CREATE TABLE logged (id int);
INSERT INTO logged SELECT generate_series(1, 10);
CREATE RULE quiet AS ON DELETE TO logged DO INSTEAD UPDATE logged SET id = id WHERE id = OLD.id;
CREATE TABLE mine (id int, who text);
INSERT INTO mine SELECT g, 'x' FROM generate_series(1, 10) AS g;
ALTER TABLE mine ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON mine USING (id < 3);
CREATE SCHEMA other;
CREATE TABLE other.b (a_id int);
INSERT INTO other.b VALUES (1), (2);
CREATE ROLE {role} LOGIN PASSWORD 'pw';
GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
ANALYZE;
"""


@dataclass(frozen=True)
class Place:
    url: str
    limited_url: str


@pytest.fixture(scope="module")
def place(postgres18: EmbeddedPostgres) -> Iterator[Place]:
    script = SCRIPT.replace("{role}", "counts_limited")
    with fresh_database(postgres18, script) as name:
        url = postgres18.url(database=name)
        limited = parse_url(url)
        yield Place(url, f"postgresql://counts_limited:pw@{limited.host}:{limited.port}/{name}")
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("DROP OWNED BY counts_limited")
            owner.execute("DROP ROLE counts_limited")


@pytest.fixture
async def prober(place: Place) -> AsyncIterator[DatabaseProber]:
    made = DatabaseProber(lambda: parse_url(place.url), exact_s=20)
    yield made
    await made.close()


async def counted(prober: DatabaseProber, text: str, **more: object) -> Figure:
    return await prober.rows(Question(reading=sql.read(text), **more))  # type: ignore[arg-type]


# --- statements made of parts ---------------------------------------------------------------------

conditions = st.recursive(
    st.sampled_from(
        [
            "t.n = 3",
            "t.id BETWEEN 5 AND 30",
            't."Where" = $$w1$$',
            "t.\"Where\" IS DISTINCT FROM 'w0'",
            "t.flag",
            "t.tags[1] > 20",
            "t.id IN (SELECT a_id FROM b WHERE b.n > 4)",
            "EXISTS (SELECT FROM b WHERE b.a_id = t.id AND b.note = 'it''s')",
            "CASE WHEN t.flag THEN t.n > 2 ELSE false END",
            "t.id > ALL (SELECT a_id FROM b WHERE n = 8 AND a_id < 9) /* where */",
            "true -- returning where from",
            "E'\\'where' <> t.\"Where\"",
            "NULL",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]}\n) AND ({two[1]}\n)"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]}\n OR {two[1]}"),
        inner.map(lambda one: f"NOT ({one}\n)"),
    ),
    max_leaves=4,
)
sources = st.sampled_from(
    ["", "b AS s", "b s JOIN other.b AS o USING (a_id)", "(SELECT a_id, n FROM b WHERE n < 5) AS s"]
)
heads = st.sampled_from(
    ["", "WITH w AS (SELECT 1 AS one) ", "WITH RECURSIVE w(i) AS (SELECT 1 UNION ALL SELECT i + 1"
     " FROM w WHERE i < 3) "]
)  # fmt: skip
tables = st.sampled_from(["a AS t", "a t", "ONLY a AS t", "public.a * AS t"])


@st.composite
def statements(draw: st.DrawFn) -> str:
    """An UPDATE or DELETE over ``a`` that runs."""
    source, condition = draw(sources), draw(st.none() | conditions)
    joined = "s.a_id = t.id" if source else ""
    parts = [part for part in (joined, f"({condition}\n)" if condition else "") if part]
    if condition and not joined and draw(st.booleans()):
        parts = [condition]
    where = f" WHERE {' AND '.join(parts)}\n" if parts else ""
    ending = draw(st.sampled_from(["", " RETURNING t.id AS where", ";"]))
    if draw(st.booleans()):
        using = f" USING {source}" if source else ""
        return f"{draw(heads)}DELETE FROM {draw(tables)}{using}{where}{ending}"
    change = draw(
        st.sampled_from(
            ["n = t.n", "flag = t.n IS DISTINCT FROM 2", "(n, flag) = (SELECT 1, true)"]
        )
    )
    source_part = f" FROM {source}" if source else ""
    return f"{draw(heads)}UPDATE {draw(tables)} SET {change}{source_part}{where}{ending}"


def test_a_count_is_what_the_statement_reports(place: Place) -> None:
    with asyncio.Runner() as runner, psycopg.connect(place.url) as agent:
        prober = DatabaseProber(lambda: parse_url(place.url), exact_s=20)

        @settings(
            max_examples=150,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        )
        @given(statements())
        def check(text: str) -> None:
            figure = runner.run(counted(prober, text))
            cursor = agent.execute(text.encode())
            reported = cursor.rowcount
            agent.rollback()
            assert figure == Figure(reported, Basis.EXACT), text

        try:
            check()
        finally:
            runner.run(prober.close())


# --- what is counted, what is not -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters", "wanted"),
    [
        ("DELETE FROM a WHERE id > $1", (Parameter(b"50"),), 20),
        ("UPDATE a SET n = $1 WHERE id <= $2", (Parameter(b"7"), Parameter(b"4")), 4),
        (
            'UPDATE a SET "Where" = $1 WHERE id = ANY ($2)',
            (Parameter(None), Parameter(b"{1,2,3}")),
            3,
        ),
        (
            "DELETE FROM a WHERE id < $1",
            (Parameter(b"\0\0\0\x0b", binary=True, type_oid=23),),
            10,
        ),
        ("DELETE FROM p WHERE n = 1", None, 10),
        ("DELETE FROM p", None, 40),
    ],
)
async def test_bind_values_and_partitions(
    prober: DatabaseProber, text: str, parameters: tuple[Parameter, ...] | None, wanted: int
) -> None:
    assert await counted(prober, text, parameters=parameters) == Figure(wanted, Basis.EXACT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("DELETE FROM few WHERE n = 1", "view or a rule"),
        ("DELETE FROM logged WHERE id < 5", "view or a rule"),
        ("DELETE FROM a WHERE random() < 0.5", "at random"),
        ("DELETE FROM a USING b TABLESAMPLE SYSTEM (50) WHERE a.id = b.a_id", "at random"),
        ("WITH a AS (SELECT 1 AS id) DELETE FROM a WHERE n = 1", "WITH query has the name"),
        (
            "WITH g AS (DELETE FROM b RETURNING a_id) DELETE FROM a USING g WHERE id = g.a_id",
            "changes rows by itself",
        ),
        (
            "WITH q AS (SELECT a_id FROM b FOR UPDATE SKIP LOCKED) "
            "DELETE FROM a USING q WHERE id = q.a_id",
            "locks rows",
        ),
        ("INSERT INTO b SELECT id FROM a", "only UPDATE and DELETE"),
    ],
)
async def test_what_would_be_a_lie_is_estimated_and_says_why(
    prober: DatabaseProber, text: str, why: str
) -> None:
    figure = await counted(prober, text)
    assert figure.basis is Basis.ESTIMATE
    assert why in figure.why


async def test_row_security_never_makes_a_count_small(place: Place) -> None:
    limited = DatabaseProber(lambda: parse_url(place.limited_url), exact_s=20)
    figure = await counted(limited, "DELETE FROM mine WHERE who = 'x'")
    await limited.close()
    assert figure.basis is not Basis.EXACT
    assert "row-level security" in figure.why


async def test_changes_that_nobody_else_sees_are_not_counted_away(prober: DatabaseProber) -> None:
    figure = await counted(prober, "DELETE FROM a WHERE n = 1", unseen=True)
    assert figure.basis is Basis.ESTIMATE
    assert "cannot see" in figure.why


async def test_a_count_over_its_budget_becomes_an_estimate(place: Place) -> None:
    hasty = DatabaseProber(lambda: parse_url(place.url), exact_s=0.05)
    slow = (
        "DELETE FROM a WHERE id < (SELECT count(*) FROM b AS x, b AS y, b AS z, b AS v, b AS w"
        " WHERE x.n + y.n + z.n + v.n + w.n > 1)"
    )
    figure = await counted(hasty, slow)
    await hasty.close()
    assert figure.basis is Basis.ESTIMATE
    assert figure.why == "counting took over 0.05 s"


async def test_the_replica_counts_first_and_the_tier_where_it_cannot(
    place: Place, postgres18: EmbeddedPostgres
) -> None:
    with fresh_database(postgres18, "CREATE TABLE a (id int, n int)") as empty:
        replica = DatabaseProber(lambda: parse_url(postgres18.url(database=empty)), exact_s=20)
        prober = DatabaseProber(lambda: parse_url(place.url), exact_s=20, counter=replica)
        # This "replica" is another database, so that its answers can be told apart.
        assert await counted(prober, "DELETE FROM a WHERE n = 1") == Figure(0, Basis.EXACT)
        assert await counted(prober, "DELETE FROM p WHERE n = 1") == Figure(10, Basis.EXACT)
        await replica.close()
        await prober.close()


async def test_names_mean_what_they_do_in_the_session(prober: DatabaseProber) -> None:
    view = SessionView(search_paths=(("other", "public"),))
    assert await counted(prober, "DELETE FROM b", view=view) == Figure(2, Basis.EXACT)
    assert await counted(prober, "DELETE FROM b") == Figure(150, Basis.EXACT)
    unsure = SessionView(search_paths=(("other",), ("public",)))
    figure = await counted(prober, "DELETE FROM b", view=unsure)
    assert figure.basis is Basis.UNKNOWN
    assert "search_path" in figure.why


async def test_a_count_writes_nothing_and_leaves_no_lock(
    prober: DatabaseProber, place: Place
) -> None:
    await counted(prober, "DELETE FROM a WHERE n = 1")
    with psycopg.connect(place.url, autocommit=True) as watcher:
        row = watcher.execute(
            "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS s USING (pid)"
            " WHERE s.application_name = 'holdpoint probe' AND l.locktype = 'relation'"
            " AND s.datname = current_database()"
        ).fetchone()
        assert row == (0,)


async def test_a_role_that_may_only_read_plans_a_select_instead(place: Place) -> None:
    with psycopg.connect(place.url, autocommit=True) as owner:
        owner.execute("REVOKE UPDATE, DELETE, INSERT ON a, p FROM counts_limited")
    limited = DatabaseProber(lambda: parse_url(place.limited_url))
    figure = await counted(
        limited, "DELETE FROM ONLY a WHERE id <= $1", parameters=(Parameter(b"60"),)
    )
    owner_s = DatabaseProber(lambda: parse_url(place.url))
    wanted = await counted(owner_s, "DELETE FROM ONLY a WHERE id <= 60")
    await owner_s.close()
    assert figure == wanted
    assert figure.basis is Basis.ESTIMATE
    figure = await counted(limited, "INSERT INTO a SELECT a_id FROM b")
    await limited.close()
    assert figure.basis is Basis.UNKNOWN
    assert "may not plan it" in figure.why
