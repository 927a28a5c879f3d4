"""The gate knows what stands behind the names an agent uses, and follows them as they change."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from door_support import Gate, eventually
from wire_client import B, E, P, S

from holdpoint.doors.postgres.naming import Naming
from holdpoint.model.effects import SessionView
from holdpoint.sql import read

CODE = """
CREATE SCHEMA IF NOT EXISTS blue; CREATE SCHEMA IF NOT EXISTS red;
DROP VIEW IF EXISTS looks_harmless; DROP FUNCTION IF EXISTS purge() CASCADE;
CREATE FUNCTION purge() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM public.markers; RETURN 1; END $$;
CREATE VIEW looks_harmless AS SELECT public.purge() AS n;
CREATE OR REPLACE FUNCTION blue.peek() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION red.peek() RETURNS int LANGUAGE sql
    AS 'DELETE FROM public.markers; SELECT 1';
INSERT INTO markers VALUES ('stays');
"""


@pytest.fixture
def coded(each_gate: Gate) -> Iterator[Gate]:
    """A gate whose database has functions and views, which the gate has seen."""
    with psycopg.connect(each_gate.direct, autocommit=True) as connection:
        connection.execute(CODE.encode())
    each_gate.look_again()
    with each_gate.waiting(0):
        yield each_gate


def markers(gate: Gate) -> int:
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute("SELECT count(*) FROM markers").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "text",
    ["SELECT * FROM looks_harmless", "SELECT purge()", "EXPLAIN ANALYZE TABLE looks_harmless"],
)
def test_what_a_view_or_function_does_is_refused_where_it_may_not_be_done(
    coded: Gate, text: str
) -> None:
    with coded.connect("replica") as agent, pytest.raises(psycopg.Error) as refused:
        agent.execute(text)
    assert refused.value.sqlstate == "42501"
    with coded.connect("write") as agent, pytest.raises(psycopg.Error) as held:
        agent.execute(text)
    assert "held" in str(held.value)
    assert markers(coded) == 1


def test_the_search_path_of_the_session_decides(coded: Gate) -> None:
    with coded.connect("write") as agent:
        agent.execute("SET search_path = blue, public")
        assert agent.execute("SELECT peek()").fetchone() == (1,)
        agent.execute("SET search_path = red, public")
        with pytest.raises(psycopg.Error, match="held"):
            agent.execute("SELECT peek()")
        agent.execute("RESET search_path")
    assert markers(coded) == 1


def test_a_path_set_in_a_transaction_that_is_rolled_back(coded: Gate) -> None:
    with coded.connect("write") as agent:
        agent.execute("SET search_path = red")
        agent.execute("BEGIN")
        agent.execute("SET search_path = blue")
        agent.execute("ROLLBACK")  # red again
        with pytest.raises(psycopg.Error, match="held"):
            agent.execute("SELECT peek()")
        agent.execute("BEGIN")
        agent.execute("SET LOCAL search_path = blue")
        agent.execute("COMMIT")
        with pytest.raises(psycopg.Error, match="held"):
            agent.execute("SELECT peek()")
    assert markers(coded) == 1


def test_a_prepared_statement_is_asked_again_when_names_change(coded: Gate) -> None:
    with coded.connect("write", prepare_threshold=0) as agent:
        agent.execute("SET search_path = blue")
        for _ in range(3):
            agent.execute("SELECT peek() WHERE %s > 0", (1,), prepare=True)
        agent.execute("SET search_path = red")
        with pytest.raises(psycopg.Error, match="held"):
            agent.execute("SELECT peek() WHERE %s > 0", (1,), prepare=True)
    assert markers(coded) == 1


def test_a_definition_through_the_gate_counts_at_once(coded: Gate) -> None:
    with coded.connect("owner") as owner, coded.connect("write") as agent:
        assert agent.execute("SELECT blue.peek()").fetchone() == (1,)
        change = "CREATE OR REPLACE FUNCTION blue.peek() RETURNS int LANGUAGE sql AS "
        with coded.waiting(20), coded.person(containing="OR REPLACE"):
            owner.execute(change + "'DELETE FROM public.markers; SELECT 2'")

        def is_held() -> bool:
            try:
                agent.execute("SELECT blue.peek()")
            except psycopg.Error:
                return True
            return False

        assert is_held()
    assert markers(coded) == 1


def test_code_defined_in_an_open_transaction_is_not_trusted_in_it(coded: Gate) -> None:
    with coded.connect("owner", autocommit=False) as owner:
        change = "CREATE OR REPLACE FUNCTION blue.peek() RETURNS int LANGUAGE sql AS "
        with coded.waiting(20), coded.person(containing="OR REPLACE"):
            owner.execute(change + "'DELETE FROM public.markers; SELECT 2'")
        with pytest.raises(psycopg.Error, match="held"):
            owner.execute("SELECT blue.peek()")
        owner.rollback()

        def is_let_through() -> bool:
            try:
                return owner.execute("SELECT blue.peek()").fetchone() == (1,)
            except psycopg.Error:
                owner.rollback()
                return False

        eventually(is_let_through, "the end of the doubt")
    assert markers(coded) == 1


def test_an_answer_from_before_does_not_end_a_definition_in_a_pipeline(coded: Gate) -> None:
    change = "CREATE OR REPLACE FUNCTION blue.peek() RETURNS int LANGUAGE sql AS "
    define = change + "'DELETE FROM public.markers; SELECT 2'"
    # The second statement waits in vain for a person, then gets a ticket.
    with coded.raw("owner") as owner, coded.waiting(6), coded.person(containing="OR REPLACE"):
        use = P("SELECT blue.peek()") + B() + E()
        owner.send(P("SELECT 1"), B(), E(), S, P(define), B(), E(), use, S)
        words = owner.words(2)
    assert any(word.startswith("E:") for word in words), words
    assert markers(coded) == 1


def test_a_name_that_is_new_is_looked_for(coded: Gate) -> None:
    with coded.connect("replica") as agent:
        agent.execute("SELECT 1")
        with psycopg.connect(coded.direct, autocommit=True) as past_the_gate:
            past_the_gate.execute("DROP VIEW IF EXISTS brand_new")
            past_the_gate.execute("CREATE VIEW brand_new AS SELECT public.purge()")
        with pytest.raises(psycopg.Error) as refused:
            agent.execute("SELECT * FROM brand_new")
        assert refused.value.sqlstate == "42501"
        with pytest.raises(psycopg.errors.UndefinedTable):
            agent.execute("SELECT * FROM there_is_no_such_table")
    assert markers(coded) == 1


def test_without_a_picture_nothing_that_has_a_name_passes(coded: Gate) -> None:
    with (
        psycopg.connect(coded.direct, autocommit=True) as connection,
        coded.connect("write") as agent,
    ):
        agent.execute("SELECT 1")
        connection.execute("BEGIN; LOCK TABLE pg_catalog.pg_proc IN ACCESS EXCLUSIVE MODE")
        coded.forget_catalog()
        with pytest.raises(psycopg.Error, match="held"):
            agent.execute("SELECT count(*) FROM orders")
        connection.execute("ROLLBACK")
        eventually(lambda: _works(agent, "SELECT count(*) FROM orders"), "the picture's return")


def _works(agent: psycopg.Connection, text: str) -> bool:
    try:
        agent.execute(text.encode())
    except psycopg.Error:
        return False
    return True


# --- following names, without a server ------------------------------------------------------------


def after(*texts: str, alone: bool = True) -> Naming:
    """What names may mean after these texts ran, each alone and with success, or not sure."""
    naming = Naming("bot")
    for text in texts:
        reading = read(text, session=SessionView())
        naming.may_become(reading, ("public",))
        if alone:
            naming.became(reading)
    return naming


def test_a_lone_set_that_succeeded_is_certain() -> None:
    assert after("SET search_path = a, b").paths == (("a", "b"),)
    assert after("SET search_path = a", "RESET search_path").paths == ()
    assert after("SET search_path = a", "DISCARD ALL").paths == ()
    assert after('SET search_path TO "$user", public').paths == (("bot", "public"),)
    assert after("SELECT 1").paths == ()


def test_what_may_not_have_happened_leaves_both(  # a transaction, or a pipeline
) -> None:
    assert after("SET search_path = a", alone=False).paths == (("public",), ("a",))
    assert after("SET LOCAL search_path = a").paths == (("public",), ("a",))
    assert after("SELECT set_config('search_path', 'a', false)").paths == (("public",), ("a",))
    assert after("SELECT set_config('search_path', name, false) FROM t").any_path
    many = after(*(f"SET search_path = s{n}" for n in range(20)), alone=False)
    assert many.any_path, "too many to follow"


def test_whom_a_session_acts_as_is_certain_or_doubted() -> None:
    assert after("SET ROLE admin").role == "admin"
    assert after("SET ROLE admin").doubts == ()
    assert after("SET ROLE admin", "RESET ROLE").role == "bot"
    assert after("SET ROLE admin", "SET ROLE NONE").doubts == ()
    assert after("SET ROLE admin", alone=False).doubts
    assert after("SET LOCAL ROLE admin").doubts
    assert after("SET SESSION AUTHORIZATION admin", alone=False).doubts
