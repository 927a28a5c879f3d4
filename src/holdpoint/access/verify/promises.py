"""What the configuration promises of a role: object by object, or by its access level alone.

A tier with ``grants`` promises exactly those. One without promises what its access level says: who
is ``read-only`` writes nothing, makes nothing and owns nothing, whatever else it may read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from holdpoint.access.desired import Desired, DesiredRole, Objects, On, Wanted
from holdpoint.access.plan.resolve import rights_of
from holdpoint.access.verify.effective_queries import (
    COLUMN_BITS,
    SCHEMA_BITS,
    SEQUENCE_BITS,
    TABLE_BITS,
    mask_of,
)
from holdpoint.access.verify.facts import Bounds
from holdpoint.model.target import AccessLevel

_READ: Final = ("select",)
_WRITE: Final = ("select", "insert", "update", "delete")
_EVERYTHING: Final = tuple(TABLE_BITS)

# What an access level may have on anything. TRUNCATE is of the owner's tier alone: what it takes
# cannot be had back, nor is it filtered. USAGE of a sequence changes it, and is never rolled back.
_TABLES: Final[Mapping[AccessLevel, tuple[str, ...]]] = {
    AccessLevel.READ_ONLY: _READ,
    AccessLevel.READ_WRITE: _WRITE,
    AccessLevel.FULL_NO_DROP: tuple(name for name in _EVERYTHING if name != "truncate"),
    AccessLevel.OWNER: _EVERYTHING,
}
_SEQUENCES: Final[Mapping[AccessLevel, tuple[str, ...]]] = {
    AccessLevel.READ_ONLY: _READ,
    AccessLevel.READ_WRITE: tuple(SEQUENCE_BITS),
    AccessLevel.FULL_NO_DROP: tuple(SEQUENCE_BITS),
    AccessLevel.OWNER: tuple(SEQUENCE_BITS),
}
_SCHEMAS: Final[Mapping[AccessLevel, tuple[str, ...]]] = {
    AccessLevel.READ_ONLY: ("usage",),
    AccessLevel.READ_WRITE: ("usage",),
    AccessLevel.FULL_NO_DROP: ("usage", "create"),
    AccessLevel.OWNER: ("usage", "create"),
}
_DATABASE: Final[Mapping[AccessLevel, tuple[str, ...]]] = {
    AccessLevel.READ_ONLY: ("connect",),
    AccessLevel.READ_WRITE: ("connect", "temporary"),
    AccessLevel.FULL_NO_DROP: ("connect", "temporary", "create"),
    AccessLevel.OWNER: ("connect", "temporary", "create"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is promised of one role of one tier.

    ``desired`` and ``wanted`` are there when the tier says its ``grants``: then the promise is
    exact. ``named`` are tables that the grants name themselves, not by ``*``. ``members`` may have
    the role. ``minted`` says that roles are made for sessions, which then have it too.
    """

    role: str
    tier: str
    access: AccessLevel
    bounds: Bounds
    database: tuple[str, ...]
    desired: DesiredRole | None = None
    wanted: Wanted | None = None
    named: frozenset[tuple[str, str]] = frozenset()
    members: frozenset[str] = frozenset()
    minted: bool = False

    @property
    def exact(self) -> bool:
        """Whether the grants are said."""
        return self.desired is not None

    @property
    def only_noted(self) -> bool:
        """Whether more than is promised is no drift: an owner without grants may do everything."""
        return self.access is AccessLevel.OWNER and not self.exact

    @property
    def holder(self) -> str:
        """The role that it has its rights from, empty for none; that one is verified by itself."""
        return self.desired.member_of if self.desired is not None else ""

    @property
    def gives(self) -> str:
        """The role that it only gives to others; empty for none."""
        return self.desired.admin_of if self.desired is not None else ""


def promise_of_access(tier: str, role: str, access: AccessLevel, *, minted: bool) -> Promise:
    """Return what an access level promises by itself."""
    return Promise(
        role=role,
        tier=tier,
        access=access,
        bounds=Bounds(
            usual_tables=mask_of(_TABLES[access], TABLE_BITS),
            usual_sequences=mask_of(_SEQUENCES[access], SEQUENCE_BITS),
            usual_schemas=mask_of(_SCHEMAS[access], SCHEMA_BITS),
        ),
        database=_DATABASE[access],
        minted=minted,
    )


def promise_of_grants(
    role: DesiredRole, desired: Desired, objects: Objects, *, minted: bool
) -> Promise:
    """Return what a tier's grants promise of one of its roles."""
    grants = desired.grants_of(role)
    wanted = rights_of(grants, objects)
    return Promise(
        role=role.name,
        tier=role.tier,
        access=role.access,
        bounds=_bounds(wanted),
        database=("connect",),
        desired=role,
        wanted=wanted,
        named=frozenset((grant.schema, grant.name) for grant in grants),
        members=frozenset(
            each.name for each in desired.roles if role.name in (each.member_of, each.admin_of)
        ),
        minted=minted,
    )


def _bounds(wanted: Wanted) -> Bounds:
    tables: dict[tuple[str, str], int] = defaultdict(int)
    columns: dict[tuple[str, str, str], int] = defaultdict(int)
    sequences: dict[tuple[str, str], int] = defaultdict(int)
    schemas: dict[str, int] = defaultdict(int)
    functions: set[tuple[str, str]] = set()
    for right in wanted.rights:
        place = (right.schema, right.name)
        if right.on is On.TABLE and right.column:
            columns[*place, right.column] |= mask_of((right.privilege,), COLUMN_BITS)
        elif right.on is On.TABLE:
            tables[place] |= mask_of((right.privilege,), TABLE_BITS)
        elif right.on is On.SEQUENCE:
            sequences[place] |= mask_of((right.privilege,), SEQUENCE_BITS)
        elif right.on is On.SCHEMA:
            schemas[right.name] |= mask_of((right.privilege,), SCHEMA_BITS)
        elif right.on is On.FUNCTION:
            functions.add(place)
    return Bounds(
        tables=tables,
        columns=columns,
        sequences=sequences,
        schemas=schemas,
        functions=frozenset(functions),
    )
