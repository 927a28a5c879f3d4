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

REFUSED: Final = "42501"  # insufficient_privilege
SHORT: Final = "300ms"  # for cases that claim to run for ever
PATIENT: Final = "60s"  # for all others: no slow machine may cut them short
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
UNION ALL SELECT 'type', oid::text, typname FROM pg_type
 WHERE oid >= 16384 AND typtype IN ('d', 'e')
UNION ALL SELECT 'schema', oid::text, nspname FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'trigger', oid::text, tgname FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'policy', oid::text, polname FROM pg_policy
UNION ALL SELECT 'rule', oid::text, rulename FROM pg_rewrite WHERE rulename <> '_RETURN'
UNION ALL SELECT 'operator', oid::text, oprname FROM pg_operator WHERE oid >= 16384
UNION ALL SELECT 'cast', oid::text, concat(castsource, ' ', casttarget) FROM pg_cast
UNION ALL SELECT 'statistics', oid::text, stxname FROM pg_statistic_ext
UNION ALL SELECT 'extension', oid::text, extname FROM pg_extension
UNION ALL SELECT 'language', oid::text, lanname FROM pg_language
UNION ALL SELECT 'publication', oid::text, pubname FROM pg_publication
UNION ALL SELECT 'event trigger', oid::text, evtname FROM pg_event_trigger
UNION ALL SELECT 'server', oid::text, srvname FROM pg_foreign_server
UNION ALL SELECT 'role', oid::text, rolname FROM pg_roles
UNION ALL SELECT 'database', oid::text, datname FROM pg_database WHERE datname !~ '_(copy|template)'
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
 WHERE datname = current_database()
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
SELECT n.nspname || '.' || c.relname, c.oid || ' ' || c.relfilenode
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384
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


Row = tuple[str | None, ...]


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
    locks: tuple[Row, ...] = ()
    acts_as: Row = ()  # another role, if so
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
class Details:
    """What there is, by kind and oid: only worth a look when the counters have moved."""

    sizes: dict[str, int]
    objects: dict[Row, str | None]
    rights: dict[Row, str | None]
    files: dict[str | None, str | None]
    large: dict[str | None, str | None]


@dataclass(slots=True)
class Picture:
    """What is compared; the server counts every row that is written, in catalogs as well."""

    counters: dict[str, tuple[int, int, int]]
    sequences: dict[str | None, str | None]


NOTHING: Final = "SELECT 'no table', 0"
TABLES: Final = """
SELECT string_agg(format('SELECT %L, count(*) FROM %I.%I.%I', n.nspname || '.' || c.relname,
                         current_database(), n.nspname, c.relname), ' UNION ALL ')
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


def take(session: Session, committed: bool = False) -> Picture:
    """Take a picture through a superuser's session, inside its transaction if it has one."""
    counters = COMMITTED_COUNTERS if committed else COUNTERS
    return _picture(*session.results(f"{counters};{SEQUENCES}"))


def _picture(counters: list[Row], sequences: list[Row]) -> Picture:
    return Picture(
        counters={str(name): (int(i or 0), int(u or 0), int(d or 0)) for name, i, u, d in counters},
        sequences=dict(sequences),  # type: ignore[arg-type]
    )


def details(session: Session) -> Details:
    """Look at everything."""
    tables, objects, rights, files, large = session.results(
        f"{TABLES};{OBJECTS};{RIGHTS};{FILES};{LARGE_OBJECTS}"
    )
    return Details(
        sizes={str(name): int(rows or 0) for name, rows in session.rows(tables[0][0] or NOTHING)},
        objects={row[:2]: row[2] for row in objects},
        rights={row[:2]: row[2] for row in rights},
        files=dict(files),  # type: ignore[arg-type]
        large=dict(large),  # type: ignore[arg-type]
    )


def compare(ran: Ran, before: Picture, after: Picture) -> Observed:
    """What the counters tell."""
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
        elif bare in ("pg_largeobject", "pg_largeobject_metadata"):
            observed.objects = True
        elif bare in NO_DEFINITION:
            observed.statistics = True
        elif bare not in SHARED:
            definitions.add(bare)
    observed.definitions = frozenset(definitions)
    observed.sequences = any(
        after.sequences.get(name) != value
        for name, value in before.sequences.items()
        if name in after.sequences
    )
    return observed


def look_closer(observed: Observed, before: Details, after: Details) -> None:
    """Add what a look at everything tells: what is gone, whose rights have changed."""
    observed.emptied = frozenset(
        name
        for name, (_, updated, deleted) in observed.changed.items()
        if before.sizes.get(name, 0) > 1 and updated + deleted >= before.sizes[name]
    )
    gone = set(before.objects.items()) - set(after.objects.items())
    # An index or key that is built anew has another oid and its old name.
    names = {(kind, name) for (kind, _), name in after.objects.items()}
    lost = {f"{kind} {name}" for (kind, _), name in gone if (kind, name) not in names}
    lost |= {f"large object {oid}" for oid in before.large.keys() - after.large.keys()}
    lost |= {
        f"contents of {name}"
        for name, rows in before.sizes.items()
        if rows and after.sizes.get(name) == 0 and _new_file(before.files[name], after.files[name])
    }
    renamed = before.objects.keys() & after.objects.keys()
    lost -= {f"{kind} {before.objects[kind, oid]}" for kind, oid in renamed}
    observed.lost = frozenset(lost)
    observed.rights = _differ(before.rights, after.rights, set(after.objects) - set(before.objects))
    if before.objects.keys() != after.objects.keys():
        observed.definitions |= {"objects"}


