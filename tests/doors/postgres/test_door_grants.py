"""A tier's grants at the gate, before a role that may do anything: what is not given is not shown.

The same is refused by the server to a role that has these grants and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from door_support import TABLES, Gate
from wire_client import E, P, Q, S, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.grants import Grant, GrantedPrivilege
from support.servers import fresh_database

WORD = "hunter2"
SECRETS = f"""
CREATE TABLE vault (id int PRIMARY KEY, word text);
INSERT INTO vault SELECT g, '{WORD}' FROM generate_series(1, 100) AS g;
INSERT INTO vault SELECT 1000, string_agg(md5(g::text), '') FROM generate_series(1, 500) AS g;
CREATE TABLE inbox (id int PRIMARY KEY, word text);
INSERT INTO inbox VALUES (1, '{WORD}');
CREATE TABLE pg_notes (word text);
CREATE SCHEMA other; CREATE TABLE other.orders (word text);
CREATE FUNCTION peek() RETURNS text STABLE LANGUAGE sql AS 'SELECT word FROM vault LIMIT 1';
CREATE FUNCTION look() RETURNS text STABLE LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT word FROM mirror LIMIT 1); END';
CREATE FUNCTION ask() RETURNS int STABLE LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(*)::int FROM vault';
CREATE VIEW mirror WITH (security_invoker) AS SELECT * FROM vault;
CREATE VIEW facade AS SELECT count(*) FROM vault;
ANALYZE;
"""


def given(name: str, *privileges: str) -> Grant:
    return Grant("public", name, tuple(map(GrantedPrivilege, privileges)))


@pytest.fixture(scope="module")
def gate(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate whose tiers give a few tables, at the URL of a superuser; nobody waits for people."""
    grants = (
        given("orders", "select", "insert", "update", "delete"),
        given("inbox", "insert", "update"),
        given("mirror", "select"),
        given("facade", "select"),
    )
    with fresh_database(postgres18, TABLES + SECRETS) as name:
        gate = Gate.at(tmp_path_factory.mktemp("grants"), postgres18.url(database=name))
        (target,) = gate.config.targets
        tiers = tuple(replace(tier, grants=grants) for tier in target.tiers)
        gate.config = replace(gate.config, targets=(replace(target, tiers=tiers),))
        with gate, gate.waiting(0):
            gate.look_again()
            yield gate
            gate.check_trail()


REFUSED = {
    "names": [
        'TABLE "vault"',
        "SELECT * FROM ONLY public.vault",
        "SELECT * FROM pg_notes",
        "SELECT * FROM other.orders",
        "COPY vault TO STDOUT",
        "WITH vault AS (SELECT * FROM vault) SELECT * FROM vault",
        "WITH a AS (SELECT * FROM vault), vault AS (SELECT 1) SELECT * FROM a",
        "WITH vault AS (SELECT 1 AS id) DELETE FROM vault WHERE id = 1 RETURNING word",
        "SELECT * FROM (WITH vault AS (SELECT 1) SELECT 1) AS x, vault",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM vault",
        "UPDATE orders SET status = (SELECT word FROM vault LIMIT 1) WHERE id = 1",
    ],
    "functions and views that run as their caller": [
        "SELECT peek()",
        "SELECT * FROM look()",
        "SELECT * FROM mirror",
        "UPDATE orders SET status = peek() WHERE id = 1",
    ],
    "what a write returns": [
        "UPDATE inbox SET id = id WHERE id = 1 RETURNING word",
        "INSERT INTO inbox VALUES (1, '') ON CONFLICT (id) DO UPDATE SET id = 1 RETURNING *",
        "MERGE INTO inbox USING (SELECT 1) AS s ON id = 1 "
        "WHEN MATCHED THEN UPDATE SET id = 1 RETURNING word",
    ],
    "what the server knows of tables": [
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'vault'",
        "SELECT stavalues1 FROM pg_catalog.pg_statistic",
        "COPY pg_statistic TO STDOUT",
        "SELECT * FROM pg_largeobject",
        "SELECT umoptions FROM pg_user_mapping",
        "EXPLAIN SELECT * FROM vault WHERE word > 'h'",
        "EXPLAIN DELETE FROM vault WHERE word > 'h'",
    ],
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_not_given_is_not_shown(gate: Gate, how: str) -> None:
    with gate.raw("write") as wire:
        for text in REFUSED[how]:
            for send in (Q(text), run(text) + S):
                words = wire.ask(send)
                assert "D:" not in words, text
                assert wire.errors[-1]["C"] == "42501", (text, words)
                assert "outside the grants of tier" in wire.errors[-1]["M"], text


def test_long_values_are_not_read_in_chunks(gate: Gate) -> None:
    with psycopg.connect(gate.direct) as direct:
        row = direct.execute(
            "SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 'vault'"
        ).fetchone()
    assert row is not None
    with gate.raw() as wire:
        assert wire.query(f"SELECT chunk_data FROM {row[0]}") == "E:42501 ZI"


def test_what_is_prepared_is_judged_when_it_runs(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.query("PREPARE p AS SELECT * FROM vault")
        assert wire.query("EXECUTE p") == "E:42501 ZI"
        assert wire.ask(P("SELECT * FROM vault", "named"), S) == "1 ZI"
        assert wire.query("EXECUTE named") == "E:42501 ZI"
        assert wire.ask(run("EXECUTE p"), E(), S) == "1 E:42501 ZI"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ask()",
        "SELECT * FROM facade",
        "SELECT count(*) FROM pg_class",
        "SELECT vault.id FROM orders AS vault WHERE id = 1",
        "EXPLAIN SELECT * FROM orders",
        "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING status",
        "INSERT INTO inbox VALUES (2, 'x')",
    ],
)
def test_what_owners_read_for_others_and_what_is_given_passes(gate: Gate, text: str) -> None:
    with gate.raw("write") as wire:
        assert "E:" not in wire.query(text), wire.errors
