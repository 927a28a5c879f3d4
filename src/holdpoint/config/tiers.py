"""The tiers of a target: where they lead, who may use them, what bounds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Final
from zoneinfo import ZoneInfo

from holdpoint.config.budgets import read_budget, read_patterns
from holdpoint.config.grants import read_grants
from holdpoint.config.locate import Path
from holdpoint.config.names import is_possible
from holdpoint.config.problems import Notes
from holdpoint.config.quantities import read_duration, read_limit_s
from holdpoint.config.schema import AllowTable, ApproveTable, MintTable, TierTable, checked
from holdpoint.config.session_settings import read_settings
from holdpoint.config.times import moment, read_hours
from holdpoint.config.urls import (
    SCHEMES,
    UrlError,
    check_password_source,
    check_source,
    parse_url,
)
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.limits import NAME_CHARS_MAX, ROLE_MINTED_VALID_S
from holdpoint.model.target import AccessLevel, Allowance, Mint, Tier, WhenLagging
from holdpoint.policy.compile import nearest

_RESERVED_ROLES: Final = frozenset({"public", "none"})  # CREATE ROLE refuses them, quoted or not


NeedReader = Callable[[ApproveTable, Path], ApprovalNeed]
"""Reads ``approve``: it knows the groups."""


def read_tier(
    name: str,
    table: TierTable,
    zone: ZoneInfo | None,
    path: Path,
    base: FilePath,
    notes: Notes,
    needs: NeedReader,
) -> Tier:
    """One tier; an access level that is not known is noted and taken for the least."""
    access = _read_access(table.access, (*path, "access"), notes)
    urls = _read_urls(table, access, path, base, notes)
    if table.probe_url:
        check_url(table.probe_url, (*path, "probe_url"), notes)
    if table.environment is not None and not table.environment.strip():
        notes.problem((*path, "environment"), "the environment is empty", "leave it out")
    lag_max_s = read_limit_s(table.lag_over, (*path, "lag_over"), notes)
    return Tier(
        name=name,
        access=access,
        environment=table.environment or "",
        url_source=urls[0],
        more_sources=urls[1:],
        password_source=_read_password(table, path, base, notes),
        probe_source=anchored(table.probe_url, base),
        allowances=_read_allowances(table, zone, path, notes),
        replica=_read_replica(table, access, path, notes),
        lag_max_s=lag_max_s,
        when_lagging=_read_when_lagging(table, path, notes),
        budget=read_budget(table.budget, (*path, "budget"), notes),
        settings=read_settings(table.settings, (*path, "settings"), notes),
        mint=_read_mint(table, access, path, base, notes),
        role=_read_role(table, (*path, "role"), notes),
        grants=read_grants(table, access, path, notes),
        need=needs(table.approve, (*path, "approve")) if table.approve is not None else None,
    )


def check_url(source: str, path: Path, notes: Notes) -> None:
    """Note a source that cannot be used, and one that holds a secret."""
    try:
        check_source(source)
        if source.startswith(SCHEMES) and parse_url(source).password:
            words = "the URL holds a password"
            notes.advise(path, words, "take it from `env:NAME` or `file:PATH`")
    except UrlError as error:
        notes.problem(path, str(error))


def anchored(source: str, base: FilePath) -> str:
    """The source with a relative path made absolute: relative to the configuration."""
    if source.startswith("file:"):
        return f"file:{base / source[5:]}"
    return source


def _read_access(word: str, path: Path, notes: Notes) -> AccessLevel:
    """The access level."""
    levels = [level.value for level in AccessLevel]
    if word not in levels:
        notes.problem(path, f"unknown access level `{word}`", nearest(word, levels))
        return AccessLevel.READ_ONLY
    return AccessLevel(word)


def _read_urls(
    table: TierTable, access: AccessLevel, path: Path, base: FilePath, notes: Notes
) -> tuple[str, ...]:
    """The sources of the tier's URLs, at least one."""
    place = (*path, "url")
    alone = len(table.url) == 1
    for at, source in enumerate(table.url):
        check_url(source, place if alone else (*place, at), notes)
        if source in table.url[:at]:
            notes.problem((*place, at), "the same URL stands twice")
    if not table.url:
        notes.problem(place, "`url` is an empty list", "name at least one")
        return ("",)
    if not alone and access is not AccessLevel.READ_ONLY:
        words = f"several URLs, and access `{access.value}`: what is written goes to one server"
        notes.problem(place, words, "give the primary's, or a name that follows it")
    return tuple(anchored(source, base) for source in table.url)


def _read_password(table: TierTable, path: Path, base: FilePath, notes: Notes) -> str:
    """The source of the password; a password itself is never repeated."""
    source, place = table.password, (*path, "password")
    if source is None:
        return ""
    try:
        check_password_source(source)
    except UrlError as error:
        notes.problem(place, str(error))
        return ""
    if any(_has_password(each) for each in table.url):
        notes.problem(place, "the URL holds a password as well", "give one of them")
    return anchored(source, base)


