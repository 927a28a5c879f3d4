"""What the configuration asks of a database: roles, and the rights that each should hold.

``desired_roles`` says which roles a target's tiers need; ``resolve.rights_of`` says which rights a
list of grants means in a database as it is now. Both are pure: what it has comes as ``Objects``.

A tier with grants has one role that holds them (``holder``). Who signs in is that role itself, or
members of it: the users of the tier's URLs and, with ``{agent}`` in the tier's ``role``, one role
for each agent that may use it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from holdpoint.model.grants import Grant
from holdpoint.model.limits import NAME_CHARS_MAX, PROBES_MAX, ROLE_CONNECTIONS
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.upstream import UpstreamUrl

AGENT: Final = "{agent}"
PUBLIC: Final = ""
"""The grantee that is everybody; no role has the empty name."""

_PATTERN: Final = re.compile(r"[*?\[]")
_READ_ONLY: Final = "default_transaction_read_only"
CATALOG_CONNECTIONS: Final = 2  # the gate's picture of the catalog, and doctor or verify beside it

UrlOf = Callable[[str, str], UpstreamUrl]
"""Resolves a source of a URL and one of its password (may be empty); raises ``ValueError``."""


class On(StrEnum):
    """What a right is on. Rights on the last group are only ever taken away."""

    DATABASE = "database"
    SCHEMA = "schema"
    TABLE = "table"  # views, materialized views, partitioned and foreign tables too
    SEQUENCE = "sequence"
    FUNCTION = "function"  # procedures and aggregates too
    TYPE = "type"
    LANGUAGE = "language"
    WRAPPER = "foreign data wrapper"
    SERVER = "foreign server"
    LARGE_OBJECT = "large object"
    TABLESPACE = "tablespace"
    PARAMETER = "parameter"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One privilege on one object, or on one column of it, as PostgreSQL's ACLs hold them.

    ``schema`` is empty for what stands in none. ``name`` is as the catalog has it; a function's is
    ``f(integer, text)`` with the types as ``format_type`` writes them. ``privilege`` is in lower
    case, as ``aclexplode`` names it (``temporary``, not ``temp``).
    """

    on: On
    schema: str
    name: str
    privilege: str
    column: str = ""

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True, order=True)
class DefaultRight:
    """A right that roles get on what ``owner`` makes in ``schema`` (empty: anywhere)."""

    owner: str
    schema: str
    on: On
    privilege: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRole:
    """One role as the configuration wants it; superuser, bypassrls and their like are never wanted.

    ``grants`` are what it holds itself; who signs in as another role than the tier's has them
    through ``member_of``. ``admin_of`` is a role that it may give to others (it mints) without
    having it. ``settings`` are exact: what else is set for the role is taken away. ``password`` and
    ``url`` are what the gate signs in with; the password is in neither ``repr`` nor any plan.
    """

    name: str
    tier: str
    access: AccessLevel
    login: bool
    createrole: bool = False
    connection_limit: int = -1
    settings: tuple[tuple[str, str], ...] = ()
    grants: tuple[Grant, ...] = ()
    member_of: str = ""
    admin_of: str = ""
    agent: str = ""
    url: UpstreamUrl | None = field(default=None, repr=False)

    @property
    def inherits(self) -> bool:
        """Whether it has the rights of its roles without SET ROLE."""
        return not self.admin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The roles of a target, those that hold grants before their members.

    ``problems`` are states of the configuration that must be mended before anything is done;
    ``notes`` are what people should know. ``siblings`` are roles of tiers that were not asked for.
    """

    target: str
    roles: tuple[DesiredRole, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    siblings: frozenset[str] = frozenset()

    def role(self, name: str) -> DesiredRole | None:
        """The role of that name."""
        return next((each for each in self.roles if each.name == name), None)

    def grants_of(self, role: DesiredRole) -> tuple[Grant, ...]:
        """What a role should be able to do, by itself and through the role it is a member of."""
        holder = self.role(role.member_of) if role.member_of else None
        return role.grants if holder is None else (*role.grants, *holder.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Names of what a database has, outside the server's own schemas.

    ``tables``, ``sequences`` and ``functions`` map a schema to names (of functions as in
    ``Right``). ``columns`` has the columns of tables that column grants name. ``owned`` maps a
    table, as (schema, name), to the sequences that its columns' defaults take numbers from.
    ``makers`` maps a schema to the roles that own tables in it; where it has none yet, its owner.
    """

    database: str
    version: int
    tables: Mapping[str, frozenset[str]]
    sequences: Mapping[str, frozenset[str]]
    functions: Mapping[str, frozenset[str]]
    schemas: frozenset[str]
    columns: Mapping[tuple[str, str], frozenset[str]]
    owned: Mapping[tuple[str, str], tuple[tuple[str, str], ...]]
    makers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What grants mean in a database: ``missing`` says, in words, what of them it does not have."""

    rights: frozenset[Right] = frozenset()
    defaults: frozenset[DefaultRight] = frozenset()
    missing: tuple[str, ...] = ()


def holder_name(target: Target, tier: Tier) -> str:
    """Return the name of the role that holds a tier's grants."""
    if tier.role and AGENT not in tier.role:
        return tier.role
    return f"holdpoint_{target.name}_{tier.name}"


