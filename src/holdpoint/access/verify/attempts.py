"""Try, as a tier's own role, what must fail and what must work; nothing can change.

Statements on tables go through ``EXPLAIN`` without ``ANALYZE``: the executor checks privileges when
it starts a plan and EXPLAIN stops there, so that no row is looked for and no trigger fires, not
even one for each statement, which a ``DELETE … WHERE false`` would set off. ``WHERE false`` keeps
the planner from partitions, and relations whose planning would run a user's function are left out.
Each stands in an explicit READ WRITE transaction that is rolled back, under short timeouts, with
the lock that the statement itself would take. What is made (a table without columns) is rolled back
too, and not tried where event triggers would see it. Numbers of sequences are never taken:
``nextval`` is not undone by a rollback, so the privilege functions alone answer for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg import errors

from holdpoint.access.quoting import identifier, qualified
from holdpoint.access.verify.drift import label
from holdpoint.access.verify.effective import Connection
from holdpoint.access.verify.effective_queries import COLUMN_BITS, SCHEMA_BITS, TABLE_BITS, names_of
from holdpoint.access.verify.facts import RoleFacts
from holdpoint.access.verify.promises import Promise
from holdpoint.model import limits

# Each needs the one privilege and no other: a filter or a value taken from a row would need SELECT.
FORMS: Final = {
    "select": "SELECT {column} FROM {table} WHERE false",
    "insert": "INSERT INTO {table} ({column}) VALUES (DEFAULT)",
    "update": "UPDATE {table} SET {column} = DEFAULT WHERE false",
    "delete": "DELETE FROM {table} WHERE false",
}
PROBE: Final = "holdpoint_verify_probe"
SET_ROLE: Final = "set role"

# Tables and views that the role could name. Rules other than a view's own would rewrite what is
# tried; foreign tables may ask their server already when they are planned. The last column tells
# whether planning would run a user's function: the planner computes what is immutable, in defaults,
# views, policies, checks, indexes. An owner could so lend himself the role's rights.
TABLES: Final = """
WITH RECURSIVE code AS MATERIALIZED (
    SELECT d.classid, d.objid FROM pg_depend AS d
     WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AND d.objid >= 16384
), runs AS (
    SELECT c.objid AS oid FROM code AS c WHERE c.classid = 'pg_class'::regclass
    UNION
    SELECT i.indrelid FROM code AS c JOIN pg_index AS i ON i.indexrelid = c.objid
     WHERE c.classid = 'pg_class'::regclass
    UNION
    SELECT f.adrelid FROM code AS c JOIN pg_attrdef AS f ON f.oid = c.objid
     WHERE c.classid = 'pg_attrdef'::regclass
    UNION
    SELECT p.polrelid FROM code AS c JOIN pg_policy AS p ON p.oid = c.objid
     WHERE c.classid = 'pg_policy'::regclass
    UNION
    SELECT k.conrelid FROM code AS c JOIN pg_constraint AS k ON k.oid = c.objid
     WHERE c.classid = 'pg_constraint'::regclass
    UNION
    SELECT s.stxrelid FROM code AS c JOIN pg_statistic_ext AS s ON s.oid = c.objid
     WHERE c.classid = 'pg_statistic_ext'::regclass
    UNION
    SELECT a.attrelid FROM code AS c JOIN pg_attribute AS a ON a.atttypid = c.objid
     WHERE c.classid = 'pg_type'::regclass
    UNION
    SELECT w.ev_class FROM code AS c JOIN pg_rewrite AS w ON w.oid = c.objid
     WHERE c.classid = 'pg_rewrite'::regclass
), views AS (
    SELECT oid FROM runs
    UNION
    SELECT w.ev_class FROM views AS v JOIN pg_depend AS d
        ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
       AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_rewrite AS w ON w.oid = d.objid
)
SELECT n.nspname, c.relname, array_agg(a.attname ORDER BY a.attnum),
       c.oid IN (SELECT oid FROM views)
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND has_schema_privilege(n.oid, 'USAGE')
   AND NOT EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type <> '1')
 GROUP BY c.oid, 1, 2 ORDER BY 1, 2
"""
SCHEMAS: Final = """
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
 ORDER BY 1
"""
# Roles worth becoming: superusers, those that may make roles, and owners of tables here.
ROLES: Final = """
SELECT r.rolname FROM pg_roles AS r
 WHERE r.rolname <> current_user
   AND (r.rolsuper OR r.rolcreaterole OR r.oid IN (SELECT relowner FROM pg_class))
 ORDER BY r.rolname LIMIT %(most)s
"""


class Answer(StrEnum):
    """What the database did."""

    TOOK = "took it"
    REFUSED = "refused it"
    UNTRIED = "did not answer"
    NOBODY = "takes it from nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One statement to try. ``place`` and ``verb`` name the right that it would need."""

    place: str
    verb: str
    statement: str
    must_work: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one; ``words`` are the server's own, empty when it took it."""

    attempt: Attempt
    answer: Answer
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """All that was tried as one role: ``objects`` of ``of`` tables and schemas, and why not more.

    ``surprises`` are those where the database did otherwise than the configuration says.
    """

    statements: int = 0
    objects: int = 0
    of: int = 0
    unanswered: int = 0
    surprises: tuple[Outcome, ...] = ()
    notes: tuple[str, ...] = ()


