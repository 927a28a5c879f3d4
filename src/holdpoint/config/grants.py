"""What a tier's role may do: ``grants``, ``sequences``, ``schemas`` and ``functions``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from holdpoint.config.locate import Path
from holdpoint.config.names import Unreadable, read_columns, read_object
from holdpoint.config.problems import Notes
from holdpoint.config.schema import TierTable
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.target import AccessLevel
from holdpoint.policy.compile import nearest

# Privileges as PostgreSQL names them, and how many of them an access level may be given.
_READS: Final = frozenset({"select"})
_WRITES: Final = _READS | {"insert", "update", "delete"}
_ALL: Final = _WRITES | {"truncate", "references", "trigger", "maintain"}
_SEQUENCE: Final = frozenset({"usage", "select", "update"})
_USAGE: Final = frozenset({"usage"})
_SCHEMA: Final = _USAGE | {"create"}
_EXECUTE: Final = frozenset({"execute"})
PRIVILEGES: Final[Mapping[ObjectClass, Mapping[AccessLevel, frozenset[str]]]] = {
    ObjectClass.TABLE: {
        AccessLevel.READ_ONLY: _READS,
        AccessLevel.READ_WRITE: _WRITES,
        AccessLevel.FULL_NO_DROP: _ALL - {"truncate"},
        AccessLevel.OWNER: _ALL,
    },
    # `usage` and `update` change a sequence: they are nextval and setval.
    ObjectClass.SEQUENCE: {
        AccessLevel.READ_ONLY: _READS,
        AccessLevel.READ_WRITE: _SEQUENCE,
        AccessLevel.FULL_NO_DROP: _SEQUENCE,
        AccessLevel.OWNER: _SEQUENCE,
    },
    ObjectClass.SCHEMA: {
        AccessLevel.READ_ONLY: _USAGE,
        AccessLevel.READ_WRITE: _USAGE,
        AccessLevel.FULL_NO_DROP: _SCHEMA,
        AccessLevel.OWNER: _SCHEMA,
    },
    ObjectClass.FUNCTION: dict.fromkeys(AccessLevel, _EXECUTE),
}
COLUMN_PRIVILEGES: Final = frozenset({"select", "insert", "update", "references"})
KEYS: Final = {
    "grants": ObjectClass.TABLE,
    "sequences": ObjectClass.SEQUENCE,
    "schemas": ObjectClass.SCHEMA,
    "functions": ObjectClass.FUNCTION,
}

_PRIVILEGE: Final = re.compile(r"\s*(?P<name>[A-Za-z_]+)\s*(?:\((?P<columns>.*)\)\s*)?", re.DOTALL)


def read_grants(
    table: TierTable, access: AccessLevel, path: Path, notes: Notes
) -> tuple[Grant, ...] | None:
    """What the tier's role may do, no more than its access level gives.

    None where none of the keys is there; an empty table says that the role may do nothing.
    """
    known_level = access.value == table.access
    grants: dict[tuple[ObjectClass, str, str], Grant] = {}
    said = False
    for key, kind in KEYS.items():
        written: dict[str, list[str]] | None = getattr(table, key)
        if written is None:
            continue
        said = True
        allowed = PRIVILEGES[kind][access if known_level else AccessLevel.OWNER]
        for name, words in written.items():
            place = (*path, key, name)
            try:
                schema, bare = read_object(kind, name)
            except Unreadable as problem:
                notes.problem(place, str(problem), problem.hint)
                continue
            privileges = _privileges(kind, bare, words, allowed, access, place, notes)
            grant = Grant(schema, bare, privileges, kind)
            if (kind, schema, bare) in grants:
                notes.problem(place, f"`{grant.label}` stands twice in `{key}`")
            grants[kind, schema, bare] = grant
    return tuple(grants.values()) if said else None


def _privileges(
    kind: ObjectClass,
    bare: str,
    words: list[str],
    allowed: frozenset[str],
    access: AccessLevel,
    path: Path,
    notes: Notes,
) -> tuple[GrantedPrivilege, ...]:
    """The privileges on one object, each once."""
    if not words:
        notes.problem(path, "the list of privileges is empty", "leave the object out")
    found: dict[str, GrantedPrivilege] = {}
    for word in words:
        try:
            privilege = _privilege(kind, bare, word, allowed, access)
        except Unreadable as problem:
            notes.problem(path, str(problem), problem.hint)
            continue
        if privilege.name in found:
            notes.problem(path, f"`{privilege.name}` stands twice", "give all its columns at once")
        found[privilege.name] = privilege
    return tuple(found.values())


def _privilege(
    kind: ObjectClass, bare: str, word: str, allowed: frozenset[str], access: AccessLevel
) -> GrantedPrivilege:
    """``select``, or ``update(status, note)``."""
    known = PRIVILEGES[kind][AccessLevel.OWNER]
    found = _PRIVILEGE.fullmatch(word)
    name = found["name"].lower() if found else ""
    if found is None or name not in known:
        raise Unreadable(f"unknown privilege `{word}`", nearest(name or word, sorted(known)))
    if name not in allowed:
        given = ", ".join(f"`{each}`" for each in sorted(allowed))
        words = f"`{name}` is more than access `{access.value}` gives"
        raise Unreadable(words, f"it gives {given}")
    if found["columns"] is None:
        return GrantedPrivilege(name)
    if kind is not ObjectClass.TABLE or name not in COLUMN_PRIVILEGES:
        with_columns = ", ".join(f"`{each}`" for each in sorted(COLUMN_PRIVILEGES))
        words = f"`{name}` cannot be narrowed to columns"
        raise Unreadable(words, f"of tables, {with_columns} can")
    if bare == "*":
        raise Unreadable("columns cannot be named for all tables of a schema", "name the table")
    return GrantedPrivilege(name, read_columns(found["columns"]))
