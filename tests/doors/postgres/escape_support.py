"""A read-only tier whose role is a superuser: nothing but the gate stands in the way of escaping.

The database holds what others may have left in it: functions, views, operators, casts, rules and
domains that would make the session writable if anybody ran them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from door_support import TABLES, Gate
from wire_client import B, E, P, Q, S, Wire

from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database

WEAK = "escape_weak"

# What each function does when it runs. A read-only transaction itself cannot be left once it has
# read something, but all later ones can be made writable.
OPENS = "set_config('default_transaction_read_only', 'off', false)"
_BODY = f"LANGUAGE plpgsql AS $$BEGIN PERFORM {OPENS}; RETURN 1; END$$"
PLANTED = f"""
CREATE FUNCTION opens() RETURNS text LANGUAGE sql AS $$SELECT {OPENS}$$;
CREATE FUNCTION opens_inside() RETURNS int {_BODY};
CREATE FUNCTION opens_immutable() RETURNS int IMMUTABLE {_BODY};
CREATE FUNCTION opens_by_name(text) RETURNS text LANGUAGE sql
    AS $$SELECT set_config($1, 'off', false)$$;
CREATE FUNCTION becomes() RETURNS int LANGUAGE plpgsql
    AS $$BEGIN SET ROLE {WEAK}; RETURN 1; END$$;
CREATE FUNCTION becomes_meanwhile() RETURNS text LANGUAGE sql SET role = '{WEAK}'
    AS 'SELECT current_user::text';
CREATE FUNCTION writes_meanwhile() RETURNS int LANGUAGE sql SET default_transaction_read_only = off
    AS $$INSERT INTO markers VALUES ('meanwhile'); SELECT 1$$;
CREATE FUNCTION writes_as_definer() RETURNS int LANGUAGE sql SECURITY DEFINER
    AS $$INSERT INTO markers VALUES ('definer'); SELECT 1$$;
CREATE FUNCTION runs(text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE $1; RETURN 1; END$$;
CREATE FUNCTION has_default(a text DEFAULT {OPENS}) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION more_memory() RETURNS int LANGUAGE sql SET work_mem = '1GB' AS 'SELECT 1';
CREATE PROCEDURE opens_by_call() LANGUAGE plpgsql AS $$BEGIN PERFORM {OPENS}; END$$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$;
CREATE FUNCTION operated(int, int) RETURNS int {_BODY};
CREATE OPERATOR @##@ (LEFTARG = int, RIGHTARG = int, FUNCTION = operated);
CREATE AGGREGATE aggregated(int) (SFUNC = operated, STYPE = int, INITCOND = '0');
CREATE DOMAIN checked AS int CHECK (operated(VALUE, 1) = 1);
CREATE TYPE composed AS (a checked);
CREATE TYPE cast_from AS (a int);
CREATE FUNCTION casts(cast_from) RETURNS int {_BODY};
CREATE CAST (cast_from AS int) WITH FUNCTION casts(cast_from);
CREATE FUNCTION of_row(orders) RETURNS int {_BODY};
CREATE FUNCTION lower(cast_from) RETURNS int {_BODY};
CREATE VIEW view_sets AS SELECT {OPENS} AS x;
CREATE VIEW view_calls AS SELECT opens_inside() AS x;
CREATE VIEW view_writes AS SELECT writes_as_definer() AS x;
CREATE RULE sets AS ON UPDATE TO markers DO INSTEAD SELECT {OPENS};
CREATE TABLE rows_hidden (id int);
INSERT INTO rows_hidden VALUES (1);
ALTER TABLE rows_hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE rows_hidden FORCE ROW LEVEL SECURITY;
CREATE POLICY policy_runs ON rows_hidden USING (operated(id, 1) = 1);
SELECT lo_create(4711);
"""

STATE = (
    "SELECT current_user, session_user, current_setting('default_transaction_read_only'), "
    "current_setting('transaction_read_only'), current_setting('role'), "
    "current_setting('session_replication_role'), current_setting('work_mem'), "
    "current_setting('standard_conforming_strings')"
)

# Everything that an escape would leave behind, seen past the gate.
_TRACES = """
SELECT (SELECT count(*) FROM markers), (SELECT count(*) FROM payments),
       (SELECT string_agg(status, '') FROM (SELECT status FROM orders WHERE id < 9 ORDER BY id) o),
       (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc),
       (SELECT string_agg(rolname || rolsuper, ',' ORDER BY rolname) FROM pg_roles),
       (SELECT count(*) FROM pg_auth_members),
       (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting),
       (SELECT string_agg(oid::text, ',') FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_replication_slots),
       (SELECT count(*) FROM pg_replication_origin), (SELECT count(*) FROM pg_extension),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
       (SELECT last_value FROM payments_id_seq), pg_conf_load_time(),
       (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
       (SELECT string_agg(f, ',' ORDER BY f) FROM pg_ls_dir('.') AS f),
       pg_read_file('postgresql.auto.conf')
"""


class Escapes:
    """Tries statements through the gate, and proves after each that nothing came of it."""

    def __init__(self, gate: Gate, bystander: psycopg.Connection, agent: Wire) -> None:
        self.gate = gate
        self.bystander = bystander
        self.agent = agent
        self.state = agent.query(STATE)
        self.traces = self._seen()
        assert ",on,on,none,origin," in self.state

    def _seen(self) -> list[tuple[object, ...]]:
        return self.bystander.execute(_TRACES.encode()).fetchall()

    def attempt(self, extended: bool, *texts: str) -> str:
        """Send the texts one by one; return how the last one was answered."""
        answer = ""
        for text in texts:
            frames = (P(text), B(), E(), S) if extended else (Q(text),)
            answer = self.agent.ask(*frames)
        self.prove(texts)
        return answer

    def prove(self, what: object) -> None:
        """Assert that the session is as it was, and the database, too."""
        if not self.agent.query("SELECT 1").endswith("ZI"):
            self.agent.query("ROLLBACK")
        assert self.agent.query(STATE) == self.state, what
        assert self._seen() == self.traces, what
        assert list(self.bystander.notifies(timeout=0)) == [], what


@contextmanager
def database_with_traps(server: EmbeddedPostgres, folder: Path, more: str = "") -> Iterator[Gate]:
    """A gate before a database that holds the traps; holds end at once."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {WEAK} LOGIN".encode())
    try:
        with (
            fresh_database(server, TABLES + PLANTED + more) as name,
            Gate.at(folder, server.url(database=name)) as gate,
            gate.waiting(0.001),
        ):
            gate.look_again()
            yield gate
            gate.check_trail()
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"DROP ROLE {WEAK}".encode())


@contextmanager
def escaping(gate: Gate, tier: str = "replica") -> Iterator[Escapes]:
    """An agent's session, and somebody else who looks past the gate."""
    with psycopg.connect(gate.direct, autocommit=True) as bystander, gate.raw(tier) as agent:
        bystander.execute("LISTEN escape")
        yield Escapes(gate, bystander, agent)
