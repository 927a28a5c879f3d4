"""Targets, tiers and freezes from their tables."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Final
from zoneinfo import ZoneInfo

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.config.quantities import read_duration
from holdpoint.config.schema import FreezeTable, TargetTable, TierTable, checked
from holdpoint.config.tiers import NeedReader, anchored, check_url, read_tier
from holdpoint.config.times import moment, read_hours, read_zone
from holdpoint.model.limits import EXACT_ROWS_MAX_S
from holdpoint.model.target import Freeze, Target, Tier
from holdpoint.policy.compile import nearest

ENGINES: Final = ("postgres",)
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
NAME_WORDS: Final = "a name has letters, digits, `_`, `-` and `.`, at most 63"


def read_targets(
    value: object, base: FilePath, notes: Notes, needs: NeedReader
) -> tuple[Target, ...]:
    """All targets that can be made out."""
    if value is None:
        notes.problem((), "there is no target", "add `[targets.NAME]` with a tier")
        return ()
    if not isinstance(value, dict) or not value:
        notes.problem(("targets",), "must be tables such as `[targets.shop]`")
        return ()
    targets = [_read_target(name, table, base, notes, needs) for name, table in value.items()]
    return tuple(target for target in targets if target is not None)


def _read_target(
    name: str, value: object, base: FilePath, notes: Notes, needs: NeedReader
) -> Target | None:
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
    if table.admin_url:
        check_url(table.admin_url, (*path, "admin_url"), notes)
    zone = read_zone(table.timezone, (*path, "timezone"), notes)
    return Target(
        name=name,
        engine=table.engine,
        environment=table.environment,
        timezone=table.timezone if zone is not None else "UTC",
        business_hours=read_hours(table.business_hours, (*path, "business_hours"), notes),
        freezes=_read_freezes(table.freezes, zone, (*path, "freezes"), notes),
        tiers=_read_tiers(name, table.tiers, zone, base, notes, needs),
        exact_rows_s=_read_exact(table.exact_rows, (*path, "exact_rows"), notes),
        read_cost_over=table.read_cost_over,
        admin_source=anchored(table.admin_url, base),
    )


def _read_exact(text: str, path: Path, notes: Notes) -> float | None:
    """How long rows may be counted; None where they are not."""
    if not text:
        return None
    budget_s = read_duration(text, path, notes, EXACT_ROWS_MAX_S)
    if budget_s > EXACT_ROWS_MAX_S:
        words = f"counting rows for `{text}` keeps an agent waiting too long"
        notes.problem(path, words, f"at most {EXACT_ROWS_MAX_S:g}s; `2s` is usual")
    return budget_s


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
        start = moment(table.start, zone, ends=False)
        end = moment(table.end, zone, ends=True)
        if end <= start:
            notes.problem((*path, at), f"freeze `{table.name}` ends before it starts")
        freezes.append(Freeze(name=table.name, start=start, end=end))
    return tuple(freezes)


def _read_tiers(
    target: str,
    value: object,
    zone: ZoneInfo | None,
    base: FilePath,
    notes: Notes,
    needs: NeedReader,
) -> tuple[Tier, ...]:
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
            tiers.append(read_tier(name, table, zone, place, base, notes, needs))
    return tuple(tiers)
