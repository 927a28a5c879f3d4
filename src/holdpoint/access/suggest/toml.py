"""Grants as tables of holdpoint.toml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass

KEYS: Final = {
    ObjectClass.TABLE: "grants",
    ObjectClass.SEQUENCE: "sequences",
    ObjectClass.SCHEMA: "schemas",
    ObjectClass.FUNCTION: "functions",
}
_PLAIN: Final = re.compile(r'[^".(),*\s][^".(),*]*')
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_USUAL: Final = "public"
ALL: Final = "*"


def toml_of(target: str, tier: str, grants: Iterable[Grant]) -> str:
    """Return the tables that give a tier these grants.

    A tier that needs nothing gets an empty table: its role may do nothing.
    """
    listed = list(grants)
    parts: list[str] = []
    for kind, key in KEYS.items():
        mine = [each for each in listed if each.kind is kind]
        if not mine and kind is not ObjectClass.TABLE:
            continue
        place = ".".join(_key(each) for each in ("targets", target, "tiers", tier, key))
        lines = [f"[{place}]", *[_line(each) for each in mine]]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """A basic string of TOML; JSON's escapes are among its own (TOML 1.0, section String).

    What would not print is escaped as well: it is read on terminals.
    """
    return "".join(map(_escaped, json.dumps(text, ensure_ascii=False)))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _line(grant: Grant) -> str:
    privileges = ", ".join(_string(words_of(each)) for each in grant.privileges)
    return f"{_string(name_of(grant))} = [{privileges}]"


def name_of(grant: Grant) -> str:
    """Return the object as the configuration names it."""
    if grant.kind is ObjectClass.SCHEMA:
        return _quoted(grant.name)
    if grant.name == ALL:
        name = ALL
    elif grant.kind is ObjectClass.FUNCTION:
        bare, opened, arguments = grant.name.rpartition("(")  # types have none, a name may
        name = _quoted(bare) + opened + arguments
    else:
        name = _quoted(grant.name)
    return name if grant.schema == _USUAL else f"{_quoted(grant.schema)}.{name}"


def words_of(privilege: GrantedPrivilege) -> str:
    """Return a privilege as the configuration writes it: ``select(id, status)``."""
    columns = ", ".join(_quoted(each) for each in privilege.columns)
    return f"{privilege.name}({columns})" if columns else privilege.name


def _quoted(name: str) -> str:
    """A name, in double quotes where something in it is odd."""
    if _PLAIN.fullmatch(name) and name == name.strip():
        return name
    return '"' + name.replace('"', '""') + '"'
