"""Who else is on a table right now: sessions that hold or want locks on it.

What a role may see of other sessions depends on its privileges (manual, section 27.2.3): what is
hidden is said to be hidden, never taken for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdpoint.engine.probes_plans import Connection, rows_of
from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.impact import LockMode, TableUser

_M = LockMode
# Which modes a mode conflicts with (manual, table 13.2).
CONFLICTS: Final[Mapping[LockMode, frozenset[LockMode]]] = {
    _M.ACCESS_SHARE: frozenset({_M.ACCESS_EXCLUSIVE}),
    _M.ROW_SHARE: frozenset({_M.EXCLUSIVE, _M.ACCESS_EXCLUSIVE}),
    _M.ROW_EXCLUSIVE: frozenset(
        {_M.SHARE, _M.SHARE_ROW_EXCLUSIVE, _M.EXCLUSIVE, _M.ACCESS_EXCLUSIVE}
    ),
    _M.SHARE_UPDATE_EXCLUSIVE: frozenset(_M) - {_M.ACCESS_SHARE, _M.ROW_SHARE, _M.ROW_EXCLUSIVE},
    _M.SHARE: frozenset(_M) - {_M.ACCESS_SHARE, _M.ROW_SHARE, _M.SHARE},
    _M.SHARE_ROW_EXCLUSIVE: frozenset(_M) - {_M.ACCESS_SHARE, _M.ROW_SHARE},
    _M.EXCLUSIVE: frozenset(_M) - {_M.ACCESS_SHARE},
    _M.ACCESS_EXCLUSIVE: frozenset(_M),
}
# ``ShareUpdateExclusiveLock`` is how pg_locks writes a mode (manual, section 52.12).
_MODES: Final = {mode.value.title().replace(" ", "") + "Lock": mode for mode in LockMode}

_QUERY: Final = """
SELECT l.relation::bigint, coalesce(l.pid, 0), l.mode, l.granted,
       coalesce(a.application_name, ''), coalesce(a.usename, ''), a.pid IS NOT NULL
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation'
   AND l.relation = ANY ($1::text::oid[])
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
   AND coalesce(a.application_name, '') <> 'holdpoint probe'
 LIMIT 1000
"""


@dataclass(slots=True)
class Presence:
    """Sessions on one table: ``busy`` ones would wait for the statement or make it wait."""

    busy: int = 0
    users: list[TableUser] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Lock:
    relation: int
    pid: int
    mode: LockMode | None
    granted: bool
    application: str
    role: str
    visible: bool


async def presence(
    connection: Connection,
    tables: Sequence[tuple[str, Collection[int]]],
    modes: Mapping[str, LockMode],
) -> dict[str, Presence]:
    """Who is on each table (by name, with the oids of it and its partitions). One query for all.

    ``modes`` are the locks that the statement would take. Raises ``psycopg.Error``.
    """
    oids = sorted({oid for _, each in tables for oid in each if oid})
    if not oids:
        return {}
    wanted = "{" + ",".join(str(oid) for oid in oids) + "}"
    rows = await rows_of(connection, _QUERY, (Parameter(wanted.encode()),))
    locks = [_lock(row) for row in rows]
    return {
        name: _present(name, [lock for lock in locks if lock.relation in each], modes.get(name))
        for name, each in tables
    }


def _lock(row: tuple[str, ...]) -> _Lock:
    relation, pid, mode, granted, application, role, visible = row
    return _Lock(
        relation=int(relation),
        pid=int(pid),
        mode=_MODES.get(mode),
        granted=granted == "t",
        application=application,
        role=role,
        visible=visible == "t",
    )


def _nameless(role: str, pids: Collection[int]) -> str:
    """What to call sessions without an application name; a prepared transaction has no session."""
    if 0 in pids:
        return "a prepared transaction"
    return "no application name" if role else "not visible to the probe's role"


def _present(name: str, locks: Sequence[_Lock], mode: LockMode | None) -> Presence:
    """One table's sessions. A lock mode that is not known counts as one that conflicts."""
    conflicting = CONFLICTS[mode] if mode is not None else frozenset(LockMode)
    busy = {lock.pid for lock in locks if lock.mode is None or lock.mode in conflicting}
    sessions: dict[tuple[str, str], set[int]] = {}
    for lock in locks:
        who = lock.application if lock.visible else ""
        sessions.setdefault((who, lock.role), set()).add(lock.pid)
    users = []
    for (who, role), pids in sorted(sessions.items())[: limits.TABLE_USERS_MAX]:
        count = f"{len(pids)} session{'' if len(pids) == 1 else 's'} right now"
        blocked = len(pids & busy)
        if blocked and mode is not None:
            count += f", {blocked} in conflict with this lock"
        detail = f"{count}, as role {role}" if role else count
        name_ = who or _nameless(role, pids)
        users.append(TableUser(table=name, kind="application", name=name_, detail=detail))
    return Presence(busy=len(busy), users=users)