def _new_file(before: str | None, after: str | None) -> bool:
    """Whether it is the same table with another file below: TRUNCATE gives it one."""
    (oid, _, file), (oid_now, _, file_now) = (
        (before or "").partition(" "),
        (after or "").partition(" "),
    )
    return oid == oid_now and file != file_now


def _differ(
    before: dict[Row, str | None],
    after: dict[Row, str | None],
    new: set[Row],
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


State = tuple[list[Row], list[Row]]


def of_session(observed: Observed, before: State, after: State) -> None:
    """Add what the session that ran the case tells: locks, role, settings."""
    observed.locks = tuple(set(after[0]) - set(before[0]))
    was, now = before[1][0], after[1][0]
    if now[:2] != was[:2]:
        observed.acts_as = now[:2]
    names = [(part or "").strip(' "') for part in (now[4] or "").split(",")]
    escaped = [
        (now[2] == "off" and was[2] == "on", "transaction_read_only"),
        (now[3] == "off" and was[3] == "on", "default_transaction_read_only"),
        ("pg_catalog" in names[1:] or "pg_temp" in names, "search_path"),
        (now[5] != "origin", "session_replication_role"),
        (now[6] != "on", "standard_conforming_strings"),
        (now[7] != "UTF8", "client_encoding"),
    ]
    observed.escaped = tuple(name for is_so, name in escaped if is_so)


def timeout(case: Case) -> str:
    """How long a case may run."""
    return SHORT if Effect.EXHAUSTION in case.effects else PATIENT


class Watcher:
    """A superuser's session that runs cases, watches, and takes all of it back.

    A round trip costs most where system calls are slow: each message asks for all it can.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._usual = details(session)

    def rolled_back(self, case: Case) -> Observed:
        """Run a case inside a transaction, as its role, and roll it back."""
        session = self.session
        become = f"SET LOCAL SESSION AUTHORIZATION corpus_{case.role}"
        become = "" if case.role == "superuser" else become
        session.do("BEGIN")
        try:
            usual = self._usual
            if case.before:
                session.do(become)
                for text in case.before:
                    session.do(text)
                session.do("RESET SESSION AUTHORIZATION")
                usual = details(session)
            *first, locks, settings = session.results(
                f"{COUNTERS};{SEQUENCES};{become};SET LOCAL statement_timeout = '{timeout(case)}';"
                f"{LOCKS};{SETTINGS}"
            )
            ran = session.run(case.sql, case.parameters, case.copy_data)
            if ran.sqlstate:
                return Observed(ran)
            locks_now, settings_now, *last = session.results(
                f"{LOCKS};{SETTINGS};RESET SESSION AUTHORIZATION;"
                f"SET LOCAL search_path = public;SET LOCAL statement_timeout = 0;"
                f"{COUNTERS};{SEQUENCES}"
            )
            observed = compare(ran, _picture(*first), _picture(*last))
            if observed.changed or observed.definitions or observed.objects:
                look_closer(observed, usual, details(session))
            of_session(observed, (locks, settings), (locks_now, settings_now))
            return observed
        finally:
            session.do("ROLLBACK; DEALLOCATE ALL; SELECT pg_advisory_unlock_all(); UNLISTEN *")


def committed(database: CorpusDatabase, case: Case) -> Observed:
    """Run a case for good: in a copy of the database made for it, if it claims to leave a trace."""
    traceless = case.effects <= {Effect.READ, Effect.SESSION_ESCAPE} or bool(case.refused)
    if traceless and not case.setup:
        return _committed(database, case)
    with database.copy() as own:
        return _committed(own, case)


def _committed(database: CorpusDatabase, case: Case) -> Observed:
    with database.session("superuser") as watcher:
        watcher.do(f"{case.setup};LISTEN news")
        options = f"-c statement_timeout={timeout(case)}"
        if case.read_only:
            options += " -c default_transaction_read_only=on"
        with database.session(case.role, options) as session:
            usual, before = details(watcher), take(watcher, committed=True)
            told = _run(session, case)
            session.run("COMMIT")
            session.run("SELECT pg_stat_force_next_flush()")
            session.run("SELECT 1")
        observed = compare(told.ran, before, take(watcher, committed=True))
        look_closer(observed, usual, details(watcher))
        observed.locks, observed.acts_as, observed.escaped = told.locks, told.acts_as, told.escaped
        watcher.connection.pgconn.consume_input()
        observed.notified = watcher.connection.pgconn.notifies() is not None
        if observed.changed and case.read_only:
            observed.escaped = (*observed.escaped, "wrote in a session that began read-only")
        return observed


def _run(session: Session, case: Case) -> Observed:
    """Run a case and ask its session what only that can tell."""
    state = _state(session)
    for text in case.before:
        session.do(text)
    if session.connection.info.transaction_status is TransactionStatus.IDLE:
        state = _state(session)  # in a transaction it would be a query
    told = Observed(session.run(case.sql, case.parameters, case.copy_data))
    if session.connection.info.transaction_status is not TransactionStatus.INERROR:
        of_session(told, state, _state(session))
    return told


def _state(session: Session) -> State:
    locks, settings = session.results(f"{LOCKS};{SETTINGS}")
    return locks, settings
