"""What only the database can tell people: rows by cascade, who is there, what a read costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from holdpoint import sql
from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.engine.probes import DatabaseProber, Question
from holdpoint.impact.assess import gather
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.model.impact import Basis, Cascade, Figure, Impact
from holdpoint.model.steps import EstimateRows, LookUpCatalog, MeasureImpact, Submission
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

# Films that stores rent out: cascades over three levels, one of them over two columns, a SET NULL,
# a partitioned child, a trigger that tells the world.
SCRIPT = """
CREATE TABLE film (film_id int PRIMARY KEY, title text NOT NULL, rating text);
CREATE TABLE copy (film_id int REFERENCES film ON DELETE CASCADE ON UPDATE CASCADE, number int,
                   PRIMARY KEY (film_id, number));
CREATE TABLE rental (rental_id int PRIMARY KEY, film_id int, number int, at date NOT NULL,
                     FOREIGN KEY (film_id, number) REFERENCES copy ON DELETE CASCADE);
CREATE TABLE payment (rental_id int REFERENCES rental ON DELETE CASCADE, paid date NOT NULL,
                      amount numeric) PARTITION BY RANGE (paid);
CREATE TABLE payment_old PARTITION OF payment FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payment_new PARTITION OF payment FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE review (film_id int REFERENCES film ON DELETE SET NULL, words text);
INSERT INTO film SELECT g, 'film ' || g, CASE WHEN g % 4 = 0 THEN 'R' ELSE 'G' END
  FROM generate_series(1, 200) AS g;
INSERT INTO copy SELECT g, n FROM generate_series(1, 200) AS g, generate_series(1, 3) AS n;
INSERT INTO rental SELECT (film_id * 10 + number) * 10 + k, film_id, number, '2026-03-01'
  FROM copy, generate_series(1, 2) AS k;
INSERT INTO payment SELECT rental_id, CASE WHEN rental_id % 2 = 0 THEN date '2025-06-01'
  ELSE date '2026-06-01' END, 1 FROM rental;
