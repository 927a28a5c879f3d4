"""What a database gives now: its roles, and who holds which right on what, as its catalogs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdpoint.access.desired import DefaultRight, Objects, On, Right

Place = tuple[On, str, str]
"""An object: what it is, its schema (may be empty) and its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleState:
    """One role (manual, view ``pg_roles``).

    ``acts_as``: the one who asks has its rights. ``managed``: the one who asks may alter it and
    give it to others. ``expired``: its password is no longer taken.
    """

    name: str
    superuser: bool = False
    createrole: bool = False
    createdb: bool = False
    replication: bool = False
    bypassrls: bool = False
    inherit: bool = True
    login: bool = False
    connection_limit: int = -1
    expired: bool = False
    acts_as: bool = False
    managed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Membership:
    """``member`` is in ``role``; before PostgreSQL 16 ``inherit`` and ``may_set`` are always so."""

    role: str
    member: str
    grantor: str
    admin: bool = False
    inherit: bool = True
    may_set: bool = True


@dataclass(frozen=True, slots=True, order=True)
class RoleSetting:
    """A setting of a role; ``database`` is empty for all of them."""

    role: str
    database: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """One entry of an access control list; ``grantee`` is ``PUBLIC`` (empty) for everybody."""

    grantee: str
    right: Right
    grantor: str
    grantable: bool
    owner: str


@dataclass(frozen=True, slots=True, order=True)
class HeldDefault:
    """One entry of default privileges."""

    grantee: str
    default: DefaultRight
    grantable: bool


@dataclass(frozen=True, slots=True, order=True)
class Owned:
    """Something a role owns: ``what`` in the server's words; in another database only its name."""

    role: str
    what: str


@dataclass(frozen=True, slots=True, order=True)
class Policy:
    """A permissive policy of a table: for ``command`` (``*`` is all) and ``roles``, or everybody.

    ``roles`` has the empty name for everybody.
    """

    schema: str
    table: str
    command: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class PassingView:
    """A view that reads a table past its row-level security, because its owner may."""

    schema: str
    view: str
    owner: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What one database gives, to the roles that were asked about and to everybody.

    ``admin`` is the one who asked, ``started`` when the server did (seconds since 1970),
    ``locks`` how many locks it has for all transactions together.
    ``held`` and ``defaults`` are of those roles, of everybody
    (outside the server's own schemas), and what the one who asks may give on. ``definers`` are
    functions that run with their owner's rights. ``secured`` are tables with row-level security.
    ``mappings`` are pairs of a role and a foreign server that it signs in to.
    ``elsewhere`` are pairs of a role and another database in which it has rights.
    ``contexts`` tell for each setting asked about who may set it (manual, view ``pg_settings``).
    ``signatures`` are functions, as (schema, ``f(integer)``), as SQL writes them.
    """

    admin: str
    superuser: bool
    createrole: bool
    in_recovery: bool
    started: str
    locks: int
    database_owner: str
    objects: Objects
    owners: Mapping[Place, str]
    signatures: Mapping[tuple[str, str], str]
    roles: Mapping[str, RoleState]
    memberships: tuple[Membership, ...] = ()
    settings: tuple[RoleSetting, ...] = ()
    held: tuple[Held, ...] = ()
    defaults: tuple[HeldDefault, ...] = ()
    owned: tuple[Owned, ...] = ()
    definers: frozenset[Place] = frozenset()
    secured: frozenset[tuple[str, str]] = frozenset()
    policies: tuple[Policy, ...] = ()
    passing: tuple[PassingView, ...] = ()
    mappings: tuple[tuple[str, str], ...] = ()
    elsewhere: tuple[tuple[str, str], ...] = ()
    contexts: Mapping[str, str]

    @property
    def version(self) -> int:
        """The server's major version."""
        return self.objects.version

    def acts_as(self, role: str) -> bool:
        """Whether the one who asks has the rights of a role."""
        if self.superuser:
            return True
        state = self.roles.get(role)
        return state is not None and state.acts_as
