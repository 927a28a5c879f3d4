"""The mark of a catalog: a digest that changes with every definition, and with nothing else.

A row of a system catalog that is written anew has another ``xmin``, so the oids and ``xmin`` of all
rows tell whether anything was defined, altered or dropped. VACUUM and ANALYZE write their figures
in place and leave ``xmin``; freezing leaves it too (manual, section 24.1.5). Of ``pg_class`` the
definition itself is taken, because TRUNCATE, CLUSTER and REINDEX write new rows that define nothing
new. Temporary tables that carry no code are left out: applications make them all the time, and
nothing is set off by using them.
"""

from __future__ import annotations

from typing import Final

# Plain temporary tables: no trigger, rule, policy, parent, default, check, indexed expression, and
# no column of a type that may run something. Their sequences and indexes stand for themselves.
_PLAIN: Final = """
plain AS MATERIALIZED (
    SELECT c.oid FROM pg_catalog.pg_class AS c
     WHERE c.relpersistence = 't' AND (c.relkind IN ('S', 'i', 'I', 't') OR c.relkind = 'r'
       AND NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                         JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          AND (a.atthasdef OR t.oid >= 16384 AND t.typtype <> 'e'))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                        WHERE k.conrelid = c.oid AND k.contype = 'c')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid
                          AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)))
)
"""
# Relations whose definitions count.
_KEPT: Final = """
kept AS MATERIALIZED (
    SELECT c.oid, concat_ws(' ', c.oid, quote_ident(c.relname), c.relnamespace, c.relowner,
                            c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
                            c.relpersistence, c.reltype, c.relam, c.reloptions, c.relacl) AS text
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.oid >= 16384 AND c.relkind <> 't' AND n.nspname !~ '^pg_toast'
       AND c.oid NOT IN (SELECT p.oid FROM plain AS p)
)
"""

# Of each catalog: what identifies a row, and which rows count. Rows of built-in objects count too:
# a superuser can alter them.
_ON_KEPT: Final = "IN (SELECT k.oid FROM kept AS k)"
# Row types and arrays of temporary tables come and go with them.
_KEPT_TYPE: Final = (
    "NOT (r.typtype = 'c' OR r.typelem <> 0) OR r.typnamespace NOT IN "
    "(SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^pg_(temp_|toast)')"
)
_CATALOGS: Final = (
    ("pg_attribute", "r.attrelid, r.attnum", f"r.attnum > 0 AND r.attrelid {_ON_KEPT}"),
    ("pg_attrdef", "r.oid", f"r.adrelid {_ON_KEPT}"),
    ("pg_index", "r.indexrelid, r.indisvalid, r.indisready", f"r.indrelid {_ON_KEPT}"),
    ("pg_constraint", "r.oid", f"r.conrelid = 0 OR r.conrelid {_ON_KEPT}"),
    ("pg_trigger", "r.oid", f"r.tgrelid {_ON_KEPT}"),
    ("pg_rewrite", "r.oid", f"r.ev_class {_ON_KEPT} OR r.oid < 16384"),
    ("pg_policy", "r.oid", "true"),
    ("pg_inherits", "r.inhrelid, r.inhparent", f"r.inhrelid {_ON_KEPT}"),
    ("pg_proc", "r.oid", "true"),
    ("pg_aggregate", "r.aggfnoid::oid", "true"),
    ("pg_operator", "r.oid", "true"),
    ("pg_cast", "r.oid", "true"),
    ("pg_type", "r.oid", _KEPT_TYPE),
    ("pg_range", "r.rngtypid", "true"),
    ("pg_language", "r.oid", "true"),
    ("pg_namespace", "r.oid", "r.nspname !~ '^pg_(toast|temp_|toast_temp_)'"),
    ("pg_extension", "r.oid", "true"),
    ("pg_event_trigger", "r.oid", "true"),
    ("pg_publication", "r.oid", "true"),
    ("pg_publication_rel", "r.oid", "true"),
    ("pg_auth_members", "r.roleid, r.member", "true"),
    ("pg_db_role_setting", "r.setdatabase, r.setrole", "true"),
    # Membership in an extension is a dependency of its own.
    (
        "pg_depend",
        "r.classid, r.objid, r.refobjid",
        "r.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND r.deptype = 'e'",
    ),
    # So is the column that owns a sequence.
    (
        "pg_depend",
        "r.objid, r.refobjid, r.refobjsubid",
        "r.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND r.refobjsubid <> 0 AND r.objid "
        "IN (SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relkind = 'S' "
        "AND c.relpersistence <> 't')",
    ),
)


def _digest(text: str) -> str:
    """SQL for a digest over the texts of rows in any order."""
    return f"concat(count(*), ':', sum(hashtextextended({text}, 0)))"


def _of(catalog: str, key: str, condition: str) -> str:
    text = f"concat_ws(' ', {key}, r.xmin)"
    return f"(SELECT {_digest(text)} FROM pg_catalog.{catalog} AS r WHERE {condition})"  # noqa: S608


# ``pg_authid`` with its xmin is not for everyone; the view shows what matters.
_ROLES: Final = (
    "(SELECT "  # noqa: S608
    + _digest(
        "concat_ws(' ', r.oid, quote_ident(r.rolname), r.rolsuper, r.rolinherit, r.rolcreaterole,"
        " r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconfig)"
    )
    + " FROM pg_catalog.pg_roles AS r)"
)

MARK: Final = (
    f"WITH {_PLAIN}, {_KEPT} SELECT encode(sha256(convert_to(concat_ws('|', %s::text, "  # noqa: S608
    f"(SELECT {_digest('k.text')} FROM kept AS k), {_ROLES}, "
    + ", ".join(_of(*each) for each in _CATALOGS)
    + "), 'UTF8')), 'hex')"
)
"""Run with ``catalog_queries.SETTINGS`` in force; its parameter is what the session itself has."""
