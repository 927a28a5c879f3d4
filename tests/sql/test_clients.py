"""What real clients ask on their own is a plain read: a false alarm there stops everybody.

The forms below are those of psql's backslash commands, pg_dump, JDBC, SQLAlchemy, Django, asyncpg
and pools, cut down to the parts that could be mistaken.
"""

from __future__ import annotations

import pytest

from holdpoint.impact.hazards import findings_of
from holdpoint.model.effects import Effect
from holdpoint.sql import read

PSQL = [
    """SELECT n.nspname as "Schema", c.relname as "Name",
         CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type",
         pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
         pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size"
       FROM pg_catalog.pg_class c
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r','p','v') AND n.nspname !~ '^pg_toast'
         AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2""",
    """SELECT c.oid FROM pg_catalog.pg_class c
       WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default""",
    """SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
         (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
          FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)
       FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16384' AND a.attnum > 0""",
    """SELECT pol.polname, CASE WHEN pol.polroles = '{0}' THEN NULL ELSE
         pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles
           where oid = any (pol.polroles) order by 1),',') END
       FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '16384' ORDER BY 1""",
    "SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles LIMIT 1000",
]
PG_DUMP = [
    "SET DATESTYLE = ISO",
    "SET INTERVALSTYLE = POSTGRES",
    "SET extra_float_digits TO 3",
    "SET synchronize_seqscans TO off",
    "SET statement_timeout = 0",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET transaction_timeout = 0",
    "SET row_security = off",
    "SET quote_all_identifiers = true",
    "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings "
    "WHERE name = 'restrict_nonsystem_relation_kind'",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SELECT pg_catalog.pg_is_in_recovery()",
    "BEGIN",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SELECT pg_catalog.pg_export_snapshot()",
    "SET TRANSACTION SNAPSHOT '00000004-0000000F-1'",
    "LOCK TABLE public.a, public.b IN ACCESS SHARE MODE",
    "COPY public.a (id, name) TO stdout;",
    "COPY (SELECT id FROM ONLY public.a WHERE true) TO stdout",
    "DECLARE _pg_dump_cursor CURSOR FOR SELECT * FROM ONLY public.a",
    "FETCH 1000 FROM _pg_dump_cursor",
    "SELECT last_value, is_called FROM public.a_id_seq",
    """SELECT unnest(acl) FROM (SELECT coalesce(c.relacl,
         acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))
         AS acl FROM pg_class c) x""",
]
DRIVERS = [
    "SET extra_float_digits = 3; SET application_name = 'PostgreSQL JDBC Driver'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SHOW TRANSACTION ISOLATION LEVEL",
    """SELECT NULL AS TABLE_CAT, n.nspname, ct.relname, a.attname,
         (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname
       FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)
         JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid)
         JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid)
         JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE i.indisprimary""",
    "select pg_catalog.version()",
    "select current_schema()",
    "show standard_conforming_strings",
    "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace "
    "ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace "
    "WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR]) "
    "AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid)",
    "SELECT CAST('test plain returns' AS VARCHAR(60)) AS anon_1",
    "SELECT set_config('TimeZone', 'UTC', false)",
    'SELECT (1) AS "a" FROM "django_session" WHERE "django_session"."session_key" = $1 LIMIT 1',
    "SAVEPOINT s140; RELEASE SAVEPOINT s140",
    """WITH RECURSIVE typeinfo_tree (oid, ns, name, kind, depth) AS (
         SELECT ti.oid, ns.nspname, ti.typname, ti.typtype, 0 FROM pg_catalog.pg_type ti
           INNER JOIN pg_catalog.pg_namespace ns ON (ns.oid = ti.typnamespace)
         WHERE ti.oid = any($1::oid[])
         UNION ALL
         SELECT ti.oid, ns.nspname, ti.typname, ti.typtype, tt.depth + 1
         FROM pg_catalog.pg_type ti
           INNER JOIN pg_catalog.pg_namespace ns ON (ns.oid = ti.typnamespace),
           typeinfo_tree tt
         WHERE ti.typelem = tt.oid)
       SELECT DISTINCT *, oid::regtype::text FROM typeinfo_tree ORDER BY depth DESC""",
    "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
    "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
    "ROLLBACK; DISCARD ALL",
    "SELECT typname AS name, oid, typarray FROM pg_type t WHERE t.oid = to_regtype($1)",
    "SELECT pid, query, now() - query_start AS age FROM pg_stat_activity WHERE state <> 'idle'",
]


@pytest.mark.parametrize("text", [*PSQL, *PG_DUMP, *DRIVERS], ids=lambda text: text[:50])
def test_what_clients_ask_on_their_own_is_a_plain_read(text: str) -> None:
    reading = read(text)
    assert reading.problem is None, reading.problem
    assert reading.effects == {Effect.READ}, reading.unknowns
    assert findings_of(reading) == ()


def test_pg_dump_reads_columns_with_a_statement_it_prepared() -> None:
    reading = read(
        "PREPARE getColumnACLs(pg_catalog.oid) AS SELECT at.attname, at.attacl"
        " FROM pg_catalog.pg_attribute at WHERE at.attrelid = $1; EXECUTE getColumnACLs('1')"
    )
    assert reading.effects == {Effect.READ}
