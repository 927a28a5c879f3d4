"""What a statement really did, observed on the server and not on its text.

Everything the server counts or stores is compared before and after: rows of tables by the
transaction's own counters, definitions by the counters of the system catalogs, what objects and
rights there are by name, sequences, large objects, locks, settings, notifications.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from corpus_cases import Case
from corpus_server import CorpusDatabase, Ran, Session
from psycopg.pq import TransactionStatus

from holdpoint.model.effects import Effect

TIMEOUT: Final = "SET statement_timeout = '300ms'"  # for cases that would run for ever
REFUSED: Final = "42501"  # insufficient_privilege
READ_ONLY: Final = "25006"  # read_only_sql_transaction
TIMED_OUT: Final = "57014"  # query_canceled

COUNTERS: Final = """
SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del
  FROM pg_stat_xact_all_tables
 WHERE schemaname <> 'pg_toast' AND (n_tup_ins > 0 OR n_tup_upd > 0 OR n_tup_del > 0)
"""
COMMITTED_COUNTERS: Final = COUNTERS.replace("pg_stat_xact_all_tables", "pg_stat_all_tables")
SEQUENCES: Final = """
SELECT oid::regclass::text, coalesce(pg_sequence_last_value(oid)::text, '')
  FROM pg_class WHERE relkind = 'S'
"""
OBJECTS: Final = """
SELECT 'class', oid::text, concat(relname, ' ', relkind) FROM pg_class WHERE oid >= 16384
   AND relnamespace <> 'pg_toast'::regnamespace AND relkind <> 't'
UNION ALL SELECT 'column', attrelid || '.' || attnum, attname FROM pg_attribute
 WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped
   AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'c'))
UNION ALL SELECT 'function', oid::text, proname FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'type', oid::text, typname FROM pg_type WHERE oid >= 16384 AND typtype IN ('d', 'e')
UNION ALL SELECT 'schema', oid::text, nspname FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'constraint', oid::text, conname FROM pg_constraint
UNION ALL SELECT 'trigger', oid::text, tgname FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'policy', oid::text, polname FROM pg_policy
UNION ALL SELECT 'rule', oid::text, rulename FROM pg_rewrite WHERE rulename <> '_RETURN'
UNION ALL SELECT 'operator', oid::text, oprname FROM pg_operator WHERE oid >= 16384
UNION ALL SELECT 'cast', oid::text, '' FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT 'statistics', oid::text, stxname FROM pg_statistic_ext
UNION ALL SELECT 'extension', oid::text, extname FROM pg_extension
UNION ALL SELECT 'language', oid::text, lanname FROM pg_language
UNION ALL SELECT 'publication', oid::text, pubname FROM pg_publication
UNION ALL SELECT 'event trigger', oid::text, evtname FROM pg_event_trigger
UNION ALL SELECT 'server', oid::text, srvname FROM pg_foreign_server
UNION ALL SELECT 'role', oid::text, rolname FROM pg_roles
UNION ALL SELECT 'database', oid::text, datname FROM pg_database
UNION ALL SELECT 'slot', slot_name, slot_type FROM pg_replication_slots
UNION ALL SELECT 'prepared transaction', gid, '' FROM pg_prepared_xacts
"""
RIGHTS: Final = """
SELECT 'class', oid::text, concat_ws(' ', relowner, relacl, relrowsecurity, relforcerowsecurity)
  FROM pg_class WHERE oid >= 16384 AND relkind <> 't'
UNION ALL SELECT 'column', attrelid || '.' || attnum, attacl::text FROM pg_attribute
 WHERE attacl IS NOT NULL
UNION ALL SELECT 'function', oid::text, concat_ws(' ', proowner, proacl, prosecdef)
  FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'schema', oid::text, concat_ws(' ', nspowner, nspacl) FROM pg_namespace
UNION ALL SELECT 'type', oid::text, concat_ws(' ', typowner, typacl) FROM pg_type
 WHERE oid >= 16384
UNION ALL SELECT 'database', oid::text, concat_ws(' ', datdba, datacl) FROM pg_database
UNION ALL SELECT 'language', oid::text, lanacl::text FROM pg_language
UNION ALL SELECT 'policy', oid::text, md5(p::text) FROM pg_policy AS p
UNION ALL SELECT 'default', oid::text, defaclacl::text FROM pg_default_acl
UNION ALL SELECT 'role', oid::text, md5(a::text) FROM pg_authid AS a
UNION ALL SELECT 'member', m.roleid || '.' || m.member || '.' || m.grantor, md5(m::text)
  FROM pg_auth_members AS m
UNION ALL SELECT 'setting', setdatabase || '.' || setrole, setconfig::text
  FROM pg_db_role_setting
