"""The queries that read a catalog: PostgreSQL 13 to 18, as a role that may do nothing but connect.

They run with ``SETTINGS`` in force and name every object by its schema, so that nothing of a user's
is found under a built-in name, no user function runs, and every text that the server writes names
its objects in full. (The one exception the server makes: to write a constant of a base type it
calls that type's output function, and only superusers can make base types.) None reads what is kept
from the public (``pg_authid``, ``pg_user_mapping``).

Texts made by ``pg_get_expr``, ``pg_get_viewdef`` and their like follow the newest committed
definitions, not the transaction's snapshot, and lock the tables they speak of for a moment: the
queries that lock stand last, and ``catalogs.read_catalog`` compares marks to be sure that nothing
changed in between.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from holdpoint.model import limits

# FirstNormalObjectId (access/transam.h): what was made after initdb has an oid from here on.
# Whoever may replace a built-in function with one in another language (12 internal, 13 C, 14 SQL)
# made something that the shipped table of built-ins does not know: it counts as a user's.
FIRST_USER_OID: Final = 16384
USER_FUNCTION: Final = "(p.oid >= 16384 OR p.prolang NOT IN (12, 13, 14))"

# For one transaction: a pooler that hands out another session for the next one does no harm.
SETTINGS: Final = f"""
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = {int(limits.CATALOG_STATEMENT_S * 1000)};
SET LOCAL lock_timeout = {int(limits.CATALOG_LOCK_S * 1000)};
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL jit = off
"""

# What a fresh session has; asked before ``SETTINGS``, so without a single operator.
SESSION: Final = """
SELECT pg_catalog.current_setting('server_version_num'), current_user::pg_catalog.text,
       pg_catalog.current_schemas(true)::pg_catalog.text[],
       pg_catalog.current_setting('search_path'), pg_catalog.current_setting('block_size')
"""

SCHEMAS: Final = """
SELECT n.nspname::text FROM pg_catalog.pg_namespace AS n
 WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
 ORDER BY 1
"""

# How much there is to read, as it is stored; octet_length of a toasted value does not fetch it. An
# expression's tree is several times longer than its text.
AMOUNT: Final = """
SELECT (SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 AND attnum > 0)
     + (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_type WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_constraint WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_roles),
       coalesce((SELECT sum({function_bytes}) FROM pg_catalog.pg_proc AS p WHERE p.oid >= 16384), 0)
     + coalesce((SELECT sum(octet_length(ev_action::text) + octet_length(ev_qual::text))
                   FROM pg_catalog.pg_rewrite WHERE oid >= 16384), 0)
     + coalesce((SELECT sum(octet_length(adbin::text)) FROM pg_catalog.pg_attrdef
                  WHERE oid >= 16384), 0)
     + coalesce((SELECT sum(octet_length(conbin::text)) FROM pg_catalog.pg_constraint
                  WHERE oid >= 16384), 0)
     + coalesce((SELECT sum(coalesce(octet_length(indexprs::text), 0)
                            + coalesce(octet_length(indpred::text), 0))
                   FROM pg_catalog.pg_index WHERE indexrelid >= 16384), 0)
     + coalesce((SELECT sum(octet_length(tgqual::text)) FROM pg_catalog.pg_trigger), 0)
     + coalesce((SELECT sum(coalesce(octet_length(polqual::text), 0)
                            + coalesce(octet_length(polwithcheck::text), 0))
                   FROM pg_catalog.pg_policy), 0)
     + coalesce((SELECT sum(octet_length(typdefaultbin::text)) FROM pg_catalog.pg_type
                  WHERE oid >= 16384), 0)
"""

RELATIONS: Final = """
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       pg_catalog.pg_get_userbyid(c.relowner)::text,
       CASE WHEN c.reltuples <= 0 AND c.relpages = 0 THEN -1 ELSE c.reltuples END::bigint,
       greatest(c.relpages, 0), c.relpersistence = 't', c.relrowsecurity, c.reltype,
       coalesce((SELECT o.option_value::boolean
                   FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'security_invoker'), false),
       coalesce(c.relacl,
                pg_catalog.acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r' END,
                                      c.relowner))::text
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
 ORDER BY c.oid
