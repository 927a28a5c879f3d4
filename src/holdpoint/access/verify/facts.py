"""What the server said of a role: the nouns between asking (``effective``) and judging (``drift``).

Oids stand for roles, because names of roles change and may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from holdpoint.access.desired import On

PUBLIC_OID: Final = 0
"""The grantee of access lists that is everybody."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an access list: ``grantee`` is a role's oid, 0 for PUBLIC.

    ``grantor`` is a name, empty where the owner granted it.
    """

    grantee: int
    privilege: str
    grantable: bool
    grantor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One object where the role has not what it must, or more than it may.

    ``entries`` are those of its access list that give the role anything. ``owner`` is an oid.
    ``reachable`` is False when the schema does not let the role in.
    """

    on: On
    schema: str
    name: str
    column: str = ""
    relkind: str = ""
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    owner: int = 0
    entries: tuple[Entry, ...] = ()
    reachable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A role that the role is a member of, straight or through others.

    ``via`` is the member by which it is reached (an oid). ``inherits``: its rights count without
    more; ``sets``: SET ROLE is possible; ``admin``: it may be given to anybody, the role itself
    too. ``grantors`` gave it to ``via``. ``powers`` are attributes that SET ROLE would bring.
    """

    oid: int
    name: str
    via: int
    inherits: bool
    sets: bool
    admin: bool
    grantors: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Another role that can act as the role; ``valid_until`` in seconds since 1970, None forever.

    ``acts`` is False for one that may only give it to others.
    """

    name: str
    login: bool
    valid_until: float | None
    expired: bool
    acts: bool
    comment: str
    grantors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of ``ALTER ROLE`` or ``ALTER DATABASE … SET``, as the catalog has it."""

    every_role: bool
    every_database: bool
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Owned:
    """Objects of one kind that a role owns: how many, and the first names."""

    owner: int
    in_database: bool
    kind: str
    number: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DefaultEntry:
    """What new objects of ``maker`` (in ``schema``; empty: anywhere) will give."""

    maker: str
    schema: str
    kind: str  # pg_default_acl.defaclobjtype: r S f T n L
    entry: Entry


@dataclass(frozen=True, slots=True)
class Grantable:
    """Privileges on one object that ``grantee`` (an oid) may give on; ``signature`` as SQL has it.

    ``column`` and ``signature`` are empty where they do not apply.
    """

    on: On
    schema: str
    name: str
    column: str
    signature: str
    grantee: int
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """A view, or a relation with rules, that leads to a table which the role may not use itself."""

    schema: str
    name: str
    relkind: str
    owner: str
    end_schema: str
    end_name: str
    reads: bool
    writes: bool


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A table whose policies do not hold for the role; ``enabled`` False when switched off."""

    schema: str
    name: str
    enabled: bool
    policies: int


@dataclass(frozen=True, slots=True)
class Other:
    """A right on something that no configuration grants; ``number`` objects, named by the first."""

    kind: str
    name: str
    entry: Entry
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that may not be called, or by which more can be done than the role may.

    ``wanted``: the grants name it. ``definer``: it runs as its owner; ``pathless``: and without a
    ``search_path`` of its own. ``kept``: initdb keeps it from PUBLIC. ``untrusted`` is a language
    that reaches the server's machine. ``signature`` is as SQL writes it.
    """

    schema: str
    name: str
    signature: str
    wanted: bool
    definer: bool
    kept: bool
    untrusted: str
    stable: bool
    owner: str
    owner_super: bool
    pathless: bool
    have: bool
    reachable: bool
    extension: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRights:
    """What the role may do with one database of the server."""

    name: str
    privileges: tuple[str, ...]
    entries: tuple[Entry, ...]
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """The role as ``pg_roles`` has it, and the server that was asked.

    ``powers`` are the attributes that no tier gives. ``reader`` is who asked.
    """

    oid: int
    name: str
    powers: tuple[str, ...]
    inherit: bool
    login: bool
    connection_limit: int
    expired: bool
    reader: str
    database: str
    in_recovery: bool
    version: int
    lo_compat: bool
    event_triggers: int
    reach: tuple[Reached, ...] = ()
    members: tuple[Member, ...] = ()
    settings: tuple[Setting, ...] = ()

    @property
    def superuser(self) -> bool:
        """Whether no check applies."""
        return "superuser" in self.powers

    def named(self, oid: int) -> str:
        """The name of a role that is reached; empty for PUBLIC."""
        if oid == self.oid:
            return self.name
        return next((each.name for each in self.reach if each.oid == oid), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a role must have, object by object, and what it may have on any (``usual``).

    All are masks as ``effective_queries`` numbers them. ``functions`` must be callable.
    """

    tables: Mapping[tuple[str, str], int] = field(default_factory=dict)
    columns: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    sequences: Mapping[tuple[str, str], int] = field(default_factory=dict)
    schemas: Mapping[str, int] = field(default_factory=dict)
    functions: frozenset[tuple[str, str]] = frozenset()
    usual_tables: int = 0
    usual_sequences: int = 0
    usual_schemas: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """Everything that was asked about one role in one database."""

    role: RoleFacts
    differences: tuple[Difference, ...]
    functions: tuple[Function, ...]
    databases: tuple[DatabaseRights, ...]
    owned: tuple[Owned, ...]
    owned_elsewhere: tuple[tuple[str, int], ...]
    defaults: tuple[DefaultEntry, ...]
    grantable: tuple[Grantable, ...]
    leads: tuple[Lead, ...]
    unprotected: tuple[Unprotected, ...]
    others: tuple[Other, ...]
