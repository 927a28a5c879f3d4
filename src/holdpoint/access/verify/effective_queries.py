"""The queries that tell what a role may do: the server's own answer, PostgreSQL 13 to 18.

They run with an empty ``search_path`` as any role that may connect: none reads what is kept from
the public (``pg_authid``, ``pg_user_mapping``). Each takes the role and the roles it could become,
and what it must and may have as masks; only objects that differ come back, with the entries of
their access lists that concern the role. The ``has_*_privilege`` functions given an oid answer NULL
for what was dropped meanwhile: such rows are left out. Bits are numbered in this module only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

# ruff: noqa: S608 (made of names in this module alone; values are parameters)

# Privileges by class of object, each a bit (manual, "Privileges"); MAINTAIN came with 17.
TABLE_BITS: Final[Mapping[str, int]] = {
    "select": 1,
    "insert": 2,
    "update": 4,
    "delete": 8,
    "truncate": 16,
    "references": 32,
    "trigger": 64,
    "maintain": 128,
}
COLUMN_BITS: Final[Mapping[str, int]] = {
    name: TABLE_BITS[name] for name in ("select", "insert", "update", "references")
}
SEQUENCE_BITS: Final[Mapping[str, int]] = {"usage": 1, "select": 2, "update": 4}
SCHEMA_BITS: Final[Mapping[str, int]] = {"usage": 1, "create": 2}
DATABASE_BITS: Final[Mapping[str, int]] = {"connect": 1, "create": 2, "temporary": 4}


def mask_of(names: Iterable[str], bits: Mapping[str, int]) -> int:
    """Return the bits of those names; a name that is no privilege of the class counts nothing."""
    mask = 0
    for name in names:
        mask |= bits.get(name, 0)
    return mask


def names_of(mask: int, bits: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of a mask's bits, in the order of the table."""
    return tuple(name for name, bit in bits.items() if mask & bit)


def _held(function: str, arguments: str, bits: Mapping[str, int], version: int) -> str:
    """SQL for the mask of what any of the roles in ``%(who)s`` holds."""
    parts = [
        f"{function}(w.oid, {arguments}, '{name.upper()}')::int * {bit}"
        for name, bit in bits.items()
        if name != "maintain" or version >= 170000
    ]
    return f"(SELECT bit_or({' + '.join(parts)}) FROM unnest(%(who)s::oid[]) AS w(oid))"


def _granted(acl: str, column: str, bits: Mapping[str, int]) -> str:
    """SQL for the mask of an exploded access list's ``column``."""
    cases = " ".join(f"WHEN '{name.upper()}' THEN {bit}" for name, bit in bits.items())
    return f"bit_or(CASE {acl}.{column} {cases} ELSE 0 END)"


def _rights(acl: str, owner: str) -> str:
    """SQL for the entries of an access list that concern the role, as JSON.

    The grantor is named where it is not the owner: a REVOKE does nothing about what others gave.
    """
    return f"""(SELECT json_agg(json_build_array(y.grantee::bigint, lower(y.privilege_type),
                                               y.grantable, y.giver))
                  FROM (SELECT x.grantee, x.privilege_type, bool_or(x.is_grantable) AS grantable,
                               CASE WHEN x.grantor = {owner} THEN ''
                                    ELSE pg_get_userbyid(x.grantor) END AS giver
                          FROM aclexplode({acl}) AS x
                         WHERE x.grantee = 0 OR x.grantee = ANY (%(reach)s::oid[])
                         GROUP BY 1, 2, 4 ORDER BY 1, 2, 4) AS y)"""


WANTED: Final = """
WITH want AS MATERIALIZED (
    SELECT nsp, rel, need
      FROM unnest(%(nsp)s::text[], %(rel)s::text[], %(need)s::int[]) AS w(nsp, rel, need)
)"""

ROLE: Final = """
SELECT r.oid::bigint, r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb,
       r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit,
       coalesce(r.rolvaliduntil < now(), false), current_user,
       current_database(), pg_is_in_recovery(), current_setting('server_version_num')::int,
       current_setting('lo_compat_privileges')::bool,
       (SELECT count(*) FROM pg_event_trigger WHERE evtenabled <> 'D')
  FROM pg_roles AS r WHERE r.rolname = %(role)s
"""