"""

# Each different list of privileges once; most tables share a few.
GRANTS: Final = """
WITH lists AS (
    SELECT coalesce(c.relacl,
                    pg_catalog.acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r' END,
                                          c.relowner)) AS acl
      FROM pg_catalog.pg_class AS c
     WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), different AS (
    SELECT DISTINCT ON (l.acl::text) l.acl::text AS key, l.acl FROM lists AS l
)
SELECT d.key, CASE WHEN g.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END,
       g.privilege_type
  FROM different AS d CROSS JOIN LATERAL pg_catalog.aclexplode(d.acl) AS g
 ORDER BY 1, 2, 3
"""

COLUMN_GRANTS: Final = """
SELECT a.attrelid,
       CASE WHEN g.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END,
       g.privilege_type || ' (' || a.attname || ')'
  FROM pg_catalog.pg_attribute AS a CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
 WHERE a.attrelid >= 16384 AND a.attacl IS NOT NULL AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum, 2, 3
"""

# A plain default names no column, so no table is given for it: that spares a lock and much time.
COLUMNS: Final = """
SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.attnotnull,
       coalesce(pg_catalog.pg_get_expr(d.adbin,
           CASE WHEN a.attgenerated = '' THEN 0 ELSE d.adrelid END), ''),
       a.attgenerated <> '', a.attidentity <> '', a.atttypmod
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
 ORDER BY a.attrelid, a.attnum
"""

INDEXES: Final = """
SELECT i.indrelid, i.indexrelid, c.relname::text, i.indkey::text, i.indnkeyatts, i.indisunique,
       i.indisprimary, i.indisvalid, m.amname::text,
       coalesce(pg_catalog.pg_get_expr(i.indexprs, i.indrelid), ''),
       coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''), greatest(c.relpages, 0)
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
  JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
 WHERE i.indrelid >= 16384 AND t.relkind <> 't'
 ORDER BY i.indrelid, i.indexrelid
"""

CONSTRAINTS: Final = """
SELECT k.conrelid, k.conname::text, k.contype::text, k.conkey, k.confrelid, k.confkey,
       k.confdeltype::text, k.confupdtype::text,
       CASE WHEN k.contype = 'c' THEN coalesce(pg_catalog.pg_get_expr(k.conbin, k.conrelid), '')
            ELSE '' END,
       k.convalidated, k.condeferrable
  FROM pg_catalog.pg_constraint AS k
 WHERE k.conrelid >= 16384
 ORDER BY k.conrelid, k.oid
"""

# Internal triggers are those of foreign keys and of deferrable unique constraints, except that 13
# and 14 also call a partition's copy of its table's trigger internal.
TRIGGERS: Final = """
SELECT t.tgrelid, t.tgname::text, t.tgfoid, t.tgtype, t.tgenabled::text, t.tgattr::text,
       CASE WHEN t.tgqual IS NULL THEN ''
            ELSE coalesce(pg_catalog.pg_get_triggerdef(t.oid, false), '') END
  FROM pg_catalog.pg_trigger AS t
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.oid = t.tgconstraint
 WHERE t.tgrelid >= 16384 AND (NOT t.tgisinternal OR coalesce(k.contype = 't', true))
 ORDER BY t.tgrelid, t.tgname
"""

# The rule of a view is its query (ev_type 1, select).
RULES: Final = """
SELECT w.ev_class, w.rulename::text, w.ev_type::text, w.is_instead, w.ev_enabled::text,
       coalesce(pg_catalog.pg_get_ruledef(w.oid), '')
  FROM pg_catalog.pg_rewrite AS w
 WHERE w.ev_class >= 16384 AND w.ev_type <> '1'
 ORDER BY w.ev_class, w.rulename
"""

POLICIES: Final = """
SELECT p.polrelid, p.polname::text, p.polcmd::text,
       coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), ''),
       coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '')
  FROM pg_catalog.pg_policy AS p
 ORDER BY p.polrelid, p.polname
"""

PARENTS: Final = """
SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits AS h
 WHERE h.inhparent >= 16384
 ORDER BY h.inhrelid, h.inhseqno
"""

DEFINITIONS: Final = """
SELECT c.oid, coalesce(pg_catalog.pg_get_viewdef(c.oid), '')
  FROM pg_catalog.pg_class AS c
 WHERE c.oid >= 16384 AND c.relkind IN ('v', 'm')
"""

FUNCTIONS: Final = """
SELECT p.oid, n.nspname::text, p.proname::text, p.prokind::text, l.lanname::text,
       pg_catalog.pg_get_userbyid(p.proowner)::text, p.proargtypes::oid[],
       p.proargnames, p.pronargdefaults, p.provariadic <> 0, p.prorettype,
       p.provolatile::text, p.prosecdef, {function_body}, {function_standard}, p.proconfig,
       coalesce(pg_catalog.pg_get_expr(p.proargdefaults, 0), ''), p.prosupport::oid,
       ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
             g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::oid[]
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
  LEFT JOIN pg_catalog.pg_aggregate AS g ON g.aggfnoid = p.oid
 WHERE {user_function}
 ORDER BY p.oid
