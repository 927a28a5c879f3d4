"""What a role may do in a database, asked of the server itself: not of our notes, nor of plans.

``read_effective`` gives facts about the role and every object that differs from ``Bounds``: what it
must have there, and what it may have besides. Which of it is drift is decided in ``drift``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from holdpoint.access.desired import On
from holdpoint.access.verify import effective_indirect as indirect
from holdpoint.access.verify import effective_queries as queries
from holdpoint.access.verify.facts import (
    Bounds,
    DatabaseRights,
    DefaultEntry,
    Difference,
    Effective,
    Entry,
    Function,
    Grantable,
    Lead,
    Member,
    Other,
    Owned,
    Reached,
    RoleFacts,
    Setting,
    Unprotected,
)
from holdpoint.model import limits

SETTINGS: Final = (
    "-c search_path=pg_catalog,pg_temp -c default_transaction_read_only=on "
    f"-c statement_timeout={int(limits.VERIFY_STATEMENT_S * 1000)} "
    f"-c lock_timeout={int(limits.VERIFY_LOCK_S * 1000)} -c jit=off "
    "-c max_parallel_workers_per_gather=0 -c client_encoding=UTF8 "
    "-c standard_conforming_strings=on"
)
"""What a connection that reads privileges starts with: no name means what a user has defined."""


POWERS: Final = ("superuser", "createrole", "createdb", "replication", "bypassrls")
Connection = psycopg.Connection[Any]


def read_role(connection: Connection, role: str) -> RoleFacts | None:
    """Return the facts about a role, with the roles above and below it; None if there is none."""
    rows = _rows(connection, queries.ROLE, {"role": role})
    if not rows:
        return None
    (oid, name, superuser, inherit, createrole, createdb, login, replication, bypassrls, limit,
     expired, reader, database, in_recovery, version, lo_compat, triggers) = rows[0]  # fmt: skip
    me = {"me": oid}
    # Before 16 whoever is a member may SET ROLE; since then the membership says whether.
    set_role = "SET" if version >= 160000 else "MEMBER"
    reach = _rows(connection, queries.REACH.replace("{set}", set_role), me)
    acts = "m.inherit_option OR m.set_option" if version >= 160000 else "true"
    members = _rows(connection, queries.MEMBERS.replace("{acts}", acts), me)
    settings = _rows(connection, queries.SETTINGS, me)
    return RoleFacts(
        oid=oid,
        name=name,
        powers=_powers(superuser, createrole, createdb, replication, bypassrls),
        inherit=inherit,
        login=login,
        connection_limit=limit,
        expired=expired,
        reader=reader,
        database=database,
        in_recovery=in_recovery,
        version=version,
        lo_compat=lo_compat,
        event_triggers=triggers,
        reach=tuple(_reached(row) for row in reach),
        members=tuple(
            Member(
                name=row[0],
                login=row[1],
                valid_until=row[2],
                expired=bool(row[3]),
                acts=row[4],
                comment=row[5],
                grantors=tuple(each for each in row[6] if each),
            )
            for row in members
        ),
        settings=tuple(Setting(row[0], row[1], *_assigned(row[2])) for row in settings),
    )


def _powers(*has: bool) -> tuple[str, ...]:
    return tuple(name for name, held in zip(POWERS, has, strict=True) if held)


def _reached(row: tuple[Any, ...]) -> Reached:
    return Reached(
        oid=row[0],
        name=row[1],
        via=row[2],
        powers=_powers(*row[3:8]),
        inherits=row[8],
        sets=row[9],
        admin=row[10],
        grantors=tuple(row[11]),
    )


def _assigned(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value


def read_effective(
    connection: Connection, role: RoleFacts, bounds: Bounds, gives: str = ""
) -> Effective:
    """Return what differs from ``bounds``; one query for each class of objects.

    ``gives`` is a role that it only gives to others; that, and the roles it made to give it to, do
    not count as its own.
    """
    reach = [
        each
        for each in role.reach
        if not gives or (each.name != gives and (each.inherits or each.sets))
    ]
    others = [each.oid for each in reach if each.inherits or each.sets or each.admin]
    # Who could act: the role itself, and roles whose rights it has only after SET ROLE.
    could = [each.oid for each in reach if not each.inherits and (each.sets or each.admin)]
    values: dict[str, Any] = {
        "me": role.oid,
        "who": [role.oid, *could],
        "acts": others,
        "reach": [role.oid, *others],
        "listed": limits.VERIFY_LISTED_MAX,
        "leads": limits.VERIFY_LEADS_MAX,
        "looked": limits.VERIFY_LARGE_OBJECTS_MAX,
    }
    functions = {
        "nsp": [schema for schema, _ in bounds.functions],
        "fun": [name for _, name in bounds.functions],
    }
    ask = _Asking(connection, values)
    return Effective(
        role=role,
        differences=_differences(ask, bounds, role.version),
        functions=tuple(
            Function(
                schema=row[0], name=row[1], wanted=row[2], definer=row[3], kept=row[4],
                untrusted=row[5], stable=row[6], owner=row[7], owner_super=row[8],
                pathless=row[9], have=row[10], reachable=bool(row[11]), signature=row[12],
                extension=row[13] or "",
                entries=_entries(row[14]),
            )
            for row in ask(queries.FUNCTIONS, functions)
        ),
        databases=tuple(
            DatabaseRights(
                name=row[0],
                privileges=queries.names_of(row[1] or 0, queries.DATABASE_BITS),
                entries=_entries(row[2]),
                current=row[3],
            )
            for row in ask(queries.DATABASE)
        ),
        owned=_owned(ask(indirect.OWNED)),
        owned_elsewhere=tuple((row[0], row[1]) for row in ask(indirect.OWNED_ELSEWHERE)),
        defaults=tuple(
            DefaultEntry(row[0], row[1], row[2], Entry(row[3], row[4], row[5]))
            for row in ask(indirect.DEFAULTS)
        ),
        grantable=tuple(
            Grantable(On(row[0]), row[1], row[2], row[3], row[4], row[5], tuple(row[6]))
            for row in ask(indirect.GRANTABLE)
        ),
        leads=tuple(Lead(*row) for row in ask(indirect.LEADS)),
        unprotected=tuple(Unprotected(*row) for row in ask(indirect.POLICIES)),
        others=tuple(
            Other(row[0], row[1], Entry(row[2], row[3], row[4]), row[5])
            for row in ask(indirect.others(role.version))
        ),
    )  # fmt: skip


class _Asking:
    """Asks about one role: the values that every query takes, and those of each."""

    def __init__(self, connection: Connection, values: Mapping[str, Any]) -> None:
        self._connection = connection
        self._values = values

    def __call__(self, query: str, more: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return _rows(self._connection, query, {**self._values, **(more or {})})


def _differences(ask: _Asking, bounds: Bounds, version: int) -> tuple[Difference, ...]:
    """Every object of the classes that a configuration can grant on."""
    tables = {**_wanted(bounds.tables), "usual": bounds.usual_tables}
    found = [
        Difference(
            on=On.TABLE, schema=row[0], name=row[1], relkind=row[2],
            missing=queries.names_of(row[3], queries.TABLE_BITS),
            surplus=queries.names_of(row[4], queries.TABLE_BITS),
            owner=row[5], entries=_entries(row[6]), reachable=bool(row[7]),
        )
        for row in ask(queries.tables(version), tables)
    ]  # fmt: skip
    columns = {
        "col_nsp": [schema for schema, _, _ in bounds.columns],
        "col_rel": [name for _, name, _ in bounds.columns],
        "col": [column for _, _, column in bounds.columns],
        "mask": list(bounds.columns.values()),
    }
    found += [
        Difference(
            on=On.TABLE, schema=row[0], name=row[1], column=row[2],
            missing=queries.names_of(row[3], queries.COLUMN_BITS),
            surplus=queries.names_of(row[4], queries.COLUMN_BITS),
            entries=_entries(row[5]),
        )
        for row in ask(queries.columns(version), {**tables, **columns})
    ]  # fmt: skip
    sequences = {**_wanted(bounds.sequences), "usual": bounds.usual_sequences}
    found += [
        Difference(
            on=On.SEQUENCE, schema=row[0], name=row[1],
            missing=queries.names_of(row[2], queries.SEQUENCE_BITS),
            surplus=queries.names_of(row[3], queries.SEQUENCE_BITS),
            owner=row[4], entries=_entries(row[5]),
        )
        for row in ask(queries.SEQUENCES, sequences)
    ]  # fmt: skip
    schemas = {
        "nsp": list(bounds.schemas),
        "rel": [""] * len(bounds.schemas),
        "need": list(bounds.schemas.values()),
        "usual": bounds.usual_schemas,
    }
    found += [
        Difference(
            on=On.SCHEMA, schema="", name=row[0],
            missing=queries.names_of(row[1], queries.SCHEMA_BITS),
            surplus=queries.names_of(row[2], queries.SCHEMA_BITS),
            owner=row[3], entries=_entries(row[4]),
        )
        for row in ask(queries.SCHEMAS, schemas)
    ]  # fmt: skip
    return tuple(found)


def _wanted(masks: Mapping[tuple[str, str], int]) -> dict[str, list[Any]]:
    return {
        "nsp": [schema for schema, _ in masks],
        "rel": [name for _, name in masks],
        "need": list(masks.values()),
    }


def _entries(rows: Sequence[Sequence[Any]] | None) -> tuple[Entry, ...]:
    return tuple(Entry(*row) for row in rows or ())


def _owned(rows: Sequence[tuple[Any, ...]]) -> tuple[Owned, ...]:
    """Rows are sorted by owner and kind."""
    found: dict[tuple[int, bool, str, int], list[str]] = {}
    for owner, here, kind, identity, number in rows:
        found.setdefault((owner, here, kind, number), []).append(identity)
    return tuple(
        Owned(owner, here, kind, number, tuple(names))
        for (owner, here, kind, number), names in found.items()
    )


def _rows(connection: Connection, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), values).fetchall()