# Every role that the role is a member of, however far; a superuser passes pg_has_role for all, so
# the edges are followed. The owner of the database is one of pg_database_owner without an edge.
REACH: Final = """
WITH RECURSIVE edges AS (
    SELECT m.member, m.roleid FROM pg_auth_members AS m WHERE m.member = %(me)s::oid
    UNION
    SELECT m.member, m.roleid FROM edges AS e JOIN pg_auth_members AS m ON m.member = e.roleid
), met AS (
    SELECT roleid AS oid, min(member::bigint) AS via FROM edges GROUP BY roleid
    UNION ALL
    SELECT d.oid, %(me)s::bigint FROM pg_roles AS d
     WHERE d.rolname = 'pg_database_owner'
       AND EXISTS (SELECT FROM pg_database AS b
                    WHERE b.datname = current_database()
                      AND (b.datdba = %(me)s::oid OR b.datdba IN (SELECT roleid FROM edges)))
)
SELECT r.oid::bigint, r.rolname, met.via, r.rolsuper, r.rolcreaterole, r.rolcreatedb,
       r.rolreplication, r.rolbypassrls,
       pg_has_role(%(me)s::oid, r.oid, 'USAGE'),
       pg_has_role(%(me)s::oid, r.oid, '{set}'),
       pg_has_role(%(me)s::oid, r.oid, 'MEMBER WITH ADMIN OPTION'),
       ARRAY(SELECT DISTINCT g.rolname FROM pg_auth_members AS m JOIN pg_roles AS g
                 ON g.oid = m.grantor
              WHERE m.member = met.via::oid AND m.roleid = r.oid ORDER BY g.rolname)
  FROM met JOIN pg_roles AS r ON r.oid = met.oid
 WHERE r.oid <> %(me)s::oid
 ORDER BY r.rolname
"""

MEMBERS: Final = """
SELECT r.rolname, r.rolcanlogin, extract(epoch FROM r.rolvaliduntil)::float8,
       r.rolvaliduntil < now(), bool_or({acts}),
       coalesce(shobj_description(r.oid, 'pg_authid'), ''),
       array_agg(g.rolname ORDER BY g.rolname)
  FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
  LEFT JOIN pg_roles AS g ON g.oid = m.grantor
 WHERE m.roleid = %(me)s::oid AND NOT r.rolsuper
 GROUP BY r.oid, r.rolname, r.rolcanlogin, r.rolvaliduntil
 ORDER BY r.rolname
"""

SETTINGS: Final = """
SELECT s.setrole = 0, s.setdatabase = 0, c.line
  FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS c(line)
 WHERE s.setrole IN (0, %(me)s::oid)
   AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
 ORDER BY 1 DESC, 2 DESC, 3
"""

DATABASE: Final = f"""
SELECT d.datname, {_held("has_database_privilege", "d.oid", DATABASE_BITS, 0)},
       {_rights("coalesce(d.datacl, acldefault('d', d.datdba))", "d.datdba")},
       d.datname = current_database()
  FROM pg_database AS d WHERE d.datallowconn AND NOT d.datistemplate
 ORDER BY d.datname
"""


def tables(version: int) -> str:
    """Return the query for tables, views and their like that differ.

    What initdb gave to all on its own relations is theirs; of extensions' relations, to read.
    """
    return f"""{WANTED}, init AS MATERIALIZED (
    SELECT i.objoid, {_granted("x", "privilege_type", TABLE_BITS)} AS mask
      FROM pg_init_privs AS i CROSS JOIN LATERAL aclexplode(i.initprivs) AS x
     WHERE i.classoid = 'pg_class'::regclass AND i.objsubid = 0 AND x.grantee = 0
       AND (i.privtype = 'i' OR x.privilege_type = 'SELECT')
     GROUP BY i.objoid
)
SELECT d.nspname, d.relname, d.relkind, d.need & ~d.have, d.have & ~d.allow, d.relowner::bigint,
       {_rights("coalesce(d.relacl, acldefault('r', d.relowner))", "d.relowner")},
       (SELECT bool_or(has_schema_privilege(w.oid, d.relnamespace, 'USAGE'))
          FROM unnest(%(who)s::oid[]) AS w(oid))
  FROM (
    SELECT c.oid, c.relnamespace, n.nspname, c.relname, c.relkind, c.relowner, c.relacl,
           coalesce(w.need, 0) AS need,
           coalesce(w.need, 0) | coalesce(i.mask, 0)
             | CASE n.nspname WHEN 'pg_catalog' THEN 0 WHEN 'information_schema' THEN 1
                    ELSE %(usual)s::int END AS allow,
           {_held("has_table_privilege", "c.oid", TABLE_BITS, version)} AS have
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      LEFT JOIN want AS w ON w.nsp = n.nspname AND w.rel = c.relname
      LEFT JOIN init AS i ON i.objoid = c.oid
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
    OFFSET 0
  ) AS d
 WHERE d.need & ~d.have <> 0 OR d.have & ~d.allow <> 0
 ORDER BY 1, 2
"""


