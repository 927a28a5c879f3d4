"""Reads what a database gives from its catalogs, set by set: PostgreSQL 13 to 18, no superuser.

One read-only transaction at REPEATABLE READ, so that all of it is of one moment. Every name is
found in ``pg_catalog``; types of arguments are then written with their schemas. A list of rights
that was never touched is NULL in the catalog and stands for ``acldefault``: that is where the
rights of PUBLIC on functions, types and databases come from (manual, section 5.8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from holdpoint.access.desired import DefaultRight, Desired, Objects, On, Right
from holdpoint.access.plan.granted import (
    Granted,
    Held,
    HeldDefault,
    Membership,
    Owned,
    PassingView,
    Place,
    Policy,
    RoleSetting,
    RoleState,
)
from holdpoint.model import limits
from holdpoint.model.grants import ObjectClass

Connection = psycopg.Connection[tuple[Any, ...]]

BEGIN: Final = f"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = {int(limits.CATALOG_STATEMENT_S * 1000)};
SET LOCAL lock_timeout = {int(limits.CATALOG_LOCK_S * 1000)};
SET LOCAL jit = off
"""

# Takes the place of `{ours}`: what is not in the server's own schemas.
_OURS: Final = "(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')"

SESSION: Final = """
SELECT current_setting('server_version_num')::int / 10000, d.datname::text, r.rolname::text,
       r.rolsuper, r.rolcreaterole, pg_is_in_recovery(), pg_get_userbyid(d.datdba)::text,
       extract(epoch FROM pg_postmaster_start_time())::text,
       current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int
          + current_setting('max_prepared_transactions')::int)
  FROM pg_database AS d, pg_roles AS r
 WHERE d.datname = current_database() AND r.rolname = current_user
"""

ROLES: Final = """
SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
       rolinherit, rolcanlogin, rolconnlimit, coalesce(rolvaliduntil <= now(), false),
       pg_has_role(oid, 'USAGE'), pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
  FROM pg_roles ORDER BY 1
"""

MEMBERSHIPS: Final = """
SELECT r.rolname::text, m.rolname::text, pg_get_userbyid(a.grantor)::text, a.admin_option,
       {options}
  FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid
  JOIN pg_roles AS m ON m.oid = a.member
 WHERE r.rolname = ANY(%(roles)s) OR m.rolname = ANY(%(roles)s)
 ORDER BY 1, 2, 3
"""

SETTINGS: Final = """
SELECT r.rolname::text, coalesce(d.datname::text, ''), split_part(each, '=', 1),
       substr(each, strpos(each, '=') + 1)
  FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole
  LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
  CROSS JOIN LATERAL unnest(s.setconfig) AS each
 WHERE r.rolname = ANY(%(roles)s) AND (s.setdatabase = 0 OR d.datname = current_database())
 ORDER BY 1, 2, 3
"""

CONTEXTS: Final = """
SELECT name::text, CASE WHEN {may_set} THEN 'user' ELSE context::text END
  FROM pg_settings WHERE lower(name) = ANY(%(names)s)
"""

SCHEMAS: Final = """
SELECT n.nspname::text, pg_get_userbyid(n.nspowner)::text FROM pg_namespace AS n
 WHERE {ours} ORDER BY 1
"""

RELATIONS: Final = """
SELECT n.nspname::text, c.relname::text, c.relkind::text, pg_get_userbyid(c.relowner)::text,
       c.relrowsecurity
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {ours}
"""

FUNCTIONS: Final = """
SELECT n.nspname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')',
       pg_get_userbyid(p.proowner)::text, p.prosecdef, p.oid::regprocedure::text
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {ours}
"""

COLUMNS: Final = """
SELECT n.nspname::text, c.relname::text, a.attname::text
  FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS asked (schema, name)
  JOIN pg_namespace AS n ON n.nspname = asked.schema
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
"""

# A serial's default and one made by hand alike; an identity column has no default.
OWNED_SEQUENCES: Final = """
SELECT DISTINCT tn.nspname::text, t.relname::text, sn.nspname::text, s.relname::text
  FROM pg_depend AS d
  JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
  JOIN pg_class AS s ON d.refclassid = 'pg_class'::regclass AND s.oid = d.refobjid
                    AND s.relkind = 'S'
  JOIN pg_class AS t ON t.oid = f.adrelid
  JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
  JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
 ORDER BY 1, 2, 3, 4
"""

OWNED: Final = """
SELECT r.rolname::text,
       CASE WHEN d.dbid = 0 OR b.datname = current_database()
            THEN pg_describe_object(d.classid, d.objid, d.objsubid)
            ELSE 'something in database ' || b.datname END
  FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid
  LEFT JOIN pg_database AS b ON b.oid = d.dbid
 WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = ANY(%(roles)s)
   AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
 ORDER BY 1, 2 LIMIT %(most)s
"""

