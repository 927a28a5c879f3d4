"""ALTER COLUMN ... TYPE: which changes of a type leave the rows as they are.

Source: ``pg_cast`` (casts without a function) and the functions that PostgreSQL supports with
"prosupport" for length coercion: ``varchar``, ``varbit``, ``numeric``, ``timestamp`` and kin skip
the rewrite when the new length holds all that the old one did. Anything else rewrites.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Column, Relation
from holdpoint.model.changes import NewColumn, WrittenType
from holdpoint.model.impact import Work
from holdpoint.sql.names import Catalog

Answer = tuple[Work, str]

_VARCHAR: Final = 1043
_NUMERIC: Final = 1700
# Oids of built-in types are fixed (pg_type.dat); the names are as the grammar writes them.
_OIDS: Final[dict[str, int]] = {
    "bool": 16, "bytea": 17, "int8": 20, "int2": 21, "int4": 23, "text": 25, "oid": 26,
    "json": 114, "xml": 142, "cidr": 650, "float4": 700, "float8": 701, "inet": 869,
    "bpchar": 1042, "varchar": _VARCHAR, "date": 1082, "time": 1083, "timestamp": 1114,
    "timestamptz": 1184, "interval": 1186, "timetz": 1266, "bit": 1560, "varbit": 1562,
    "numeric": _NUMERIC, "uuid": 2950, "jsonb": 3802,
}  # fmt: skip
# Casts without a function (pg_cast.castmethod = 'b'), to a type without a length.
_SAME_BYTES: Final = frozenset(
    ((_VARCHAR, 25), (25, _VARCHAR), (142, 25), (650, 869), (23, 26), (1560, 1562))
)
# Types whose longer form holds every value of the shorter one. How many a bare modifier means.
_GROWING: Final = frozenset((_VARCHAR, 1562, 1083, 1114, 1184, 1266))
_HEADER_BYTES: Final = 4  # PostgreSQL: VARHDRSZ, added to the modifier of varchar and numeric


def type_change(
    name: str, new: NewColumn, relation: Relation | None, catalog: Catalog | None
) -> Answer:
    """What changing the type of the column ``name`` does to the rows, and why."""
    if new.computed:
        return Work.REWRITE, "every row gets the value that USING computes"
    written = new.type
    if relation is None or catalog is None:
        return Work.UNKNOWN, f"rewritten unless every value of `{name}` stays as it is stored"
    column = next((each for each in relation.columns if each.name == name), None)
    if column is None or written is None:
        return Work.UNKNOWN, f"the type of `{name}` is not known"
    keeps = _keeps_bytes(column, written)
    if keeps is None:
        return Work.UNKNOWN, f"rewritten unless `{name}` only gets longer"
    if not keeps:
        return Work.REWRITE, f"every value of `{name}` is converted, every index on it built anew"
    if new.collation:
        return Work.SCAN, f"every row is read to build the indexes on `{name}` anew"
    checks = [each for each in relation.constraints if each.kind == "c" and each.valid]
    if any(name in each.columns for each in checks):
        return Work.SCAN, f"every row is checked against the constraints on `{name}`"
    return Work.NONE, "stored values fit the new type as they are"


def _keeps_bytes(column: Column, written: WrittenType) -> bool | None:
    """Whether stored values stay as they are; None when the catalog does not tell enough."""
    new = _OIDS.get(written.name.name)
    if new is None or written.array or written.name.schema not in ("", "pg_catalog"):
        return False
    modifiers = written.modifiers
    if modifiers is None:
        return False
    if new != column.type_oid:
        return not modifiers and (column.type_oid, new) in _SAME_BYTES
    if not modifiers and new not in (1042, 1560, 1186):  # `char` means char(1), `bit` bit(1)
        return True
    if new == _NUMERIC:
        return _grows_numeric(column.type_modifier, modifiers)
    if new in _GROWING and len(modifiers) == 1:
        return _grows(column.type_modifier, modifiers[0], new)
    return False


def _grows(old: int | None, length: int, oid: int) -> bool | None:
    if old is None:
        return None
    if old < 0:  # without a length: only a precision of time has a greatest value, 6
        return length >= 6 and oid in (1083, 1114, 1184, 1266)
    return length + (_HEADER_BYTES if oid == _VARCHAR else 0) >= old


def _grows_numeric(old: int | None, modifiers: tuple[int, ...]) -> bool | None:
    """``numeric(precision, scale)``: more digits before the point, as many behind it."""
    if old is None:
        return None
    if old < 0:
        return False
    packed = old - _HEADER_BYTES  # PostgreSQL: make_numeric_typmod
    precision, scale = packed >> 16, packed & 0x7FF
    new_scale = modifiers[1] & 0x7FF if len(modifiers) > 1 else 0
    return new_scale == scale and modifiers[0] >= precision