def _has_password(source: str) -> bool:
    try:
        return source.startswith(SCHEMES) and bool(parse_url(source).password)
    except UrlError:
        return False


def _read_allowances(
    table: TierTable, zone: ZoneInfo | None, path: Path, notes: Notes
) -> tuple[Allowance, ...]:
    """Who may use the tier; an allowance that says nothing would let everyone in."""
    found: list[Allowance] = []
    agents = read_patterns(table.agents, (*path, "agents"), notes)
    if agents:
        found.append(Allowance(agents=agents))
    place: Path = (*path, "allow")
    if table.allow is None:
        return tuple(found)
    if not isinstance(table.allow, list) or not table.allow:
        words = 'must be a list of tables such as `{ agents = ["robin"] }`, and not empty'
        notes.problem(place, words, "leave it out to allow every agent")
        return tuple(found)
    for at, member in enumerate(table.allow):
        allowance = _read_allowance(member, zone, (*place, at), notes)
        if allowance is not None:
            found.append(allowance)
    return tuple(found)


def _read_allowance(
    value: object, zone: ZoneInfo | None, path: Path, notes: Notes
) -> Allowance | None:
    """One member of ``allow``."""
    table, whole = checked(AllowTable, value, path, notes)
    if table is None or not whole:
        return None
    start = moment(table.from_, zone, ends=False) if table.from_ is not None else None
    end = moment(table.until, zone, ends=True) if table.until is not None else None
    if start is not None and end is not None and end <= start:
        notes.problem(path, "`until` is not after `from`: nobody could ever use it")
    allowance = Allowance(
        agents=read_patterns(table.agents, (*path, "agents"), notes),
        tasks=read_patterns(table.tasks, (*path, "tasks"), notes),
        hours=read_hours(table.hours, (*path, "hours"), notes),
        start=start,
        end=end,
    )
    if allowance == Allowance():
        words = "says nothing, and so would allow every agent at any time"
        notes.problem(path, words, "say whom or when, or leave out `agents` and `allow`")
    return allowance


def _read_replica(table: TierTable, access: AccessLevel, path: Path, notes: Notes) -> bool | None:
    """Whether the tier is a replica; what only replicas have says so as well."""
    place = (*path, "replica")
    if access is not AccessLevel.READ_ONLY:
        if table.replica:
            words = f"a replica cannot be written, and the tier's access is `{access.value}`"
            notes.problem(place, words, 'write `access = "read-only"`')
        elif table.lag_over is not None:
            words = f"a tier with access `{access.value}` is a primary, which is never behind"
            notes.problem((*path, "lag_over"), words, "leave it out")
        return table.replica
    if table.replica is False and table.lag_over is not None:
        words = "`replica = false` and `lag_over` contradict each other"
        notes.problem((*path, "lag_over"), words, "a primary is never behind; leave out one")
    if table.replica is None and (table.lag_over is not None or len(table.url) > 1):
        return True
    return table.replica


def _read_when_lagging(table: TierTable, path: Path, notes: Notes) -> WhenLagging:
    """What becomes of sessions while replicas are behind."""
    word, place = table.when_lagging, (*path, "when_lagging")
    if word is None:
        return WhenLagging.WAIT
    if table.lag_over is None:
        notes.problem(place, "`when_lagging` needs `lag_over`", "say how far behind is too far")
    words = [each.value for each in WhenLagging]
    if word not in words:
        notes.problem(place, f"unknown answer `{word}`", nearest(word, words))
        return WhenLagging.WAIT
    return WhenLagging(word)


def _read_mint(
    table: TierTable, access: AccessLevel, path: Path, base: FilePath, notes: Notes
) -> Mint | None:
    """Roles for one session each; what one of them creates would keep it from being dropped."""
    place: Path = (*path, "mint")
    if table.mint is None:
        return None
    if access not in (AccessLevel.READ_ONLY, AccessLevel.READ_WRITE):
        words = f"minted roles are not for tiers that create objects (access `{access.value}`)"
        notes.problem(place, words, "what a role has created must not go with its session")
    inner, whole = checked(MintTable, table.mint, place, notes)
    if inner is None or not whole:
        return None
    check_url(inner.url, (*place, "url"), notes)
    valid_s = read_duration(inner.valid, (*place, "valid"), notes, ROLE_MINTED_VALID_S)
    return Mint(url_source=anchored(inner.url, base), valid_s=valid_s)


def _read_role(table: TierTable, path: Path, notes: Notes) -> str:
    """The database role of the grants."""
    role = table.role
    if role is None:
        return ""
    if not is_possible(role):
        words = f"`{role}` cannot name a role"
        notes.problem(path, words, f"names have 1 to {NAME_CHARS_MAX} bytes")
    elif role in _RESERVED_ROLES or role.startswith("pg_"):
        notes.problem(path, f"the role `{role}` is the server's own", "make one for the tier")
    elif "{agent}" in role and not table.probe_url:
        words = "each agent has a role of its own, and none of them stands for the tier"
        notes.problem(path, words, "give `probe_url`: the gate looks at the catalog as its role")
    return role