UNION ALL SELECT 'event trigger', oid::text, md5(e::text) FROM pg_event_trigger AS e
UNION ALL SELECT 'label', objoid::text, label FROM pg_seclabel
"""
FILES: Final = """
SELECT oid::text, relfilenode::text FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384
"""
LARGE_OBJECTS: Final = "SELECT oid::text, '' FROM pg_largeobject_metadata"
LOCKS: Final = """
SELECT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted
   AND (locktype = 'advisory' OR locktype = 'relation' AND mode IN
       ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
"""
SETTINGS: Final = """
SELECT current_user, session_user, current_setting('transaction_read_only'),
       current_setting('default_transaction_read_only'),
       current_setting('search_path'), current_setting('session_replication_role'),
       current_setting('standard_conforming_strings'), current_setting('client_encoding')
"""
# Catalogs that hold statistics or data, no definitions.
NO_DEFINITION: Final = ("pg_statistic", "pg_statistic_ext_data", "pg_largeobject")
# Shared by all databases of the server: others' changes are counted late.
SHARED: Final = ("pg_database", "pg_shdepend", "pg_shdescription", "pg_tablespace")


@dataclass(slots=True)
class Observed:
    """The difference between before and after."""

    ran: Ran
    changed: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # inserts, updates, ...
    emptied: frozenset[str] = frozenset()  # tables of which every one of several rows changed
    definitions: frozenset[str] = frozenset()  # catalogs that have changed
    lost: frozenset[str] = frozenset()  # objects that are gone, contents that are gone
    rights: bool = False
    sequences: bool = False
    objects: bool = False  # large objects appeared or were written
    locks: tuple[tuple[str | None, ...], ...] = ()
    acts_as: tuple[str | None, ...] = ()  # another role, if so
    escaped: tuple[str, ...] = ()
    notified: bool = False
    statistics: bool = False

    @property
    def rows(self) -> int:
        """Rows of tables that were changed, all together."""
        return sum(sum(counts) for counts in self.changed.values())

    def effects(self) -> frozenset[Effect]:
        """What the difference proves."""
        found: set[Effect] = set()
        if self.changed or self.sequences or self.objects or self.notified or self.statistics:
            found.add(Effect.WRITE)
        if self.emptied:
            found.add(Effect.BULK_WRITE)
        if self.definitions:
            found.add(Effect.DDL)
        if self.lost:
            found.add(Effect.DESTRUCTIVE)
        if self.rights or self.acts_as:
            found.add(Effect.PRIVILEGE)
        if self.escaped:
            found.add(Effect.SESSION_ESCAPE)
        if self.locks or self.ran.sqlstate == TIMED_OUT:
            found.add(Effect.EXHAUSTION)
        return frozenset(found)


@dataclass(slots=True)
class Picture:
    """What is compared."""

    counters: dict[str, tuple[int, int, int]]
    sizes: dict[str, int]
    sequences: dict[str | None, str | None]
    objects: dict[tuple[str | None, ...], str | None]
    rights: dict[tuple[str | None, ...], str | None]
    files: dict[str | None, str | None]
    large: dict[str | None, str | None]


TABLES: Final = """
SELECT string_agg(format('SELECT %L, count(*) FROM %I.%I.%I', n.nspname || '.' || c.relname,
                         current_database(), n.nspname, c.relname), ' UNION ALL ')
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


def take(session: Session, committed: bool = False) -> Picture:
    """Take a picture through a superuser's session, inside its transaction if it has one."""
    counters = session.rows(COMMITTED_COUNTERS if committed else COUNTERS)
    ((query,),) = session.rows(TABLES)
    pairs = {
        "sequences": dict(session.rows(SEQUENCES)),
        "files": dict(session.rows(FILES)),
        "large": dict(session.rows(LARGE_OBJECTS)),
    }
    return Picture(
        counters={
            str(name): (int(i or 0), int(u or 0), int(d or 0)) for name, i, u, d in counters
        },
        sizes={str(name): int(rows or 0) for name, rows in session.rows(query or "SELECT '', 0")},
        objects={row[:2]: row[2] for row in session.rows(OBJECTS)},
        rights={row[:2]: row[2] for row in session.rows(RIGHTS)},
        **pairs,
    )


def compare(ran: Ran, before: Picture, after: Picture) -> Observed:
    """The difference, without what only the session itself can tell."""
    observed = Observed(ran)
    definitions: set[str] = set()
    for name, counts in after.counters.items():
        old = before.counters.get(name, (0, 0, 0))
        change = (counts[0] - old[0], counts[1] - old[1], counts[2] - old[2])
        if not any(change):
            continue
        schema, _, bare = name.partition(".")
        if schema != "pg_catalog":
            observed.changed[name] = change
        elif bare == "pg_largeobject":
            observed.objects = True
        elif bare in NO_DEFINITION:
            observed.statistics = True
        elif bare not in SHARED:
            definitions.add(bare)
    observed.emptied = frozenset(
        name
        for name, (_, updated, deleted) in observed.changed.items()
        if before.sizes.get(name, 0) > 1 and updated + deleted >= before.sizes[name]
    )
    if "pg_largeobject_metadata" in definitions:
        definitions.remove("pg_largeobject_metadata")
        observed.objects = True
    observed.rights = _differ(before.rights, after.rights, set(after.objects) - set(before.objects))
    lost = {f"{kind} {name}" for kind, name in before.objects.keys() - after.objects.keys()}
    lost |= {f"large object {oid}" for oid in before.large.keys() - after.large.keys()}
    lost |= {
        f"contents of {name}"
        for name, rows in before.sizes.items()
        if rows and after.sizes.get(name) == 0 and observed.changed.get(name, (0, 0, 0))[2] < rows
    }
    observed.lost = frozenset(lost)
    if before.objects.keys() != after.objects.keys():
        definitions.add("objects")
    observed.definitions = frozenset(definitions)
    observed.sequences = any(
        after.sequences.get(name) != value
        for name, value in before.sequences.items()
        if name in after.sequences
    )
    return observed


def _differ(
    before: dict[tuple[str | None, ...], str | None],
    after: dict[tuple[str | None, ...], str | None],
    new: set[tuple[str | None, ...]],
) -> bool:
    """Whether rights on what was there have changed; what is new comes with rights of its own."""
    if any(before[key] != after[key] for key in before.keys() & after.keys()):
        return True
    for kind, name in after.keys() - before.keys():
        if kind in ("role", "policy", "event trigger", "member", "setting", "default", "label"):
            return True
        if kind == "function" and (after[kind, name] or "").endswith(" t"):  # SECURITY DEFINER
            return True
        if kind == "column" and (kind, name) not in new:
            return True
    gone = ("role", "policy", "event trigger", "member", "setting", "default", "label")
    return any(kind in gone for kind, _ in before.keys() - after.keys())


def of_session(observed: Observed, session: Session, before: tuple[str | None, ...]) -> None:
    """Add what the session that ran the case tells: locks, role, settings."""
    observed.locks = tuple(session.rows(LOCKS))
    now = session.rows(SETTINGS)[0]
    if now[:2] != before[:2]:
        observed.acts_as = now[:2]
    names = [(part or "").strip(' "') for part in (now[4] or "").split(",")]
    escaped = [
        (now[2] == "off" and before[2] == "on", "transaction_read_only"),
        (now[3] == "off" and before[3] == "on", "default_transaction_read_only"),
        ("pg_catalog" in names[1:] or "pg_temp" in names, "search_path"),
        (now[5] != "origin", "session_replication_role"),
        (now[6] != "on", "standard_conforming_strings"),
        (now[7] != "UTF8", "client_encoding"),
    ]
    observed.escaped = tuple(name for is_so, name in escaped if is_so)


def run_case(session: Session, case: Case) -> Ran:
    """Send what comes before the case, then the case."""
    for text in case.before:
        session.do(text)
    return session.run(case.sql, case.parameters, case.copy_data)


def rolled_back(session: Session, case: Case) -> Observed:
    """Run a case inside a transaction of a superuser's session, and take all of it back."""
    session.do("BEGIN")
    try:
        before = take(session)
        if case.role != "superuser":
            session.do(f"SET LOCAL SESSION AUTHORIZATION corpus_{case.role}")
        session.do(TIMEOUT.replace("SET", "SET LOCAL"))
        for text in case.before:
            session.do(text)
        settings = session.rows(SETTINGS)[0]
        ran = session.run(case.sql, case.parameters, case.copy_data)
        if ran.sqlstate:
            return Observed(ran)
        told = Observed(ran)
        of_session(told, session, settings)
        session.do("RESET SESSION AUTHORIZATION; SET LOCAL search_path = public")
        session.do("SET LOCAL statement_timeout = 0")
        observed = compare(ran, before, take(session))
        observed.locks, observed.acts_as, observed.escaped = told.locks, told.acts_as, told.escaped
        return observed
    finally:
        session.do("ROLLBACK")
        session.do("DISCARD ALL")


def committed(database: CorpusDatabase, case: Case) -> Observed:
    """Run a case for good, in a copy of the database made for it."""
    with database.copy() as own, own.session("superuser") as watcher:
        if case.setup:
            watcher.do(case.setup)
        watcher.do("LISTEN news")
        options = "-c statement_timeout=300ms"
        if Effect.SESSION_ESCAPE in case.effects:
            options += " -c default_transaction_read_only=on"
        with own.session(case.role, options) as session:
            before = take(watcher, committed=True)
            settings = session.rows(SETTINGS)[0]
            for text in case.before:
                session.do(text)
            ran = session.run(case.sql, case.parameters, case.copy_data)
            told = Observed(ran)
            if session.connection.info.transaction_status is not TransactionStatus.INERROR:
                of_session(told, session, settings)
            session.run("COMMIT")
            session.run("SELECT pg_stat_force_next_flush()")
            session.run("SELECT 1")
        after = take(watcher, committed=True)
        observed = compare(ran, before, after)
        watcher.connection.pgconn.consume_input()
        observed.notified = watcher.connection.pgconn.notifies() is not None
        observed.locks, observed.acts_as, observed.escaped = told.locks, told.acts_as, told.escaped
        return observed