"""

OPERATORS: Final = """
SELECT o.oid, n.nspname::text, o.oprname::text, o.oprleft, o.oprright, o.oprcode::oid,
       o.oprrest::oid, o.oprjoin::oid
  FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
 WHERE o.oid >= 16384
 ORDER BY o.oid
"""

CASTS: Final = """
SELECT t.oid, t.castsource, t.casttarget, t.castfunc, t.castcontext::text
  FROM pg_catalog.pg_cast AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.castfunc
 WHERE {user_function}
 ORDER BY t.oid
"""

TYPES: Final = """
SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, t.typrelid, t.typnotnull,
       coalesce(pg_catalog.pg_get_expr(t.typdefaultbin, 0), t.typdefault, '')
  FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
 WHERE t.oid >= 16384 AND n.nspname <> 'pg_toast'
 ORDER BY t.oid
"""

TYPE_CHECKS: Final = """
SELECT k.contypid, coalesce(pg_catalog.pg_get_expr(k.conbin, 0), '')
  FROM pg_catalog.pg_constraint AS k
 WHERE k.contypid >= 16384 AND k.contype = 'c'
 ORDER BY k.contypid, k.conname
"""

TYPE_FUNCTIONS: Final = """
SELECT DISTINCT t.oid, p.oid
  FROM pg_catalog.pg_type AS t
  LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid
 CROSS JOIN LATERAL unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin,
                                 t.typmodout, t.typanalyze{type_subscript}, r.rngcanonical,
                                 r.rngsubdiff]::oid[]) AS f(oid)
  JOIN pg_catalog.pg_proc AS p ON p.oid = f.oid
 WHERE t.oid >= 16384 AND {user_function}
 ORDER BY 1, 2
"""

# The server's own functions that users' objects call: by name the table of built-ins knows them.
BUILT_INS: Final = """
WITH called AS (
    SELECT unnest(ARRAY[o.oprcode, o.oprrest, o.oprjoin]::oid[]) AS oid
      FROM pg_catalog.pg_operator AS o WHERE o.oid >= 16384
    UNION
    SELECT unnest(ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
                        g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::oid[])
      FROM pg_catalog.pg_aggregate AS g WHERE g.aggfnoid >= 16384
    UNION
    SELECT p.prosupport::oid FROM pg_catalog.pg_proc AS p WHERE p.oid >= 16384
    UNION
    SELECT t.tgfoid FROM pg_catalog.pg_trigger AS t WHERE NOT t.tgisinternal OR t.tgconstraint = 0
    UNION
    SELECT e.evtfoid FROM pg_catalog.pg_event_trigger AS e
)
SELECT p.oid, p.proname::text
  FROM pg_catalog.pg_proc AS p JOIN called AS c ON c.oid = p.oid
 WHERE NOT {user_function}
 ORDER BY p.oid
"""

EVENT_TRIGGERS: Final = """
SELECT e.evtname::text, e.evtevent::text, e.evtfoid, e.evtenabled::text, e.evttags
  FROM pg_catalog.pg_event_trigger AS e
 ORDER BY e.evtname
"""

ROLES: Final = """
SELECT r.rolname::text, r.rolsuper, r.rolbypassrls, r.rolcanlogin,
       ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(m.roleid)::text
               FROM pg_catalog.pg_auth_members AS m WHERE m.member = r.oid ORDER BY 1)
  FROM pg_catalog.pg_roles AS r
 ORDER BY r.rolname
"""

EXTENSIONS: Final = """
SELECT e.extname::text, n.nspname::text, e.extversion
  FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
 ORDER BY e.extname
"""

# Which objects belong to an extension; classid is the catalog that an oid belongs to.
MEMBERS: Final = """
SELECT d.classid, d.objid, e.extname::text
  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
 WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
   AND d.objid >= 16384