def columns(version: int) -> str:
    """Return the query for columns that differ where the whole table is not held."""
    whole = _held("has_table_privilege", "c.oid", COLUMN_BITS, version)
    return f"""{WANTED}, col AS MATERIALIZED (
    SELECT nsp, rel, att, mask
      FROM unnest(%(col_nsp)s::text[], %(col_rel)s::text[], %(col)s::text[], %(mask)s::int[])
           AS k(nsp, rel, att, mask)
), init AS MATERIALIZED (
    SELECT i.objoid, i.objsubid, {_granted("x", "privilege_type", COLUMN_BITS)} AS mask
      FROM pg_init_privs AS i CROSS JOIN LATERAL aclexplode(i.initprivs) AS x
     WHERE i.classoid = 'pg_class'::regclass AND i.objsubid > 0 AND x.grantee = 0
     GROUP BY i.objoid, i.objsubid
)
SELECT d.nspname, d.relname, d.attname, d.need & ~(d.have | d.whole),
       d.have & ~d.whole & ~d.allow, {_rights("d.attacl", "d.relowner")}
  FROM (
    SELECT n.nspname, c.relname, c.relowner, a.attname, a.attacl, coalesce(k.mask, 0) AS need,
           coalesce(k.mask, 0) | coalesce(w.need, 0) | coalesce(i.mask, 0)
             | CASE n.nspname WHEN 'pg_catalog' THEN 0 WHEN 'information_schema' THEN 1
                    ELSE %(usual)s::int END AS allow,
           {_held("has_column_privilege", "c.oid, a.attnum", COLUMN_BITS, version)} AS have,
           {whole} AS whole
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      LEFT JOIN want AS w ON w.nsp = n.nspname AND w.rel = c.relname
      LEFT JOIN init AS i ON i.objoid = c.oid AND i.objsubid = a.attnum
      LEFT JOIN col AS k ON k.nsp = n.nspname AND k.rel = c.relname AND k.att = a.attname
     WHERE (a.attacl IS NOT NULL OR k.att IS NOT NULL) AND NOT a.attisdropped
    OFFSET 0
  ) AS d
 WHERE d.need & ~(d.have | d.whole) <> 0 OR d.have & ~d.whole & ~d.allow <> 0
 ORDER BY 1, 2, 3
"""


SEQUENCES: Final = f"""{WANTED}
SELECT d.nspname, d.relname, d.need & ~d.have, d.have & ~d.allow, d.relowner::bigint,
       {_rights("coalesce(d.relacl, acldefault('s', d.relowner))", "d.relowner")}
  FROM (
    SELECT n.nspname, c.relname, c.relowner, c.relacl,
           coalesce(w.need, 0) AS need, coalesce(w.need, 0) | %(usual)s::int AS allow,
           {_held("has_sequence_privilege", "c.oid", SEQUENCE_BITS, 0)} AS have
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      LEFT JOIN want AS w ON w.nsp = n.nspname AND w.rel = c.relname
     -- A filter on relkind does not keep the planner from asking about tables first.
     WHERE c.oid IN (SELECT seqrelid FROM pg_sequence) AND n.nspname !~ '^pg_temp'
    OFFSET 0
  ) AS d
 WHERE d.need & ~d.have <> 0 OR d.have & ~d.allow <> 0
 ORDER BY 1, 2
"""

