"""What a tier's role may do with which objects, as a configuration grants it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ObjectClass(StrEnum):
    """Classes of objects that privileges are granted on (manual, GRANT)."""

    TABLE = "table"  # views, materialized views, partitioned and foreign tables too
    SEQUENCE = "sequence"
    SCHEMA = "schema"
    FUNCTION = "function"  # procedures too


@dataclass(frozen=True, slots=True)
class GrantedPrivilege:
    """One privilege in lower case; ``columns`` narrow it to those, empty means the whole object."""

    name: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.columns)})" if self.columns else self.name


@dataclass(frozen=True, slots=True)
class Grant:
    """What a tier's role may do with one object, or with all of a schema.

    ``schema`` and ``name`` are as the catalog has them, case and all; ``name`` is ``*`` for every
    object of the class in the schema, those to come as well (default privileges), the schema's own
    name for ``SCHEMA``, and ``f(integer, text)`` for ``FUNCTION``.
    """

    schema: str
    name: str
    privileges: tuple[GrantedPrivilege, ...]
    kind: ObjectClass = ObjectClass.TABLE

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return self.name if self.kind is ObjectClass.SCHEMA else f"{self.schema}.{self.name}"