def try_all(connection: Connection, role: RoleFacts, promise: Promise) -> Tried:
    """Try a bounded sample as the role that ``connection`` belongs to. Raises ``psycopg.Error``."""
    if role.superuser:
        return Tried(notes=("nothing was tried: a superuser is refused nothing",))
    notes: list[str] = []
    rows = connection.execute(TABLES.encode()).fetchall()
    tables = [row[:3] for row in rows if not row[3]]
    schemas = [row[0] for row in connection.execute(SCHEMAS.encode()).fetchall()]
    if role.in_recovery:
        notes.append("a replica in recovery takes no write from anybody; nothing was made on it")
    elif role.event_triggers:
        notes.append("CREATE was not tried: event triggers would see it")
    chosen = _sample(tables, limits.VERIFY_TRIES_MAX // len(FORMS))
    attempts = [each for row in chosen for each in _on_table(promise, *row)]
    if not notes:
        attempts += _makings(promise, _sample(schemas, limits.VERIFY_TRIES_MAX // 8))
    others = connection.execute(ROLES.encode(), {"most": limits.VERIFY_TRIES_MAX // 8}).fetchall()
    attempts += _becomings(role, promise, [row[0] for row in others])
    begin = "BEGIN" if role.in_recovery else "BEGIN READ WRITE"
    outcomes = [_tried(connection, begin, each) for each in attempts]
    connection.execute("ROLLBACK")
    if len(tables) < len(rows):
        notes.append(
            f"{len(rows) - len(tables):,} tables and views were not tried: to plan a statement on "
            "them may run a function that a user made"
        )
    return Tried(
        statements=len(attempts),
        objects=len(chosen),
        of=len(rows),
        unanswered=sum(each.answer is Answer.UNTRIED for each in outcomes),
        surprises=tuple(each for each in outcomes if _surprises(each)),
        notes=tuple(notes),
    )


def _surprises(outcome: Outcome) -> bool:
    wanted = Answer.TOOK if outcome.attempt.must_work else Answer.REFUSED
    return outcome.answer not in (wanted, Answer.UNTRIED, Answer.NOBODY)


def _sample(things: Sequence[Any], most: int) -> list[Any]:
    """Take evenly from a sorted sequence, always the same ones."""
    if len(things) <= most:
        return list(things)
    return [things[number * len(things) // most] for number in range(most)]


def _on_table(
    promise: Promise, schema: str, table: str, columns: Sequence[str]
) -> Iterator[Attempt]:
    """The four verbs on one table: each on a column that is promised, and on one that is not."""
    bounds = promise.bounds
    whole = names_of(bounds.tables.get((schema, table), 0) | bounds.usual_tables, TABLE_BITS)
    must = names_of(bounds.tables.get((schema, table), 0), TABLE_BITS)
    place = label(schema, table)
    for verb in FORMS:
        if verb in whole:
            if verb in must:
                yield _attempt(place, verb, schema, table, columns[0], must_work=True)
            continue
        given = [
            column
            for column in columns
            if verb in names_of(bounds.columns.get((schema, table, column), 0), COLUMN_BITS)
        ]
        rest = [column for column in columns if column not in given]
        if given:
            yield _attempt(place, verb, schema, table, given[0], must_work=True)
        if rest:
            yield _attempt(place, verb, schema, table, rest[0], must_work=False)


def _attempt(
    place: str, verb: str, schema: str, table: str, column: str, *, must_work: bool
) -> Attempt:
    where, name = qualified(schema, table), identifier(column)
    statement = f"EXPLAIN {FORMS[verb].format(table=where, column=name)}"
    return Attempt(place=place, verb=verb, statement=statement, must_work=must_work)


def _makings(promise: Promise, schemas: Iterable[str]) -> Iterator[Attempt]:
    for schema in schemas:
        given = promise.bounds.schemas.get(schema, 0) | promise.bounds.usual_schemas
        if "create" not in names_of(given, SCHEMA_BITS):
            statement = f"CREATE TABLE {qualified(schema, PROBE)} ()"
            yield Attempt(place=label("", schema), verb="create", statement=statement)
    if "temporary" not in promise.database:
        yield Attempt(
            place="", verb="temporary", statement=f"CREATE TEMPORARY TABLE {identifier(PROBE)} ()"
        )


def _becomings(role: RoleFacts, promise: Promise, others: Iterable[str]) -> Iterator[Attempt]:
    names = {*others, *(each.name for each in role.reach)} - {
        promise.holder,
        promise.gives,
        role.name,
    }
    for name in sorted(names):
        yield Attempt(place=name, verb=SET_ROLE, statement=f"SET LOCAL ROLE {identifier(name)}")


def _tried(connection: Connection, begin: str, attempt: Attempt) -> Outcome:
    """Try one statement; one round trip, whatever the last one left behind."""
    try:
        connection.execute(f"ROLLBACK; {begin}; {attempt.statement}".encode(), prepare=False)
    except errors.InsufficientPrivilege as error:
        return Outcome(attempt=attempt, answer=Answer.REFUSED, words=_line(error))
    except errors.ObjectNotInPrerequisiteState as error:
        # A view that no write fits (manual, CREATE VIEW, "Updatable Views"): whatever the rights.
        return Outcome(attempt=attempt, answer=Answer.NOBODY, words=_line(error))
    except psycopg.Error as error:
        if connection.closed:
            raise
        return Outcome(attempt=attempt, answer=Answer.UNTRIED, words=_line(error))
    return Outcome(attempt=attempt, answer=Answer.TOOK)


def _line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).split("\n")[0]
