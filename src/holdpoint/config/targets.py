"""Targets, tiers and freezes from their tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path as FilePath
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.config.rules import read_duration
from holdpoint.config.schema import FreezeTable, TargetTable, TierTable, checked
from holdpoint.config.urls import SCHEMES, UrlError, check_source, parse_url
from holdpoint.model.grants import Grant, GrantedPrivilege
from holdpoint.model.limits import EXACT_ROWS_MAX_S
from holdpoint.model.target import AccessLevel, Allowance, BusinessHours, Freeze, Target, Tier
from holdpoint.policy.calendar import read_business_hours
from holdpoint.policy.compile import nearest

ENGINES: Final = ("postgres",)
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
NAME_WORDS: Final = "a name has letters, digits, `_`, `-` and `.`, at most 63"

# Privileges of tables as PostgreSQL names them, and how many of them an access level may be given.
_READS: Final = frozenset({"select"})
_WRITES: Final = _READS | {"insert", "update", "delete"}
_ALL: Final = _WRITES | {"truncate", "references", "trigger", "maintain"}
PRIVILEGES: Final[Mapping[AccessLevel, frozenset[str]]] = {
    AccessLevel.READ_ONLY: _READS,
    AccessLevel.READ_WRITE: _WRITES,
    AccessLevel.FULL_NO_DROP: _ALL - {"truncate"},
    AccessLevel.OWNER: _ALL,
}


def read_targets(value: object, base: FilePath, notes: Notes) -> tuple[Target, ...]:
    """All targets that can be made out."""
    if value is None:
        notes.problem((), "there is no target", "add `[targets.NAME]` with a tier")
        return ()
    if not isinstance(value, dict) or not value:
        notes.problem(("targets",), "must be tables such as `[targets.shop]`")
        return ()
    targets = [_read_target(name, table, base, notes) for name, table in value.items()]
    return tuple(target for target in targets if target is not None)


def _read_target(name: str, value: object, base: FilePath, notes: Notes) -> Target | None:
    """One target, with as much of it as can be made out."""
    path: Path = ("targets", name)
    if not NAME.fullmatch(name):
        notes.problem(path, f"`{name}` cannot name a target", NAME_WORDS)
    table, _ = checked(TargetTable, value, path, notes)
    if table is None:
        return None
    if table.engine not in ENGINES:
        words = f"unknown engine `{table.engine}`"
        notes.problem((*path, "engine"), words, nearest(table.engine, ENGINES))
    if not table.environment.strip():
        notes.problem((*path, "environment"), "the environment is empty")
    zone = _read_zone(table.timezone, (*path, "timezone"), notes)
    return Target(
        name=name,
        engine=table.engine,
        environment=table.environment,
        timezone=table.timezone if zone is not None else "UTC",
        business_hours=_read_hours(table.business_hours, (*path, "business_hours"), notes),
        freezes=_read_freezes(table.freezes, zone, (*path, "freezes"), notes),
        tiers=_read_tiers(name, table.tiers, base, notes),
        exact_rows_s=_read_budget(table.exact_rows, (*path, "exact_rows"), notes),
        read_cost_over=table.read_cost_over,
    )


def _read_budget(text: str, path: Path, notes: Notes) -> float | None:
    """How long rows may be counted; None where they are not."""
    if not text:
        return None
    budget_s = read_duration(text, path, notes, EXACT_ROWS_MAX_S)
    if budget_s > EXACT_ROWS_MAX_S:
        words = f"counting rows for `{text}` keeps an agent waiting too long"
        notes.problem(path, words, f"at most {EXACT_ROWS_MAX_S:g}s; `2s` is usual")
    return budget_s


def _read_zone(name: str, path: Path, notes: Notes) -> ZoneInfo | None:
    """The time zone, which must be one of the IANA database."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # not found, or not even the name of a file
        hint = nearest(name, available_timezones()) or "use a name such as `Europe/Berlin`"
        notes.problem(path, f"unknown time zone `{name}`", hint)
        return None


def _read_hours(text: str, path: Path, notes: Notes) -> BusinessHours | None:
    """Business hours, or none."""
    if not text:
        return None
    try:
        return read_business_hours(text)
    except ValueError as error:
        notes.problem(path, f"cannot read `{text}`", str(error))
        return None