"""

# Who needs what, by class of the one who needs: each branch joins its own catalog. What belongs to
# its table and goes with it (indexes, constraints, defaults) stands here only for functions.
DEPENDENCIES: Final = """
WITH classes AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid AS relations,
           'pg_catalog.pg_proc'::pg_catalog.regclass::oid AS functions,
           'pg_catalog.pg_type'::pg_catalog.regclass::oid AS types,
           'pg_catalog.pg_constraint'::pg_catalog.regclass::oid AS constraints,
           'pg_catalog.pg_trigger'::pg_catalog.regclass::oid AS triggers
), needed AS MATERIALIZED (
    SELECT DISTINCT d.classid::pg_catalog.regclass::text AS class, d.objid,
           d.refclassid::pg_catalog.regclass::text AS on_class, d.refobjid AS on_oid,
           d.refobjsubid AS on_number
      FROM pg_catalog.pg_depend AS d CROSS JOIN classes AS k
     WHERE d.deptype IN ('n', 'a', 'i') AND d.objid >= 16384 AND d.refobjid >= 16384
       AND (d.refclassid = k.functions
            OR d.refclassid = k.types AND d.classid <> k.types
            OR d.refclassid = k.relations
               AND d.classid NOT IN (k.types, k.constraints, k.triggers, k.relations)
            OR d.refclassid = k.relations AND d.refobjsubid <> 0 AND d.classid = k.relations
               AND d.objid IN (SELECT s.oid FROM pg_catalog.pg_class AS s WHERE s.relkind = 'S'))
), named AS (
    SELECT n.*, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                               ELSE 'rule' END AS kind,
           s.nspname || '.' || c.relname
               || CASE WHEN c.relkind IN ('v', 'm') THEN '' ELSE ' ' || w.rulename END AS name
      FROM needed AS n JOIN pg_catalog.pg_rewrite AS w ON w.oid = n.objid
      JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
      JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
     WHERE n.class = 'pg_rewrite' AND NOT (n.on_class = 'pg_class' AND n.on_oid = c.oid)
    UNION ALL
    SELECT n.*, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate'
                               ELSE 'function' END,
           s.nspname || '.' || p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')'
      FROM needed AS n JOIN pg_catalog.pg_proc AS p ON p.oid = n.objid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = p.pronamespace
     WHERE n.class = 'pg_proc'
    UNION ALL
    SELECT n.*, 'policy', s.nspname || '.' || c.relname || ' ' || p.polname
      FROM needed AS n JOIN pg_catalog.pg_policy AS p ON p.oid = n.objid
      JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
     WHERE n.class = 'pg_policy'
       AND NOT (n.on_class = 'pg_class' AND n.on_oid = c.oid AND n.on_number = 0)
    UNION ALL
    SELECT n.*, 'trigger', s.nspname || '.' || c.relname || ' ' || t.tgname
      FROM needed AS n JOIN pg_catalog.pg_trigger AS t ON t.oid = n.objid
      JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
     WHERE n.class = 'pg_trigger' AND n.on_class = 'pg_proc'
    UNION ALL
    SELECT n.*, 'column default', s.nspname || '.' || c.relname || '.' || a.attname
      FROM needed AS n JOIN pg_catalog.pg_attrdef AS d ON d.oid = n.objid
      JOIN pg_catalog.pg_class AS c ON c.oid = d.adrelid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     WHERE n.class = 'pg_attrdef' AND NOT (n.on_class = 'pg_class' AND n.on_oid = c.oid)
    UNION ALL
    SELECT n.*, 'constraint',
           coalesce(s.nspname || '.' || c.relname, ts.nspname || '.' || t.typname)
               || ' ' || k.conname
      FROM needed AS n JOIN pg_catalog.pg_constraint AS k ON k.oid = n.objid
      LEFT JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
      LEFT JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_type AS t ON t.oid = k.contypid
      LEFT JOIN pg_catalog.pg_namespace AS ts ON ts.oid = t.typnamespace
     WHERE n.class = 'pg_constraint' AND n.on_class = 'pg_proc'
    UNION ALL
    SELECT n.*, CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
                               ELSE 'table' END,
           s.nspname || '.' || c.relname
      FROM needed AS n JOIN pg_catalog.pg_class AS c ON c.oid = n.objid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
     WHERE n.class = 'pg_class'
    UNION ALL
    SELECT n.*, 'operator', s.nspname || '.' || o.oprname
      FROM needed AS n JOIN pg_catalog.pg_operator AS o ON o.oid = n.objid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
     WHERE n.class = 'pg_operator'
    UNION ALL
    SELECT n.*, 'cast', pg_catalog.format_type(t.castsource, NULL) || ' as '
                        || pg_catalog.format_type(t.casttarget, NULL)
      FROM needed AS n JOIN pg_catalog.pg_cast AS t ON t.oid = n.objid
     WHERE n.class = 'pg_cast'
    UNION ALL
    SELECT n.*, 'event trigger', e.evtname
      FROM needed AS n JOIN pg_catalog.pg_event_trigger AS e ON e.oid = n.objid
     WHERE n.class = 'pg_event_trigger'
    UNION ALL
    SELECT n.*, 'publication', b.pubname
      FROM needed AS n JOIN pg_catalog.pg_publication_rel AS r ON r.oid = n.objid
      JOIN pg_catalog.pg_publication AS b ON b.oid = r.prpubid
     WHERE n.class = 'pg_publication_rel'
), found AS (
    SELECT n.on_class, n.on_oid, n.on_number, n.kind, n.name FROM named AS n
    UNION ALL -- what needs a table's row type needs the table
    SELECT 'pg_class', t.typrelid, 0, n.kind, n.name
      FROM named AS n JOIN pg_catalog.pg_type AS t ON t.oid = n.on_oid
     WHERE n.on_class = 'pg_type' AND t.typrelid <> 0
)
SELECT DISTINCT f.on_oid, f.kind, f.name, coalesce(a.attname::text, '')
  FROM found AS f
  LEFT JOIN pg_catalog.pg_attribute AS a
    ON f.on_class = 'pg_class' AND f.on_number <> 0
   AND a.attrelid = f.on_oid AND a.attnum = f.on_number
 ORDER BY 1, 2, 3, 4
