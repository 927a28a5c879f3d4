"""The agent goes by what any client sees: errors, notices, results.

Here a plain PostgreSQL says what the gate would say, with the gate's codes.
"""

from typing import LiteralString

import psycopg
import pytest

from holdpoint.demo import agent
from holdpoint.demo.agent import Act, Ending, Played, Voice, perform
from holdpoint.demo.shop import Shop
from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database


def act(text: LiteralString) -> Act:
    return Act(name="act", thought="", text=text)


def do(server: EmbeddedPostgres, text: LiteralString) -> tuple[Played, list[tuple[Voice, str]]]:
    said: list[tuple[Voice, str]] = []
    with agent.connect(server.url(), lambda *line: said.append(line)) as connection:
        return perform(connection, act(text), lambda *line: said.append(line)), said


def test_a_statement_that_runs_at_once(postgres18: EmbeddedPostgres) -> None:
    played, said = do(postgres18, "SELECT generate_series(1, 3)")
    assert (played.ending, played.rows) == (Ending.AT_ONCE, 3)
    assert [voice for voice, _ in said] == [Voice.RESULT]


def test_a_notice_of_the_gate_means_that_it_was_held(postgres18: EmbeddedPostgres) -> None:
    played, said = do(
        postgres18,
        "DO $$ BEGIN RAISE NOTICE 'held for approval: x'"
        " USING ERRCODE = 'HP001', HINT = 'waiting for a person'; END $$",
    )
    assert played.ending is Ending.AFTER_ANSWER
    assert said[0] == (Voice.HELD, "held for approval: x (waiting for a person)")


def test_a_ticket_is_presented_again_until_it_passes(
    postgres18: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "RETRY_S", 0.01)
    tickets = """
    CREATE SEQUENCE asked;
    CREATE FUNCTION ask() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('asked') < 3 THEN
            RAISE EXCEPTION 'held for approval: ask()' USING ERRCODE = 'HP001';
        END IF;
        RETURN 'done';
    END $$
    """
    said: list[tuple[Voice, str]] = []
    with (
        fresh_database(postgres18, tickets) as name,
        agent.connect(postgres18.url(database=name), lambda *line: said.append(line)) as connection,
    ):
        played = perform(connection, act("SELECT ask()"), lambda *line: said.append(line))
        attempts = connection.execute("SELECT last_value FROM asked").fetchone()
    assert played.ending is Ending.AFTER_ANSWER
    assert attempts == (3,)
    assert [voice for voice, _ in said] == [Voice.HELD, Voice.RESULT], "says once that it waits"


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("DO $$ BEGIN RAISE EXCEPTION 'rejected: x' USING ERRCODE = 'HP002'; END $$", "REJECTED"),
        ("DO $$ BEGIN RAISE EXCEPTION 'refused: x' USING ERRCODE = '42501'; END $$", "REFUSED"),
        ("DO $$ BEGIN RAISE EXCEPTION 'nobody' USING ERRCODE = 'HP003'; END $$", "FAILED"),
        ("SELECT * FROM no_such_table", "FAILED"),
    ],
)
def test_refusals_are_told_apart(
    postgres18: EmbeddedPostgres, text: LiteralString, ending: str
) -> None:
    played, said = do(postgres18, text)
    assert played.ending is Ending[ending]
    assert said[-1][0] is Voice.REFUSED


def test_the_databases_own_no_is_not_taken_for_the_gates(shop: Shop) -> None:
    with psycopg.connect(shop.reader, autocommit=True) as connection:
        played = perform(connection, act("DROP TABLE orders"), lambda *line: None)
    assert played.ending is Ending.FAILED


def test_without_a_gate_the_agent_does_its_damage(
    shop: Shop, shop_server: EmbeddedPostgres
) -> None:
    """What the demo is about: the same acts, straight at the database, all run at once."""
    with psycopg.connect(shop.writer) as connection:
        endings = {
            one.name: perform(connection, one, lambda *line: None).ending
            for one in agent.ACTS
            if one.name in ("broad delete", "bulk update")
        }
        connection.rollback()
    assert set(endings.values()) == {Ending.AT_ONCE}