ELSEWHERE: Final = """
SELECT DISTINCT r.rolname::text, b.datname::text
  FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid
  JOIN pg_database AS b ON b.oid = d.dbid
 WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'a' AND r.rolname = ANY(%(roles)s)
   AND b.datname <> current_database()
 ORDER BY 1, 2
"""

MAPPINGS: Final = """
SELECT usename::text, srvname::text FROM pg_user_mappings
 WHERE usename = ANY(%(roles)s) ORDER BY 1, 2
"""

# What each kind of object is called, where its list of rights is, and what stands for NULL.
_LISTS: Final = """
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname::text, '',
       c.relowner, c.relacl, {ours}
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL
SELECT 'table', n.nspname, c.relname::text, a.attname::text, c.relowner, a.attacl, {ours}
  FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
UNION ALL
SELECT 'function', n.nspname, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', '',
       p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), {ours}
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
 WHERE p.proacl IS NOT NULL OR {ours}
UNION ALL
SELECT 'type', n.nspname, t.typname::text, '', t.typowner, t.typacl, {ours}
  FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.typacl IS NOT NULL
UNION ALL
SELECT 'schema', '', n.nspname, '', n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner)),
       {ours}
  FROM pg_namespace AS n
UNION ALL
SELECT 'database', '', datname, '', datdba, coalesce(datacl, acldefault('d', datdba)), true
  FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'language', '', lanname, '', lanowner, lanacl, false
  FROM pg_language WHERE lanacl IS NOT NULL
UNION ALL
SELECT 'foreign data wrapper', '', fdwname, '', fdwowner, fdwacl, true
  FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
UNION ALL
SELECT 'foreign server', '', srvname, '', srvowner, srvacl, true
  FROM pg_foreign_server WHERE srvacl IS NOT NULL
UNION ALL
SELECT 'large object', '', oid::text, '', lomowner, lomacl, true
  FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL
UNION ALL
SELECT 'tablespace', '', spcname, '', spcowner, spcacl, true
  FROM pg_tablespace WHERE spcacl IS NOT NULL
"""
_PARAMETERS: Final = """
UNION ALL
SELECT 'parameter', '', parname, '', 10, paracl, true FROM pg_parameter_acl
"""  # 10 is BOOTSTRAP_SUPERUSERID (catalog/pg_authid.dat): nobody owns parameters

# Of the roles that are asked about, of everybody, and what the one who asks may give on.
HELD: Final = """
WITH lists (what, schema, name, col, owner, acl, ours) AS ({lists}{parameters}),
     asked AS (SELECT oid FROM pg_roles WHERE rolname = ANY(%(roles)s)),
     acting AS (SELECT oid FROM pg_roles WHERE NOT rolsuper AND pg_has_role(oid, 'USAGE'))
SELECT l.what, l.schema::text, l.name::text, l.col, lower(g.privilege_type),
       CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee)::text END,
       pg_get_userbyid(g.grantor)::text, g.is_grantable, pg_get_userbyid(l.owner)::text
  FROM lists AS l CROSS JOIN LATERAL aclexplode(l.acl) AS g
 WHERE g.grantee IN (SELECT oid FROM asked) OR g.grantor IN (SELECT oid FROM asked)
    OR (g.grantee = 0 AND l.ours)
    OR (g.is_grantable AND l.ours AND g.grantee IN (SELECT oid FROM acting))
"""

DEFAULTS: Final = """
SELECT pg_get_userbyid(d.defaclrole)::text, coalesce(n.nspname::text, ''), d.defaclobjtype::text,
       lower(g.privilege_type), g.is_grantable,
       CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee)::text END
  FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
  CROSS JOIN LATERAL aclexplode(d.defaclacl) AS g
 WHERE g.grantee IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%(roles)s))
    OR (g.grantee = 0 AND d.defaclnamespace <> 0)
"""

POLICIES: Final = """
SELECT n.nspname::text, c.relname::text, p.polcmd::text,
       ARRAY(SELECT CASE WHEN role = 0 THEN '' ELSE pg_get_userbyid(role)::text END
               FROM unnest(p.polroles) AS role ORDER BY 1)
  FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE p.polpermissive AND {ours} ORDER BY 1, 2, 3, 4
"""

