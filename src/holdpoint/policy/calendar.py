"""Business hours and freezes: reading them, and whether a moment falls into them."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from holdpoint.model.target import BusinessHours, Freeze, Target

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHAPE: Final = re.compile(r"(?P<days>\S+)\s+(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})")


def read_business_hours(text: str) -> BusinessHours:
    """Read ``Mon-Fri 08:00-18:00`` or ``Mon,Wed,Fri 22:00-06:00``.

    Hours whose end is not after their start run into the next day; equal ones last 24 hours.
    ``24:00`` is midnight at the end. Raises ``ValueError`` with words for people.
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise ValueError("write days and hours as in `Mon-Fri 08:00-18:00`")
    days: set[int] = set()
    for part in found["days"].lower().split(","):
        days |= _read_days(part)
    return BusinessHours(
        days=frozenset(days), start=_read_time(found["start"]), end=_read_time(found["end"])
    )


def hours_words(hours: BusinessHours) -> str:
    """``Mon-Fri 08:00-18:00``: what ``read_business_hours`` reads as the same hours."""
    runs: list[list[int]] = []
    for day in sorted(hours.days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    names = [
        DAYS[run[0]].title() + (f"-{DAYS[run[-1]].title()}" if run[1:] else "") for run in runs
    ]
    end = "24:00" if hours.end == time() else f"{hours.end:%H:%M}"
    return f"{','.join(names)} {hours.start:%H:%M}-{end}"


def _read_days(part: str) -> set[int]:
    """``mon`` or ``fri-mon``, as numbers from 0 = Monday."""
    first, dash, last = part.partition("-")
    for name in (first, last) if dash else (first,):
        if name not in DAYS:
            raise ValueError(f"`{name}` is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun")
    start = DAYS.index(first)
    length = (DAYS.index(last) - start) % 7 if dash else 0
    return {(start + step) % 7 for step in range(length + 1)}


def _read_time(text: str) -> time:
    """``08:00``; ``24:00`` is midnight."""
    hour, minute = (int(part) for part in text.split(":"))
    if (hour, minute) == (24, 0):
        return time(0, 0)
    if hour > 23 or minute > 59:
        raise ValueError(f"`{text}` is no time of day; times run from 00:00 to 24:00")
    return time(hour, minute)


def in_business_hours(target: Target, at: datetime) -> bool:
    """Whether the moment is in the target's business hours, by the clock on its wall.

    A target that names no hours is always in them: nobody said when it is quiet. Raises
    ``ValueError`` for a moment without a time zone and for an unknown zone.
    """
    hours = target.business_hours
    return hours is None or within(hours, at, ZoneInfo(target.timezone))


def within(hours: BusinessHours, at: datetime, zone: ZoneInfo) -> bool:
    """Whether the moment is in the hours, by the clock on the wall of that zone.

    Raises ``ValueError`` for a moment without a time zone.
    """
    if at.tzinfo is None:
        raise ValueError("the moment of a decision has no time zone")
    local = at.astimezone(zone)
    today, now = local.weekday(), local.time()
    if hours.start < hours.end:
        return today in hours.days and hours.start <= now < hours.end
    yesterday = (local.date() - timedelta(days=1)).weekday()
    return (today in hours.days and now >= hours.start) or (
        yesterday in hours.days and now < hours.end
    )


def freeze_at(target: Target, at: datetime) -> Freeze | None:
    """The freeze the moment falls into; the one that ends last if there are several."""
    if at.tzinfo is None:
        raise ValueError("the moment of a decision has no time zone")
    frozen = [freeze for freeze in target.freezes if freeze.start <= at < freeze.end]
    return max(frozen, key=lambda freeze: (freeze.end, freeze.name), default=None)