def desired_roles(target: Target, url_of: UrlOf, tiers: Sequence[str] = ()) -> Desired:
    """Return the roles that a target's tiers need; of those named, or of all that have grants."""
    found = _Roles(target, url_of)
    for tier in target.tiers:
        if tier.grants is not None and (not tiers or tier.name in tiers):
            found.add_tier(tier)
    for name in tiers:
        known = target.tier(name) if name else None
        if known is None:
            found.problems.append(f"target `{target.name}` has no tier `{name}`")
        elif known.grants is None:
            found.problems.append(f"tier `{name}` says nothing of grants; give it `grants`")
    found.check_sharing()
    return Desired(
        target=target.name,
        roles=tuple(found.roles),
        problems=tuple(found.problems),
        notes=tuple(found.notes),
        siblings=frozenset(found.siblings),
    )


def shared_roles(desired: Desired, other: Desired) -> list[str]:
    """Say which roles two targets on one server share: a server has its roles once for all."""
    names = {each.name for each in other.roles} | other.siblings
    return [
        f"targets `{desired.target}` and `{other.target}` share the role `{each.name}` of one "
        "server: what one target asks of it, the other would undo; give each a role of its own"
        for each in desired.roles
        if each.name in names
    ]


class _Roles:
    """Collects the roles of one target."""

    def __init__(self, target: Target, url_of: UrlOf) -> None:
        self.roles: list[DesiredRole] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.siblings: set[str] = set()
        self._target = target
        self._url_of = url_of

    def add_tier(self, tier: Tier) -> None:
        """Add the role that holds the grants, and those that sign in."""
        holder = holder_name(self._target, tier)
        users = self._users(tier)
        mints = tier.mint is not None
        if mints and not tier.role and users:
            holder = next(iter(users))  # what minted roles are members of where `role` says nothing
        limit = connection_limit(tier, len(agents_of(tier)[0]))
        own = users.pop(holder, None)
        self._add(
            DesiredRole(
                name=holder,
                tier=tier.name,
                access=tier.access,
                login=own is not None,
                connection_limit=limit if own is not None else -1,
                # Minted roles start with what their role does.
                settings=settings_of(tier) if own is not None or mints else (),
                grants=tier.grants or (),
                url=own,
            )
        )
        for user, url in sorted(users.items()):
            self._add(
                DesiredRole(
                    name=user,
                    tier=tier.name,
                    access=tier.access,
                    login=True,
                    connection_limit=limit,
                    settings=settings_of(tier),
                    member_of=holder,
                    url=url,
                )
            )
        if mints and AGENT in tier.role:
            self.problems.append(
                f"tier `{tier.name}`: `mint` makes a role for each session, and `{AGENT}` in "
                "`role` asks for one for each agent; leave out one"
            )
        elif AGENT in tier.role:
            self._add_agents(tier, holder)
        if tier.mint is not None:
            self._add_minter(tier, tier.mint.url_source, holder)

    def _users(self, tier: Tier) -> dict[str, UpstreamUrl]:
        """The users of the tier's URLs; those with an agent's name in them are not roles."""
        users: dict[str, UpstreamUrl] = {}
        for source in (tier.url_source, *tier.more_sources):
            url = self._resolve(tier, source)
            if url is not None and AGENT not in url.user:
                users.setdefault(url.user, url)
        return users

    def _resolve(self, tier: Tier, source: str) -> UpstreamUrl | None:
        try:
            url = self._url_of(source, tier.password_source)
        except ValueError as error:
            self.problems.append(f"tier `{tier.name}`: {error}")
            return None
        if not url.user:
            self.problems.append(f"tier `{tier.name}`: the URL names no user; write one into it")
            return None
        return url

    def _add_agents(self, tier: Tier, holder: str) -> None:
        """One role for each agent that is named."""
        named, patterns = agents_of(tier)
        for pattern in patterns:
            self.notes.append(
                f"tier `{tier.name}`: agents like `{pattern}` have no role yet, and none can be "
                "made ahead; use `mint`, or name the agents"
            )
        if not named and not patterns:
            self.notes.append(
                f"tier `{tier.name}`: `role` has `{AGENT}`, but no agent is named in `agents`"
            )
        url = self._resolve(tier, tier.url_source)
        own = url if url is not None and AGENT in url.user else None
        if named and own is None:
            self.notes.append(
                f"tier `{tier.name}`: the URL's user has no `{AGENT}`, so no password is known for "
                "the agents' own roles; nobody signs in as them until one is set"
            )
        for agent in named:
            self._add(
                DesiredRole(
                    name=tier.role.replace(AGENT, agent),
                    tier=tier.name,
                    access=tier.access,
                    login=True,
                    connection_limit=connection_limit(tier, 1),
                    settings=settings_of(tier),
                    member_of=holder,
                    agent=agent,
                    url=own,
                )
            )

    def _add_minter(self, tier: Tier, source: str, holder: str) -> None:
        """The role that makes roles for one session each."""
        url = self._resolve(tier, source)
        if url is None:
            return
        known = next((each for each in self.roles if each.name == url.user), None)
        if known is not None and not known.admin_of:
            self.problems.append(
                f"tier `{tier.name}` mints as `{url.user}`, which agents sign in as; "
                "give `mint` a role of its own"
            )
            return
        self._add(
            DesiredRole(
                name=url.user,
                tier=tier.name,
                access=tier.access,
                login=True,
                createrole=True,
                admin_of=holder,
                url=url,
            )
        )

    def _add(self, role: DesiredRole) -> None:
        """Add a role that no other tier has; names are the server's, so in its length."""
        if len(role.name.encode()) > NAME_CHARS_MAX:
            self.problems.append(
                f"tier `{role.tier}`: `{role.name}` is longer than the {NAME_CHARS_MAX} bytes of "
                "a role's name; give the tier a shorter `role`"
            )
        if role.name.startswith("pg_") or role.name in ("public", "none"):
            self.problems.append(
                f"tier `{role.tier}`: `{role.name}` is a name that the server keeps for itself"
            )
        known = next((each for each in self.roles if each.name == role.name), None)
        if known is not None:
            self.problems.append(
                f"tiers `{known.tier}` and `{role.tier}` share the role `{role.name}`: what one "
                "is given, the other would have too; give each tier a role of its own"
            )
            return
        self.roles.append(role)

    def check_sharing(self) -> None:
        """Find roles that a tier outside this plan uses, and that it would be changed with."""
        planned = {each.tier for each in self.roles}
        mine = {each.name: each.tier for each in self.roles}
        for tier in self._target.tiers:
            if tier.name in planned:
                continue
            if tier.grants is not None:
                self.siblings.add(holder_name(self._target, tier))
            for source in (tier.url_source, *tier.more_sources):
                try:
                    user = self._url_of(source, tier.password_source).user
                except ValueError as error:
                    self.notes.append(f"tier `{tier.name}` was not looked at: {error}")
                    continue
                self.siblings.add(user)
                if user in mine:
                    self.problems.append(
                        f"tiers `{mine[user]}` and `{tier.name}` share the role `{user}`: "
                        f"`{tier.name}` would lose what the grants do not name; give each tier a "
                        "role of its own"
                    )