# A view reads with its owner's rights unless it is a security_invoker (15 and newer): past the
# policies of what it reads if the owner owns that as well (and is not forced), or bypasses them.
PASSING: Final = """
SELECT DISTINCT n.nspname::text, v.relname::text, o.rolname::text,
       tn.nspname || '.' || t.relname
  FROM pg_rewrite AS w
  JOIN pg_class AS v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
  JOIN pg_namespace AS n ON n.oid = v.relnamespace
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                     AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class AS t ON t.oid = d.refobjid AND t.relrowsecurity
  JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
  JOIN pg_roles AS o ON o.oid = v.relowner
 WHERE {ours}
   AND (o.rolsuper OR o.rolbypassrls
        OR (pg_has_role(v.relowner, t.relowner, 'USAGE') AND NOT t.relforcerowsecurity))
   AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions) AS option
                    WHERE option.option_name = 'security_invoker'
                      AND option.option_value::boolean)
 ORDER BY 1, 2, 4
"""

_DEFAULT_ON: Final = {
    "r": On.TABLE,
    "S": On.SEQUENCE,
    "f": On.FUNCTION,
    "n": On.SCHEMA,
    "T": On.TYPE,
    "L": On.LARGE_OBJECT,
}
OWNED_SHOWN_MAX: Final = 20
OPTIONS_SINCE: Final = 16  # manual, GRANT: memberships have options of their own
PARAMETERS_SINCE: Final = 15


def read_granted(connection: Connection, desired: Desired) -> Granted:
    """Read what a database gives to the roles of ``desired`` and to everybody.

    Begins a transaction of its own and ends it. Raises ``psycopg.Error``.
    """
    connection.execute(BEGIN.encode())
    try:
        return _Reader(connection, desired).read()
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