INSERT INTO review SELECT g, 'good' FROM generate_series(1, 200) AS g WHERE g % 2 = 0;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_notify('films', OLD.title); RETURN OLD; END$$;
CREATE TRIGGER told AFTER DELETE ON film FOR EACH ROW EXECUTE FUNCTION tell();
CREATE VIEW family AS SELECT * FROM film WHERE rating = 'G';
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree SELECT g, NULLIF(g / 2, 0) FROM generate_series(1, 63) AS g;
ANALYZE;
"""


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres, SCRIPT) as name:
        yield postgres.url(database=name)


@pytest.fixture
async def catalog(url: str) -> Catalog:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return Catalog(await read_catalog(connection))


@pytest.fixture
async def counting(url: str) -> AsyncIterator[DatabaseProber]:
    made = DatabaseProber(lambda: parse_url(url), exact_s=20)
    yield made
    await made.close()


@pytest.fixture
async def guessing(url: str) -> AsyncIterator[DatabaseProber]:
    made = DatabaseProber(lambda: parse_url(url))
    yield made
    await made.close()


async def measured(
    prober: DatabaseProber,
    catalog: Catalog,
    text: str,
    parameters: tuple[Parameter, ...] | None = None,
) -> Impact:
    """The impact as the gate gathers it for a hold."""
    tier = Tier(name="write", access=AccessLevel.OWNER, url_source="")
    reading = sql.read(text, Dialect.POSTGRES, SessionView(), catalog)
    submission = Submission(
        agent="claude",
        task="",
        session="s-1",
        peer="",
        target=Target(name="shop", tiers=(tier,)),
        tier=tier,
        role="",
        text=text,
        dialect=Dialect.POSTGRES,
        view=SessionView(),
        parameters=parameters,
    )
    question = Question(reading=reading, parameters=parameters)
    steps = gather(submission, reading, Impact(rows=await prober.rows(question)))
    reply: Any = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as stop:
            found: Impact = stop.value
            return found
        assert not isinstance(step, EstimateRows), "the decision has asked that already"
        if isinstance(step, LookUpCatalog):
            reply = catalog
        else:
            assert isinstance(step, MeasureImpact)
            reply = await prober.measure(question, step)


def rows_by(impact: Impact) -> dict[tuple[int, str, str], int | None]:
    return {(each.level, each.table, each.action): each.rows.value for each in impact.cascades}


async def test_rows_that_go_with_deleted_rows_level_by_level(
    counting: DatabaseProber, catalog: Catalog, url: str
) -> None:
    impact = await measured(counting, catalog, "DELETE FROM film AS f WHERE f.rating = 'R'")
    assert impact.rows == Figure(50, Basis.EXACT)
    assert rows_by(impact) == {
        (1, "public.copy", "delete"): 150,
        (1, "public.review", "set null"): 50,
        (2, "public.rental", "delete"): 300,
        (3, "public.payment", "delete"): 300,
    }
    assert {each.rows.basis for each in impact.cascades} == {Basis.EXACT}
    assert impact.failed == ()
    with psycopg.connect(url) as agent:
        before = counts(agent)
        agent.execute("DELETE FROM film AS f WHERE f.rating = 'R'")
        after = counts(agent)
        agent.rollback()
    gone = {name: before[name] - after[name] for name in before}
    assert gone == {"film": 50, "copy": 150, "rental": 300, "payment": 300}


def counts(agent: psycopg.Connection[Any]) -> dict[str, int]:
    found = {}
    for name in ("film", "copy", "rental", "payment"):
        row = agent.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
        assert row is not None
        found[name] = row[0]
    return found


async def test_without_a_budget_the_planner_estimates_them(
    guessing: DatabaseProber, catalog: Catalog
) -> None:
    impact = await measured(guessing, catalog, "DELETE FROM film WHERE rating = 'R'")
    assert impact.rows.basis is Basis.ESTIMATE
    for cascade in impact.cascades:
        assert cascade.rows.basis is Basis.ESTIMATE, cascade
        assert cascade.rows.value is not None
        assert cascade.rows.value > 0, cascade


async def test_the_bind_values_count_for_cascades_too(
    counting: DatabaseProber, catalog: Catalog
) -> None:
    text = "DELETE FROM film USING review AS r WHERE film.film_id = r.film_id AND r.film_id <= $2"
    parameters = (Parameter(b"unused"), Parameter(b"20"))
    impact = await measured(counting, catalog, text, parameters)
    assert impact.rows == Figure(10, Basis.EXACT)
    assert rows_by(impact)[2, "public.rental", "delete"] == 60


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("UPDATE film SET film_id = film_id + 1000 WHERE film_id < 11", ("update", 30)),
        ("UPDATE film SET title = 'x' WHERE film_id < 11", None),
        ("DELETE FROM tree WHERE id = 1", ("delete", 2)),
    ],
)
async def test_keys_that_change_and_tables_that_refer_to_themselves(
    counting: DatabaseProber, catalog: Catalog, text: str, wanted: tuple[str, int] | None
) -> None:
    impact = await measured(counting, catalog, text)
    first = [(each.action, each.rows.value) for each in impact.cascades if each.level == 1]
    assert first == ([wanted] if wanted else [])


async def test_truncate_takes_all_that_refers(counting: DatabaseProber, catalog: Catalog) -> None:
    impact = await measured(counting, catalog, "TRUNCATE film CASCADE")
    taken = {each.table: each.rows for each in impact.cascades}
    assert taken.keys() == {f"public.{name}" for name in ("copy", "review", "rental", "payment")}
    assert taken["public.payment"] == Figure(1200, Basis.EXACT)


async def test_what_cannot_be_joined_is_unknown_and_named(
    counting: DatabaseProber, catalog: Catalog
) -> None:
    text = "WITH gone AS (DELETE FROM film WHERE film_id < 5 RETURNING *) SELECT * FROM gone"
    impact = await measured(counting, catalog, text)
    assert impact.rows.basis is Basis.ESTIMATE
    assert impact.cascades
    for cascade in impact.cascades:
        assert cascade.rows.basis is Basis.UNKNOWN
        assert any(f"`{cascade.table}`" in words for words in impact.failed)


async def test_what_is_picked_at_random_is_estimated_and_never_counted(
    counting: DatabaseProber, catalog: Catalog
) -> None:
    impact = await measured(counting, catalog, "DELETE FROM film WHERE random() < 0.5")
    assert impact.rows.basis is Basis.ESTIMATE
    assert {each.rows.basis for each in impact.cascades} == {Basis.ESTIMATE}


async def test_two_statements_of_one_message_add_up(
    counting: DatabaseProber, catalog: Catalog
) -> None:
    text = "DELETE FROM film WHERE film_id <= 3; DELETE FROM review WHERE film_id <= 3"
    impact = await measured(counting, catalog, text)
    assert rows_by(impact)[1, "public.copy", "delete"] == 9
    assert impact.words[0].startswith("2 statements in all")


async def test_who_is_on_the_table_right_now(
    counting: DatabaseProber, catalog: Catalog, url: str
) -> None:
    with (
        psycopg.connect(url, application_name="billing") as reader,
        psycopg.connect(url, application_name="reindexer") as locker,
    ):
        reader.execute("SELECT count(*) FROM film")
        locker.execute("LOCK TABLE film IN SHARE MODE")
        impact = await measured(counting, catalog, "DELETE FROM film WHERE film_id = 1")
    users = {user.name: user.detail for user in impact.users if user.kind == "application"}
    assert users.keys() == {"billing", "reindexer"}
    assert "in conflict" in users["reindexer"]
    assert "in conflict" not in users["billing"]
    film = next(table for table in impact.tables if table.name == "public.film")
    assert film.busy == Figure(1, Basis.EXACT)


async def test_what_the_role_may_not_see_is_said_to_be_hidden(catalog: Catalog, url: str) -> None:
    """Who holds a lock is for everybody to see; as whom, and from where, is not."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS impact_limited")
        owner.execute("CREATE ROLE impact_limited LOGIN PASSWORD 'pw'")
    place = parse_url(url)
    limited_url = f"postgresql://impact_limited:pw@{place.host}:{place.port}/{place.dbname}"
    prober = DatabaseProber(lambda: parse_url(limited_url))
    with psycopg.connect(url, application_name="nightly") as locker:
        locker.execute("LOCK TABLE film IN SHARE MODE")
        impact = await measured(prober, catalog, "DELETE FROM film WHERE film_id = 1")
    await prober.close()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE impact_limited")
    (user,) = [user for user in impact.users if user.kind == "application"]
    assert user.name in ("nightly", "not visible to the probe's role")
    assert "1 session right now" in user.detail
    film = next(table for table in impact.tables if table.name == "public.film")
    assert film.busy == Figure(1, Basis.EXACT)
    assert {each.rows.basis for each in impact.cascades} == {Basis.UNKNOWN}
    assert any("permission denied" in words for words in impact.failed)


