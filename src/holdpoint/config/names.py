"""Names of objects in grants, as the catalog has them: case and all.

``schema.name``, or a name in ``public``. Double quotes keep what is odd in a name together, as in
SQL, but nothing is folded: ``Orders`` is not ``orders``.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model.grants import ObjectClass
from holdpoint.model.limits import NAME_CHARS_MAX

ALL: Final = "*"

_QUOTED: Final = r'"(?P<quoted>(?:[^"]|"")*)"'
_PART: Final = re.compile(_QUOTED + r'|(?P<plain>[^".(),]+)')
_COLUMN: Final = re.compile(rf'\s*(?:{_QUOTED}|(?P<plain>[^"(),]+))\s*(?P<more>,|$)')
_ARGUMENTS: Final = re.compile(r"\((?P<types>[^()]*)\)\s*")


class Unreadable(ValueError):
    """What cannot be read; the text says why, ``hint`` what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read_object(kind: ObjectClass, text: str) -> tuple[str, str]:
    """Schema and name as ``Grant`` has them. Raises ``Unreadable``."""
    parts, rest = _parts(text)
    if kind is ObjectClass.SCHEMA:
        if len(parts) > 1 or rest:
            raise Unreadable(f"`{text}` is no name of a schema", "quote what is odd in a name")
        return _schema(parts[0][0]), parts[0][0]
    if len(parts) > 2:
        raise Unreadable(f"`{text}` has too many dots", "write `schema.name`")
    schema = _schema(parts[0][0]) if len(parts) == 2 else "public"
    name, is_quoted = parts[-1]
    if name == ALL and not (is_quoted and rest):  # a function may have that name
        if is_quoted or rest:
            raise Unreadable(f"`{text}` cannot be named here", "`schema.*` stands for all")
        return schema, name
    if kind is ObjectClass.FUNCTION:
        return schema, name + _arguments(text, rest)
    if rest:
        raise Unreadable(f"cannot read the name `{text}`", "quote what is odd in a name")
    return schema, name


def read_columns(text: str) -> tuple[str, ...]:
    """``status, note`` as names. Raises ``Unreadable``."""
    columns: list[str] = []
    at, more = 0, True
    while more:
        found = _COLUMN.match(text, at)
        if found is None:
            raise Unreadable(f"cannot read the columns `{text}`", "write `update(status, note)`")
        name = _name(found, text)
        if name in columns:
            raise Unreadable(f"column `{name}` stands twice")
        columns.append(name)
        at, more = found.end(), found["more"] == ","
    return tuple(columns)


def _parts(text: str) -> tuple[list[tuple[str, bool]], str]:
    """The parts of a dotted name, each with whether it was quoted, and what follows them."""
    parts: list[tuple[str, bool]] = []
    at = 0
    while True:
        found = _PART.match(text, at)
        if found is None:
            hint = "write `schema.name`; quote what is odd in a name"
            raise Unreadable(f"cannot read the name `{text}`", hint)
        name, is_quoted = _name(found, text), found["quoted"] is not None
        if not is_quoted and ALL in name and name != ALL:
            hint = "`schema.*` stands for all objects of a schema; there are no other patterns"
            raise Unreadable(f"`{text}` has a star within a name", hint)
        parts.append((name, is_quoted))
        at = found.end()
        if text[at : at + 1] != ".":
            return parts, text[at:]
        at += 1


def _name(found: re.Match[str], text: str) -> str:
    quoted = found["quoted"]
    name: str = quoted.replace('""', '"') if quoted is not None else found["plain"].strip()
    if not is_possible(name):
        hint = f"names have 1 to {NAME_CHARS_MAX} bytes"
        raise Unreadable(f"`{text}` holds a name that the server cannot have", hint)
    return name


def is_possible(name: str) -> bool:
    """Whether a server can have an object of that name."""
    return bool(name) and "\0" not in name and len(name.encode()) <= NAME_CHARS_MAX


def _schema(name: str) -> str:
    """A schema of people: what may be done in the server's own is the same for everyone."""
    if name == ALL:
        raise Unreadable("`*` names no schema", "write `schema.*` for each")
    if name.startswith("pg_") or name == "information_schema":
        hint = "it is the same for every role; leave it out"
        raise Unreadable(f"`{name}` is a schema of the server's own", hint)
    return name


def _arguments(text: str, rest: str) -> str:
    """``(integer, text)``: a name alone may stand for several functions."""
    found = _ARGUMENTS.fullmatch(rest)
    types = [" ".join(each.split()) for each in found["types"].split(",")] if found else []
    if found is None or (len(types) > 1 and not all(types)):
        hint = "write the types of its arguments: `f(integer, text)`, `f()`"
        raise Unreadable(f"`{text}` names a function without its arguments", hint)
    return f"({', '.join(types)})"