SCHEMAS: Final = f"""{WANTED}
SELECT d.nspname, d.need & ~d.have, d.have & ~d.allow, d.nspowner::bigint,
       {_rights("coalesce(d.nspacl, acldefault('n', d.nspowner))", "d.nspowner")}
  FROM (
    SELECT n.nspname, n.nspowner, n.nspacl, coalesce(w.need, 0) AS need,
           -- To look up names in the server's own schemas and in `public` gives nothing by itself.
           coalesce(w.need, 0) | %(usual)s::int
             | (n.nspname IN ('pg_catalog', 'information_schema', 'public'))::int AS allow,
           {_held("has_schema_privilege", "n.oid", SCHEMA_BITS, 0)} AS have
      FROM pg_namespace AS n LEFT JOIN want AS w ON w.nsp = n.nspname
     WHERE n.nspname !~ '^pg_(toast|temp)'
    OFFSET 0
  ) AS d
 WHERE d.need & ~d.have <> 0 OR d.have & ~d.allow <> 0
 ORDER BY 1
"""

# Functions by which more can be done than the caller may: those that run as their owner, those that
# initdb or an extension keeps from PUBLIC, and those in languages that reach the server's machine.
FUNCTIONS: Final = f"""
WITH want AS MATERIALIZED (
    SELECT nsp, fun FROM unnest(%(nsp)s::text[], %(fun)s::text[]) AS w(nsp, fun)
), asked AS MATERIALIZED (
    SELECT p.oid FROM want AS w JOIN pg_namespace AS n ON n.nspname = w.nsp
      JOIN pg_proc AS p ON p.pronamespace = n.oid
     WHERE w.fun = p.proname || '(' || oidvectortypes(p.proargtypes) || ')'
), kept AS MATERIALIZED (
    SELECT i.objoid FROM pg_init_privs AS i
     WHERE i.classoid = 'pg_proc'::regclass
       AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS x WHERE x.grantee = 0)
)
SELECT d.nspname, d.name, d.wanted, d.prosecdef, d.kept, d.untrusted, d.provolatile <> 'v',
       d.owner, d.rolsuper, d.pathless, d.have, d.reached, d.oid::regprocedure::text,
       (SELECT e.extname FROM pg_depend AS x JOIN pg_extension AS e ON e.oid = x.refobjid
         WHERE x.classid = 'pg_proc'::regclass AND x.objid = d.oid AND x.deptype = 'e'),
       {_rights("coalesce(d.proacl, acldefault('f', d.proowner))", "d.proowner")}
  FROM (
    SELECT p.oid, n.nspname, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
           p.prosecdef, p.provolatile, p.proowner, p.proacl, o.rolname AS owner, o.rolsuper,
           p.oid IN (SELECT objoid FROM kept) AS kept,
           CASE WHEN l.lanpltrusted OR l.lanname IN ('internal', 'c', 'sql') THEN ''
                ELSE l.lanname END AS untrusted,
           NOT coalesce(p.proconfig::text LIKE '%%search_path=%%', false) AS pathless,
           p.oid IN (SELECT oid FROM asked) AS wanted,
           (SELECT bool_or(has_function_privilege(w.oid, p.oid, 'EXECUTE'))
              FROM unnest(%(who)s::oid[]) AS w(oid)) AS have,
           (SELECT bool_or(has_schema_privilege(w.oid, n.oid, 'USAGE'))
              FROM unnest(%(who)s::oid[]) AS w(oid)) AS reached
      FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
      JOIN pg_roles AS o ON o.oid = p.proowner JOIN pg_language AS l ON l.oid = p.prolang
     WHERE n.nspname !~ '^pg_temp'
       AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
       AND (p.prosecdef OR p.oid IN (SELECT objoid FROM kept) OR p.oid IN (SELECT oid FROM asked)
            OR NOT (l.lanpltrusted OR l.lanname IN ('internal', 'c', 'sql')))
    OFFSET 0
  ) AS d
 WHERE (d.wanted AND NOT d.have)
    OR (d.have AND NOT d.wanted AND (d.prosecdef OR d.kept OR d.untrusted <> ''))
 ORDER BY 1, 2
"""
