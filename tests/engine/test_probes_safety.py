"""Nothing is planned that planning could run: functions that claim to be harmless and are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from holdpoint import sql
from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.engine.probes import DatabaseProber, Question
from holdpoint.impact.planning import obstacle
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

# Each function leaves a trace if anybody runs it; a lie about volatility makes planning run it.
SCRIPT = """
CREATE TABLE t (id int PRIMARY KEY, n int);
INSERT INTO t SELECT g, g FROM generate_series(1, 100) AS g;
CREATE TABLE traces (who text);
CREATE SEQUENCE counter;
CREATE FUNCTION honest(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION looks_up(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT n FROM t WHERE id = $1';
CREATE FUNCTION writes(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM says_so($1); RETURN $1; END$$;
CREATE FUNCTION moves(int) RETURNS int LANGUAGE plpgsql STABLE AS
  $$BEGIN PERFORM nextval('counter'); RETURN $1; END$$;
CREATE FUNCTION locks(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM pg_advisory_lock(4711); RETURN $1; END$$;
CREATE FUNCTION through(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT writes($1)';
CREATE FUNCTION says_so(int) RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$BEGIN INSERT INTO traces VALUES ('says_so'); RETURN $1; END$$;
CREATE VIEW seen AS SELECT id, n FROM t WHERE n > writes(0);
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE FUNCTION compares(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM says_so($1); RETURN true; END$$;
CREATE OPERATOR ==== (LEFTARG = int, RIGHTARG = int, FUNCTION = compares);
CREATE TABLE stamped (id int, n int DEFAULT writes(1));
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


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM t WHERE n = honest(4)",
        "DELETE FROM t WHERE n = looks_up(4)",
        "UPDATE t SET n = says_so(4) WHERE id = 4",  # planning leaves volatile functions alone
        "INSERT INTO t SELECT n + 100, nextval('counter') FROM t",
        "DELETE FROM t WHERE n === 4",
        "SELECT * FROM t WHERE n = honest(4)",
    ],
)
async def test_what_tells_the_truth_may_be_planned(catalog: Catalog, text: str) -> None:
    reading = sql.read(text, Dialect.POSTGRES, SessionView(), catalog)
    assert obstacle(reading, catalog) == "", reading


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM t WHERE n = writes(4)",
        "DELETE FROM t WHERE n = moves(4)",
        "DELETE FROM t WHERE n = locks(4)",
        "DELETE FROM t WHERE n = through(4)",
        "SELECT * FROM t WHERE n = writes(4)",
        "SELECT * FROM seen",
        "DELETE FROM t USING seen WHERE t.id = seen.id",
        "DELETE FROM t WHERE n ==== 4",
        "INSERT INTO stamped SELECT id FROM t",
        "DELETE FROM t WHERE n = (SELECT max(writes(n)) FROM t)",
    ],
)
async def test_what_lies_is_not_planned(catalog: Catalog, text: str, url: str) -> None:
    reading = sql.read(text, Dialect.POSTGRES, SessionView(), catalog)
    assert obstacle(reading, catalog), reading
    assert obstacle(reading, None), "and without a catalog nothing of a user's is"


async def test_even_what_slips_through_leaves_no_trace(url: str) -> None:
    """A probe that is handed a lie runs it in a transaction that can only read, and rolls back."""
    prober = DatabaseProber(lambda: parse_url(url), exact_s=5)
    for text in ("DELETE FROM t WHERE n = writes(4)", "DELETE FROM t WHERE n = moves(4)"):
        innocent = sql.read(text.replace("writes", "abs").replace("moves", "abs"))
        forged = replace(innocent, statements=(replace(innocent.statements[0], text=text),))
        figure = await prober.rows(Question(reading=forged))
        assert figure.value is None
        assert "read-only transaction" in figure.why
    await prober.close()
    with psycopg.connect(url, autocommit=True) as watcher:
        assert watcher.execute("SELECT count(*) FROM traces").fetchone() == (0,)
        assert watcher.execute("SELECT is_called FROM counter").fetchone() == (False,)