"""


class Area(StrEnum):
    """What one query brings."""

    RELATIONS = "relations"
    COLUMNS = "columns"
    INDEXES = "indexes"
    CONSTRAINTS = "constraints"
    TRIGGERS = "triggers"
    RULES = "rules"
    POLICIES = "policies"
    GRANTS = "grants"
    COLUMN_GRANTS = "column grants"
    PARENTS = "parents"
    DEFINITIONS = "definitions"
    FUNCTIONS = "functions"
    OPERATORS = "operators"
    CASTS = "casts"
    TYPES = "types"
    TYPE_CHECKS = "type checks"
    TYPE_FUNCTIONS = "type functions"
    BUILT_INS = "built-ins"
    EVENT_TRIGGERS = "event triggers"
    ROLES = "roles"
    EXTENSIONS = "extensions"
    MEMBERS = "members"
    DEPENDENCIES = "dependencies"


#: In the order they are asked: what locks tables comes last, so that it is held briefly.
QUERIES: Final = {
    Area.EXTENSIONS: EXTENSIONS,
    Area.MEMBERS: MEMBERS,
    Area.ROLES: ROLES,
    Area.BUILT_INS: BUILT_INS,
    Area.EVENT_TRIGGERS: EVENT_TRIGGERS,
    Area.OPERATORS: OPERATORS,
    Area.CASTS: CASTS,
    Area.TYPES: TYPES,
    Area.TYPE_CHECKS: TYPE_CHECKS,
    Area.TYPE_FUNCTIONS: TYPE_FUNCTIONS,
    Area.RELATIONS: RELATIONS,
    Area.GRANTS: GRANTS,
    Area.COLUMN_GRANTS: COLUMN_GRANTS,
    Area.PARENTS: PARENTS,
    Area.DEPENDENCIES: DEPENDENCIES,
    Area.COLUMNS: COLUMNS,
    Area.CONSTRAINTS: CONSTRAINTS,
    Area.INDEXES: INDEXES,
    Area.TRIGGERS: TRIGGERS,
    Area.POLICIES: POLICIES,
    Area.FUNCTIONS: FUNCTIONS,
    Area.RULES: RULES,
    Area.DEFINITIONS: DEFINITIONS,
}

_BEFORE_14: Final = {
    "function_body": "p.prosrc",
    "function_standard": "false",
    "function_bytes": "octet_length(p.prosrc)",
    "type_subscript": "",
    "user_function": USER_FUNCTION,
}
_FROM_14: Final = {
    "function_body": "coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)",
    "function_standard": "p.prosqlbody IS NOT NULL",
    "function_bytes": "octet_length(p.prosrc) + coalesce(octet_length(p.prosqlbody::text), 0)",
    "type_subscript": ", t.typsubscript",
    "user_function": USER_FUNCTION,
}


def for_version(query: str, version: int) -> str:
    """Return a query of this module as a server of that version (180001) understands it."""
    return (
        query.format(**(_FROM_14 if version >= 140000 else _BEFORE_14)) if "{" in query else query
    )