async def test_a_lock_on_a_partition_is_a_lock_on_the_table(
    counting: DatabaseProber, catalog: Catalog, url: str
) -> None:
    with psycopg.connect(url, application_name="nightly") as locker:
        locker.execute("LOCK TABLE payment_old IN SHARE MODE")
        impact = await measured(counting, catalog, "DELETE FROM payment WHERE amount > 5")
    assert [user.name for user in impact.users if user.kind == "application"] == ["nightly"]


async def test_the_sentences_say_the_most_important_first(
    counting: DatabaseProber, catalog: Catalog
) -> None:
    impact = await measured(counting, catalog, "DELETE FROM film WHERE rating = 'R'")
    assert impact.words[:2] == (
        "removes 50 rows (counted) of `film`, 25% of the table",
        "by cascade it removes 150 rows of `copy`, 300 rows of `rental` and 300 rows of `payment`, "
        "and it sets to null the keys of 50 rows of `review`",
    )
    assert impact.words[2].startswith("`told` on `film` reaches outside")
    assert any("undo" in words for words in impact.words)


async def test_a_database_that_does_not_answer_leaves_what_the_catalog_tells(
    catalog: Catalog,
) -> None:
    prober = DatabaseProber(lambda: parse_url("postgresql://u:secret@127.0.0.1:1/x"))
    impact = await measured(prober, catalog, "DELETE FROM film WHERE rating = 'R'")
    assert impact.rows.basis is Basis.UNKNOWN
    assert [each.rows.basis for each in impact.cascades] == [Basis.UNKNOWN] * 4
    assert len(impact.failed) == 2  # all cascades together, and who else is there
    assert "secret" not in repr(impact)
    assert impact.words[0] == "removes an unknown number of rows of `film`"


def test_a_cascade_without_an_answer_is_not_none() -> None:
    cascade = Cascade(level=1, table="a", constraint="k", action="delete", through="b")
    assert cascade.rows.value is None