class _Reader:
    """Reads one database within a transaction."""

    def __init__(self, connection: Connection, desired: Desired) -> None:
        self._connection = connection
        self._desired = desired
        self._names = [role.name for role in desired.roles]
        self._owners: dict[Place, str] = {}
        self._signatures: dict[tuple[str, str], str] = {}

    def read(self) -> Granted:
        """Read everything."""
        [session] = self._rows(SESSION)
        version, database, admin, superuser, createrole, recovering, owner, started, locks = session
        secured: set[tuple[str, str]] = set()
        definers: set[Place] = set()
        schemas = dict(self._rows(SCHEMAS))
        tables, sequences, makers = self._relations(secured)
        functions = self._functions(definers)
        settings = tuple(RoleSetting(*row) for row in self._rows(SETTINGS))
        self._owners[On.DATABASE, "", database] = owner
        self._owners.update(((On.SCHEMA, "", name), each) for name, each in schemas.items())
        return Granted(
            admin=admin,
            superuser=superuser,
            createrole=createrole,
            in_recovery=recovering,
            started=started,
            locks=locks,
            database_owner=owner,
            objects=Objects(
                database=database,
                version=version,
                tables=tables,
                sequences=sequences,
                functions=functions,
                schemas=frozenset(schemas),
                columns=self._columns(),
                owned=self._owned_sequences(),
                makers=_makers(schemas, makers, owner),
            ),
            owners=self._owners,
            signatures=self._signatures,
            roles=self._roles(version, superuser, createrole),
            memberships=self._memberships(version),
            settings=settings,
            held=self._held(version),
            defaults=self._defaults(),
            owned=tuple(Owned(*row) for row in self._rows(OWNED, most=OWNED_SHOWN_MAX)),
            definers=frozenset(definers),
            secured=frozenset(secured),
            policies=tuple(
                Policy(schema, table, command, tuple(roles))
                for schema, table, command, roles in self._rows(POLICIES)
            ),
            passing=tuple(PassingView(*row) for row in self._rows(PASSING)),
            mappings=tuple((role, server) for role, server in self._rows(MAPPINGS)),
            elsewhere=tuple((role, other) for role, other in self._rows(ELSEWHERE)),
            contexts=self._contexts(version, settings),
        )

    def _rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        given = {"roles": self._names, **values} if "%(" in query else None
        return self._connection.execute(query.replace("{ours}", _OURS).encode(), given).fetchall()

    def _contexts(self, version: int, held: Sequence[RoleSetting]) -> dict[str, str]:
        """Who may set what is set, or should be; ``user`` for what the one who asks may set."""
        names = {name for role in self._desired.roles for name, _ in role.settings}
        names.update(each.name.lower() for each in held)
        may_set = "context = 'superuser' AND has_parameter_privilege(name, 'SET')"
        query = CONTEXTS.replace("{may_set}", may_set if version >= PARAMETERS_SINCE else "false")
        return {name.lower(): context for name, context in self._rows(query, names=sorted(names))}

    def _relations(
        self, secured: set[tuple[str, str]]
    ) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]], dict[str, set[str]]]:
        """Tables and sequences by schema, and who owns tables in each."""
        tables: dict[str, set[str]] = defaultdict(set)
        sequences: dict[str, set[str]] = defaultdict(set)
        makers: dict[str, set[str]] = defaultdict(set)
        for schema, name, kind, owner, row_security in self._rows(RELATIONS):
            on = On.SEQUENCE if kind == "S" else On.TABLE
            self._owners[on, schema, name] = owner
            (sequences if kind == "S" else tables)[schema].add(name)
            if kind != "S":
                makers[schema].add(owner)
            if row_security:
                secured.add((schema, name))
        return _frozen(tables), _frozen(sequences), makers

    def _functions(self, definers: set[Place]) -> dict[str, frozenset[str]]:
        functions: dict[str, set[str]] = defaultdict(set)
        for schema, name, owner, definer, signature in self._rows(FUNCTIONS):
            functions[schema].add(name)
            self._signatures[schema, name] = signature
            self._owners[On.FUNCTION, schema, name] = owner
            if definer:
                definers.add((On.FUNCTION, schema, name))
        return _frozen(functions)

    def _columns(self) -> dict[tuple[str, str], frozenset[str]]:
        """The columns of the tables that grants narrow to some."""
        asked = sorted(
            {
                (grant.schema, grant.name)
                for role in self._desired.roles
                for grant in role.grants
                if grant.kind is ObjectClass.TABLE and any(p.columns for p in grant.privileges)
            }
        )
        columns: dict[tuple[str, str], set[str]] = defaultdict(set)
        places = {"schemas": [each[0] for each in asked], "tables": [each[1] for each in asked]}
        for schema, table, column in self._rows(COLUMNS, **places):
            columns[schema, table].add(column)
        return {place: frozenset(names) for place, names in columns.items()}

    def _owned_sequences(self) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
        owned: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for schema, table, sequence_schema, sequence in self._rows(OWNED_SEQUENCES):
            owned[schema, table].append((sequence_schema, sequence))
        return {table: tuple(sequences) for table, sequences in owned.items()}

    def _roles(self, version: int, superuser: bool, createrole: bool) -> dict[str, RoleState]:
        roles: dict[str, RoleState] = {}
        for name, *rest in self._rows(ROLES):
            # Before 16 whoever may create roles may alter all but superusers (manual, ALTER ROLE).
            admin = rest[10] if version >= OPTIONS_SINCE else True
            roles[name] = RoleState(
                name=name,
                superuser=rest[0],
                createrole=rest[1],
                createdb=rest[2],
                replication=rest[3],
                bypassrls=rest[4],
                inherit=rest[5],
                login=rest[6],
                connection_limit=rest[7],
                expired=rest[8],
                acts_as=superuser or rest[9],
                managed=superuser or (createrole and admin and not rest[0]),
            )
        return roles

    def _memberships(self, version: int) -> tuple[Membership, ...]:
        new = version >= OPTIONS_SINCE
        options = "a.inherit_option, a.set_option" if new else "true, true"
        return tuple(
            Membership(*row) for row in self._rows(MEMBERSHIPS.replace("{options}", options))
        )

    def _held(self, version: int) -> tuple[Held, ...]:
        query = HELD.replace("{lists}", _LISTS)
        query = query.replace("{parameters}", _PARAMETERS if version >= PARAMETERS_SINCE else "")
        return tuple(
            sorted(
                Held(
                    grantee,
                    Right(On(what), schema, name, privilege, column),
                    grantor,
                    grantable,
                    owner,
                )
                for (
                    what,
                    schema,
                    name,
                    column,
                    privilege,
                    grantee,
                    grantor,
                    grantable,
                    owner,
                ) in self._rows(query)
            )
        )

    def _defaults(self) -> tuple[HeldDefault, ...]:
        return tuple(
            sorted(
                HeldDefault(
                    grantee,
                    DefaultRight(owner, schema, _DEFAULT_ON[kind], privilege),
                    grantable,
                )
                for owner, schema, kind, privilege, grantable, grantee in self._rows(DEFAULTS)
            )
        )


def _makers(
    schemas: dict[str, str], owners: dict[str, set[str]], database_owner: str
) -> dict[str, tuple[str, ...]]:
    """Who makes tables in each schema: who owns some, else the schema's owner."""
    makers: dict[str, tuple[str, ...]] = {}
    for schema, owner in schemas.items():
        # pg_database_owner owns the schema public since 15; nobody can sign in as it.
        usual = database_owner if owner == "pg_database_owner" else owner
        makers[schema] = tuple(sorted(owners.get(schema, ()))) or (usual,)
    return makers


def _frozen(names: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {schema: frozenset(each) for schema, each in names.items()}


__all__: Sequence[str] = ("Connection", "read_granted")
