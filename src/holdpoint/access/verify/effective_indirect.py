"""The queries for rights that no access list of a table shows; companions of ``effective_queries``.

What a role owns, what new objects will give it, views and rules that lead on to other tables,
row-level security that does not hold, and rights on the rest: servers, parameters, large objects.
"""

from __future__ import annotations

from typing import Final

# ruff: noqa: S608 (made of names in this module alone; values are parameters)

# What the role, or one that it could become, owns in this database and of the whole server.
OWNED: Final = """
SELECT o.owner, o.here, o.kind, o.identity, o.number FROM (
    SELECT s.refobjid::bigint AS owner, s.dbid <> 0 AS here, i.type AS kind, i.identity,
           count(*) OVER same AS number, row_number() OVER (same ORDER BY i.identity) AS place
      FROM pg_shdepend AS s
     CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, s.objsubid) AS i
     WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
       AND (s.refobjid = %(me)s::oid OR s.refobjid = ANY (%(acts)s::oid[]))
       AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND i.identity !~ '^"?pg_temp'
       -- Both only say whom they are about (server source, recordDependencyOnOwner).
       AND s.classid NOT IN ('pg_user_mapping'::regclass, 'pg_default_acl'::regclass)
       -- A sequence of a column goes with its table.
       AND NOT EXISTS (SELECT FROM pg_depend AS d
                        WHERE d.classid = s.classid AND d.objid = s.objid
                          AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
                          AND d.refobjsubid > 0)
    WINDOW same AS (PARTITION BY s.refobjid, i.type)
  ) AS o
 WHERE o.place <= %(listed)s
 ORDER BY 1, 3, 4
"""

OWNED_ELSEWHERE: Final = """
SELECT d.datname, count(*)
  FROM pg_shdepend AS s JOIN pg_database AS d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.refobjid = %(me)s::oid
   AND s.classid NOT IN ('pg_user_mapping'::regclass, 'pg_default_acl'::regclass)
   AND d.datname <> current_database()
 GROUP BY 1 ORDER BY 1
"""

# Rights that the role may give on, by entries with GRANT OPTION; an owner may do so anyway.
GRANTABLE: Final = """
WITH lists AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, n.nspname, c.relname,
           NULL AS attname, '' AS signature, c.relowner AS owner, c.relacl AS acl
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relacl::text LIKE '%%*%%'
    UNION ALL
    SELECT 'table', n.nspname, c.relname, a.attname, '', c.relowner, a.attacl
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE a.attacl::text LIKE '%%*%%' AND NOT a.attisdropped
    UNION ALL
    SELECT 'schema', '', nspname, NULL, '', nspowner, nspacl
      FROM pg_namespace WHERE nspacl::text LIKE '%%*%%'
    UNION ALL
    SELECT 'function', n.nspname, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', NULL,
           p.oid::regprocedure::text, p.proowner, p.proacl
      FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
     WHERE p.proacl::text LIKE '%%*%%'
    UNION ALL
    SELECT 'database', '', datname, NULL, '', datdba, datacl
      FROM pg_database WHERE datacl::text LIKE '%%*%%' AND datname = current_database()
)
SELECT l.kind, l.nspname, l.relname, coalesce(l.attname, ''), l.signature, x.grantee::bigint,
       array_agg(DISTINCT lower(x.privilege_type) ORDER BY lower(x.privilege_type))
  FROM lists AS l CROSS JOIN LATERAL aclexplode(l.acl) AS x
 WHERE x.is_grantable AND x.grantee = ANY (%(reach)s::oid[]) AND x.grantee <> l.owner
   AND l.nspname !~ '^pg_temp'
 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 6
"""