def _read_freezes(
    value: object, zone: ZoneInfo | None, path: Path, notes: Notes
) -> tuple[Freeze, ...]:
    """All freezes of a target."""
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.problem(path, "must be a list of tables, `[[targets.NAME.freezes]]`")
        return ()
    freezes: list[Freeze] = []
    for at, member in enumerate(value):
        table, whole = checked(FreezeTable, member, (*path, at), notes)
        if table is None or not whole:
            continue
        start = _moment(table.start, zone, ends=False)
        end = _moment(table.end, zone, ends=True)
        if end <= start:
            notes.problem((*path, at), f"freeze `{table.name}` ends before it starts")
        freezes.append(Freeze(name=table.name, start=start, end=end))
    return tuple(freezes)


def _moment(value: datetime | date, zone: ZoneInfo | None, *, ends: bool) -> datetime:
    """A moment in UTC: without an offset by the target's clock; a date is its whole day."""
    if not isinstance(value, datetime):
        value = datetime.combine(
            value + timedelta(days=1 if ends else 0), time(), tzinfo=zone or UTC
        )
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone or UTC)
    return value.astimezone(UTC)


def _read_tiers(target: str, value: object, base: FilePath, notes: Notes) -> tuple[Tier, ...]:
    """All tiers of a target, in the order of the file."""
    path: Path = ("targets", target, "tiers")
    if value is None or value == {}:
        words = f"target `{target}` has no tier"
        notes.problem(path, words, f"add `[targets.{target}.tiers.NAME]` with `access` and `url`")
        return ()
    if not isinstance(value, dict):
        notes.problem(path, f"must be tables such as `[targets.{target}.tiers.replica]`")
        return ()
    tiers: list[Tier] = []
    for name, member in value.items():
        place = (*path, name)
        if not NAME.fullmatch(name):
            notes.problem(place, f"`{name}` cannot name a tier", NAME_WORDS)
        table, _ = checked(TierTable, member, place, notes)
        if table is not None:
            tiers.append(_read_tier(name, table, place, base, notes))
    return tuple(tiers)


def _read_tier(name: str, table: TierTable, path: Path, base: FilePath, notes: Notes) -> Tier:
    """One tier; an access level that is not known is noted and taken for the least."""
    _check_url(table.url, (*path, "url"), notes)
    if table.probe_url:
        _check_url(table.probe_url, (*path, "probe_url"), notes)
    access = _read_access(table.access, (*path, "access"), notes)
    return Tier(
        name=name,
        access=access,
        url_source=_anchored(table.url, base),
        allowances=(Allowance(agents=tuple(table.agents)),) if table.agents else (),
        grants=_read_grants(table, access, path, notes) if table.grants else None,
        probe_source=_anchored(table.probe_url, base),
    )


def _check_url(source: str, path: Path, notes: Notes) -> None:
    """Note a source that cannot be used, and one that holds a secret."""
    try:
        check_source(source)
        if source.startswith(SCHEMES) and parse_url(source).password:
            words = "the URL holds a password"
            notes.advise(path, words, "take it from `env:NAME` or `file:PATH`")
    except UrlError as error:
        notes.problem(path, str(error))


def _read_access(word: str, path: Path, notes: Notes) -> AccessLevel:
    """The access level."""
    levels = [level.value for level in AccessLevel]
    if word not in levels:
        notes.problem(path, f"unknown access level `{word}`", nearest(word, levels))
        return AccessLevel.READ_ONLY
    return AccessLevel(word)


def _anchored(source: str, base: FilePath) -> str:
    """The source with a relative path made absolute: relative to the configuration."""
    if source.startswith("file:"):
        return f"file:{base / source[5:]}"
    return source


def _read_grants(
    table: TierTable, access: AccessLevel, path: Path, notes: Notes
) -> tuple[Grant, ...]:
    """What the tier's role may do, no more than its access level gives."""
    grants: list[Grant] = []
    known: Any = sorted(_ALL)
    for name, words in table.grants.items():
        place = (*path, "grants", name)
        for word in words:
            if word not in known:
                notes.problem(place, f"unknown privilege `{word}`", nearest(word, known))
            elif table.access == access.value and word not in PRIVILEGES[access]:
                given = ", ".join(f"`{each}`" for each in sorted(PRIVILEGES[access]))
                words_ = f"`{word}` is more than access `{access.value}` gives"
                notes.problem(place, words_, f"it gives {given}")
        schema, dot, bare = name.rpartition(".")
        privileges = tuple(GrantedPrivilege(word) for word in words)
        grants.append(Grant(schema if dot else "public", bare, privileges))
    return tuple(grants)
