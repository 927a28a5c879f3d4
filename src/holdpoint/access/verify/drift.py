"""Drift: where a database differs from what the configuration promises of a role.

Pure: facts and a promise in, drift out, in an order that is always the same. This module has the
noun and what its makers share; ``drift_role`` is about the role itself, ``drift_objects`` about
rights on tables, sequences and schemas, ``drift_rest`` about everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from holdpoint.access.quoting import identifier
from holdpoint.access.verify.facts import PUBLIC_OID, Effective, Entry, Lead, RoleFacts
from holdpoint.access.verify.promises import Promise
from holdpoint.policy.words import listed, quoted

NAMES_SHOWN: Final = 5  # of one line of words


PREDEFINED: Final[Mapping[str, str]] = {
    "pg_checkpoint": "may run CHECKPOINT",
    "pg_create_subscription": "may make subscriptions",
    "pg_database_owner": "owns the database",
    "pg_execute_server_program": "may run programs on the server's machine",
    "pg_maintain": "may VACUUM, CLUSTER, REINDEX and lock every table",
    "pg_monitor": "sees the statements of others",
    "pg_read_all_data": "may read every table",
    "pg_read_all_settings": "sees every setting",
    "pg_read_all_stats": "sees the statements of others",
    "pg_read_server_files": "may read files of the server's machine",
    "pg_signal_autovacuum_worker": "may end autovacuum",
    "pg_signal_backend": "may end the sessions of others",
    "pg_stat_scan_tables": "may scan tables for statistics, under locks",
    "pg_use_reserved_connections": "may take the connections kept for administrators",
    "pg_write_all_data": "may write every table",
    "pg_write_server_files": "may write files of the server's machine",
}
"""Predefined roles and what they give (manual, section 21.5)."""


class Kind(StrEnum):
    """What sort of difference."""

    MISSING = "missing"  # promised, and not there
    SURPLUS = "surplus"  # there, and not promised
    CHANGED = "changed"  # a setting or an attribute has another value
    LEFT_OVER = "left over"  # was made for a while, and is still there


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference: ``what`` about which object, where it comes from and how to mend it.

    ``mend`` is SQL that a person may run, one statement each; it is never run by itself. ``note``
    is set for what people should know and is no drift. ``tried`` says what the database did when
    it was tried. ``places`` are the names of all objects that it is about, in ``privileges``.
    """

    role: str
    kind: Kind
    about: str
    what: str
    source: str = ""
    mend: tuple[str, ...] = ()
    note: bool = False
    tried: str = ""
    privileges: tuple[str, ...] = ()
    places: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Through:
    """What a role has through one that it is a member of: privileges on an object, in words."""

    role: str
    privileges: str
    about: str


class DriftMaker:
    """Makes drift of one role; the base of what sorts the findings about objects.

    ``through`` collects what it has by memberships, to be told together.
    """

    def __init__(self, found: Effective, promise: Promise) -> None:
        self._found = found
        self._promise = promise
        self._role: RoleFacts = found.role
        self.through: list[Through] = []
        self._leads: dict[tuple[str, str], list[Lead]] = defaultdict(list)
        for lead in found.leads:
            self._leads[lead.schema, lead.name].append(lead)

    def _drift(
        self,
        kind: Kind,
        about: str,
        what: str,
        source: str = "",
        mend: Sequence[str] = (),
        privileges: tuple[str, ...] = (),
        *,
        places: Sequence[str] = (),
        note: bool = False,
    ) -> Drift:
        return Drift(
            role=self._role.name,
            kind=kind,
            about=about,
            what=what,
            source=source,
            mend=tuple(mend),
            note=note or (self._promise.only_noted and kind is not Kind.MISSING),
            privileges=privileges,
            places=tuple(places),
        )

    def _revoked(self, entry: Entry, statements: Sequence[str]) -> list[str]:
        """The statements, as the one whose grant it was: nobody else's REVOKE would end it."""
        if not entry.grantor or not statements:
            return list(statements)
        return [f"SET ROLE {identifier(entry.grantor)};", *statements, "RESET ROLE;"]

    def _whom(self, entry: Entry) -> tuple[str, str]:
        """Whom to revoke from, as SQL writes it, and where the right comes from in words."""
        by = f" by {quoted(entry.grantor)}" if entry.grantor else ""
        if entry.grantee == PUBLIC_OID:
            return "PUBLIC", f"granted to PUBLIC{by}: to everybody"
        if entry.grantee == self._role.oid:
            return identifier(self._role.name), f"granted to the role itself{by}"
        name = self._role.named(entry.grantee)
        if name:
            return identifier(name), f"membership in {quoted(name)}"
        return "", "the server says so, and no access list tells why"


# --- words ----------------------------------------------------------------------------------------


def shown(names: Sequence[str], number: int = 0) -> str:
    """Say some names, and how many more there are; ``number`` is of all, when fewer are given."""
    number = number or len(names)
    first = list(names[:NAMES_SHOWN])
    if number <= len(first):
        return listed([quoted(each) for each in first])
    more = number - len(first)
    return ", ".join(quoted(each) for each in first) + f" and {more:,} more"


def label(schema: str, name: str) -> str:
    """An object's name as people write it, on one line and whole."""
    whole = f"{schema}.{name}" if schema else name
    return "".join("?" if ch == "`" or not ch.isprintable() else ch for ch in whole)