def agents_of(tier: Tier) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the agents that a tier's allowances name, and the patterns among them, sorted."""
    names = {agent for allowance in tier.allowances for agent in allowance.agents}
    patterns = {name for name in names if _PATTERN.search(name)}
    return tuple(sorted(names - patterns)), tuple(sorted(patterns))


def connection_limit(tier: Tier, agents: int) -> int:
    """Return how many connections a role of the tier may have: its sessions, and the gate's own.

    Without a budget of sessions, or without names of agents, ``ROLE_CONNECTIONS``.
    """
    if tier.budget.sessions is None or not agents:
        return ROLE_CONNECTIONS
    return tier.budget.sessions * agents + PROBES_MAX + CATALOG_CONNECTIONS


def settings_of(tier: Tier) -> tuple[tuple[str, str], ...]:
    """Return what is set for a role that signs in to a tier, sorted by name.

    The tier's own ``settings`` count before those of its budget; the read-only state before both.
    """
    found: dict[str, str] = {}
    for name, seconds in (
        ("statement_timeout", tier.budget.statement_s),
        ("lock_timeout", tier.budget.lock_s),
        ("idle_in_transaction_session_timeout", tier.budget.idle_in_transaction_s),
    ):
        if seconds is not None:
            found[name] = f"{max(1, round(seconds * 1000))}ms"  # 0 would mean no limit
    found.update((name.lower(), value) for name, value in tier.settings)
    if tier.access is AccessLevel.READ_ONLY:
        found[_READ_ONLY] = "on"
    return tuple(sorted(found.items()))