DEFAULTS: Final = """
SELECT r.rolname, coalesce(n.nspname, ''), d.defaclobjtype::text, x.grantee::bigint,
       lower(x.privilege_type), bool_or(x.is_grantable)
  FROM pg_default_acl AS d JOIN pg_roles AS r ON r.oid = d.defaclrole
  LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
 CROSS JOIN LATERAL aclexplode(d.defaclacl) AS x
 WHERE (x.grantee = 0 OR x.grantee = ANY (%(reach)s::oid[])) AND x.grantee <> d.defaclrole
 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""

# Relations with rules (a view is one) that the role may use, and the tables at their ends that it
# may not use as a whole. A view is checked as its owner unless it is `security_invoker` (15 on).
LEADS: Final = """
WITH RECURSIVE steps AS MATERIALIZED (
    SELECT DISTINCT r.ev_class AS a, d.refobjid AS b, r.ev_type <> '1' AS acts
      FROM pg_rewrite AS r JOIN pg_depend AS d
        ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
     WHERE r.ev_class >= 16384 AND d.refobjid >= 16384
), tops AS (
    SELECT c.oid,
           (SELECT bool_or(has_any_column_privilege(w.oid, c.oid, 'SELECT')
                           OR has_table_privilege(w.oid, c.oid, 'SELECT'))
              FROM unnest(%(who)s::oid[]) AS w(oid)) AS reads,
           (SELECT bool_or(has_table_privilege(w.oid, c.oid, 'INSERT, UPDATE, DELETE')
                           OR has_any_column_privilege(w.oid, c.oid, 'INSERT, UPDATE'))
              FROM unnest(%(who)s::oid[]) AS w(oid))
             AND (c.relkind <> 'v' OR pg_relation_is_updatable(c.oid, true) <> 0) AS writes
      FROM pg_class AS c WHERE c.oid IN (SELECT a FROM steps) AND c.relkind IN ('r', 'p', 'v', 'm')
       AND NOT coalesce(c.reloptions::text ~* 'security_invoker=(true|on|yes|1)', false)
), walk AS (
    SELECT t.oid AS top, s.b AS at, s.acts FROM tops AS t JOIN steps AS s ON s.a = t.oid
     WHERE t.reads OR t.writes
    UNION
    SELECT w.top, s.b, w.acts OR s.acts FROM walk AS w JOIN steps AS s ON s.a = w.at
), ends AS (
    SELECT w.top, w.at, bool_or(w.acts) AS acts,
           (SELECT bool_or(has_table_privilege(r.oid, w.at, 'SELECT'))
              FROM unnest(%(who)s::oid[]) AS r(oid))
             -- Whom row-level security holds for may not read all of a table.
             AND NOT (SELECT b.relrowsecurity AND (o.rolsuper OR o.rolbypassrls
                             OR (NOT b.relforcerowsecurity
                                 AND pg_has_role(o.oid, b.relowner, 'USAGE')))
                        FROM pg_class AS b, pg_class AS t JOIN pg_roles AS o ON o.oid = t.relowner
                       WHERE b.oid = w.at AND t.oid = w.top) AS reads,
           (SELECT bool_or(has_table_privilege(r.oid, w.at, 'INSERT, UPDATE, DELETE'))
              FROM unnest(%(who)s::oid[]) AS r(oid)) AS writes
      FROM walk AS w GROUP BY w.top, w.at
)
SELECT n.nspname, c.relname, c.relkind::text, o.rolname, bn.nspname, b.relname,
       t.reads AND c.relkind IN ('v', 'm') AND NOT e.reads,
       t.writes AND (c.relkind = 'v' OR e.acts) AND NOT e.writes
  FROM ends AS e JOIN tops AS t ON t.oid = e.top
  JOIN pg_class AS c ON c.oid = e.top JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_roles AS o ON o.oid = c.relowner
  JOIN pg_class AS b ON b.oid = e.at AND b.relkind IN ('r', 'p', 'f', 'm')
  JOIN pg_namespace AS bn ON bn.oid = b.relnamespace
 WHERE c.relowner <> %(me)s::oid
   AND (t.reads AND c.relkind IN ('v', 'm') AND NOT e.reads
        OR t.writes AND (c.relkind = 'v' OR e.acts) AND NOT e.writes)
 ORDER BY 1, 2, 5, 6 LIMIT %(leads)s
"""

# Tables with policies that do not hold for the role: switched off, or not forced on the owner.
POLICIES: Final = """
SELECT n.nspname, c.relname, c.relrowsecurity, count(*)
  FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE (NOT c.relrowsecurity
        OR (NOT c.relforcerowsecurity AND pg_has_role(%(me)s::oid, c.relowner, 'USAGE')))
   AND (SELECT bool_or(has_any_column_privilege(w.oid, c.oid, 'SELECT, INSERT, UPDATE')
                       OR has_table_privilege(w.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE'))
          FROM unnest(%(who)s::oid[]) AS w(oid))
 GROUP BY 1, 2, 3 ORDER BY 1, 2
"""


def others(version: int) -> str:
    """Return the query for rights on what no configuration grants: (class, name, entry...)."""
    sources = [
        ("foreign server", "pg_foreign_server", "srvname", "srvacl", "srvowner"),
        ("foreign data wrapper", "pg_foreign_data_wrapper", "fdwname", "fdwacl", "fdwowner"),
        ("tablespace", "pg_tablespace", "spcname", "spcacl", "spcowner"),
    ]
    parts = [
        f"""SELECT '{kind}', o.{name}::text, x.grantee::bigint, lower(x.privilege_type),
                   x.is_grantable, 1::bigint
              FROM {table} AS o CROSS JOIN LATERAL aclexplode(o.{acl}) AS x
             WHERE (x.grantee = 0 OR x.grantee = ANY (%(reach)s::oid[]))
               AND x.grantee <> o.{owner}"""
        for kind, table, name, acl, owner in sources
    ]
    parts.append(
        """SELECT 'user mapping', o.srvname::text, o.umuser::bigint, 'usage', false, 1::bigint
             FROM pg_user_mappings AS o
            WHERE o.umuser = 0 OR o.umuser = ANY (%(reach)s::oid[])"""
    )
    if version >= 150000:
        parts.append(
            """SELECT 'parameter', o.parname, x.grantee::bigint, lower(x.privilege_type),
                      x.is_grantable, 1::bigint
                 FROM pg_parameter_acl AS o CROSS JOIN LATERAL aclexplode(o.paracl) AS x
                WHERE x.grantee = 0 OR x.grantee = ANY (%(reach)s::oid[])"""
        )
    parts.append(
        """SELECT 'large object', min(o.oid)::text, x.grantee::bigint, lower(x.privilege_type),
                  bool_or(x.is_grantable), count(*)
             FROM (SELECT oid, lomacl, lomowner FROM pg_largeobject_metadata
                    WHERE lomacl IS NOT NULL LIMIT %(looked)s) AS o
            CROSS JOIN LATERAL aclexplode(o.lomacl) AS x
            WHERE (x.grantee = 0 OR x.grantee = ANY (%(reach)s::oid[])) AND x.grantee <> o.lomowner
            GROUP BY 3, 4"""
    )
    return " UNION ALL ".join(parts) + " ORDER BY 1, 2, 3, 4"
