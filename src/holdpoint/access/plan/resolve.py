"""What a list of grants means in a database as it is now: each right, by itself.

A grant says what people mean; the rights are what the server needs for it to work. A right on
something in a schema needs USAGE of the schema, everything needs CONNECT, and an INSERT into a
table whose default takes numbers from a sequence needs USAGE of that sequence (an identity column
needs nothing: the server takes its numbers itself).

``schema.*`` is every table of the schema now, and by default privileges those to come, so with
INSERT every sequence of the schema as well: which of those to come will serve a table is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from holdpoint.access.desired import DefaultRight, Objects, On, Right, Wanted
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass

ALL: Final = "*"
MAINTAIN_SINCE: Final = 17  # manual, section 5.8: MAINTAIN came with PostgreSQL 17
CONNECT: Final = "connect"
USAGE: Final = "usage"
INSERT: Final = "insert"

_ON: Final = {
    ObjectClass.TABLE: On.TABLE,
    ObjectClass.SEQUENCE: On.SEQUENCE,
    ObjectClass.SCHEMA: On.SCHEMA,
    ObjectClass.FUNCTION: On.FUNCTION,
}

# How people write types, and how `format_type` does (manual, table 8.1).
_TYPES: Final = {
    "bigserial": "bigint",
    "bool": "boolean",
    "char": "character",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
_ARRAY: Final = re.compile(r"(?P<base>.*?)(?P<array>(?:\[\])*)")


def rights_of(grants: Sequence[Grant], objects: Objects) -> Wanted:
    """Return every right that ``grants`` mean in a database that has ``objects``."""
    found = _Rights(objects)
    found.rights.add(Right(On.DATABASE, "", objects.database, CONNECT))
    for grant in grants:
        for privilege in grant.privileges:
            found.add(grant, privilege)
    whole = {each for each in found.rights if not each.column}
    return Wanted(
        rights=frozenset(
            each
            for each in found.rights
            if not each.column
            or Right(each.on, each.schema, each.name, each.privilege) not in whole
        ),
        defaults=frozenset(found.defaults),
        missing=tuple(dict.fromkeys(found.missing)),
    )


def written_types(name: str) -> str:
    """Return ``f(int)`` as ``f(integer)``: with the types as the catalog writes them."""
    bare, opened, arguments = name.partition("(")
    if not opened:
        return name
    types = [each.strip() for each in arguments.removesuffix(")").split(",")]
    return f"{bare}({', '.join(_type(each) for each in types)})"


def _type(text: str) -> str:
    found = _ARRAY.fullmatch(text)
    assert found is not None, "the pattern takes every text"
    base = found["base"]
    return _TYPES.get(base.lower(), base) + found["array"]


class _Rights:
    """Collects rights of one role."""

    def __init__(self, objects: Objects) -> None:
        self.rights: set[Right] = set()
        self.defaults: set[DefaultRight] = set()
        self.missing: list[str] = []
        self._objects = objects

    def add(self, grant: Grant, privilege: GrantedPrivilege) -> None:
        """Add one privilege of one grant, and what it needs to be of use."""
        if privilege.name == "maintain" and self._objects.version < MAINTAIN_SINCE:
            self.missing.append(
                f"`maintain` on {grant.label} needs PostgreSQL {MAINTAIN_SINCE}; "
                f"this is {self._objects.version}"
            )
            return
        if grant.schema not in self._objects.schemas:
            self.missing.append(f"schema `{grant.schema}` does not exist")
            return
        if grant.kind is ObjectClass.SCHEMA:
            self.rights.add(Right(On.SCHEMA, "", grant.schema, privilege.name))
            return
        self.rights.add(Right(On.SCHEMA, "", grant.schema, USAGE))
        on = _ON[grant.kind]
        if grant.name == ALL:
            self._all(on, grant.schema, privilege.name)
        else:
            self._one(on, grant, privilege)

    def _all(self, on: On, schema: str, privilege: str) -> None:
        """Everything of a schema, now and to come."""
        names = self._names(on).get(schema, frozenset())
        self.rights.update(Right(on, schema, name, privilege) for name in names)
        self.defaults.update(
            DefaultRight(owner, schema, on, privilege)
            for owner in self._objects.makers.get(schema, ())
        )
        if on is On.TABLE and privilege == INSERT:
            self._all(On.SEQUENCE, schema, USAGE)
            self._sequences((schema, name) for name in names)

    def _one(self, on: On, grant: Grant, privilege: GrantedPrivilege) -> None:
        """One object, or some columns of it."""
        names = self._names(on).get(grant.schema, frozenset())
        name = grant.name if grant.name in names else written_types(grant.name)
        if name not in names:
            self.missing.append(f"{on.value} `{grant.label}` does not exist")
            return
        for column in privilege.columns:
            if column not in self._objects.columns.get((grant.schema, name), frozenset()):
                self.missing.append(f"table `{grant.label}` has no column `{column}`")
        for column in privilege.columns or ("",):
            self.rights.add(Right(on, grant.schema, name, privilege.name, column))
        if on is On.TABLE and privilege.name == INSERT:
            self._sequences([(grant.schema, name)])

    def _sequences(self, tables: Iterable[tuple[str, str]]) -> None:
        """USAGE of the sequences that the tables' defaults take numbers from."""
        for table in tables:
            for schema, name in self._objects.owned.get(table, ()):
                self.rights.add(Right(On.SCHEMA, "", schema, USAGE))
                self.rights.add(Right(On.SEQUENCE, schema, name, USAGE))

    def _names(self, on: On) -> Mapping[str, frozenset[str]]:
        objects = self._objects
        return {
            On.TABLE: objects.tables,
            On.SEQUENCE: objects.sequences,
            On.FUNCTION: objects.functions,
        }[on]
