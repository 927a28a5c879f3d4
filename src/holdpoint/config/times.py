"""Moments, hours and time zones from their texts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.model.target import BusinessHours
from holdpoint.policy.calendar import read_business_hours
from holdpoint.policy.compile import nearest


def read_zone(name: str, path: Path, notes: Notes) -> ZoneInfo | None:
    """The time zone, which must be one of the IANA database."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # not found, or not even the name of a file
        hint = nearest(name, available_timezones()) or "use a name such as `Europe/Berlin`"
        notes.problem(path, f"unknown time zone `{name}`", hint)
        return None


def read_hours(text: str, path: Path, notes: Notes) -> BusinessHours | None:
    """Weekly hours, or none."""
    if not text:
        return None
    try:
        return read_business_hours(text)
    except ValueError as error:
        notes.problem(path, f"cannot read `{text}`", str(error))
        return None


def moment(value: datetime | date, zone: ZoneInfo | None, *, ends: bool) -> datetime:
    """A moment in UTC: without an offset by the target's clock; a date is its whole day."""
    if not isinstance(value, datetime):
        value = datetime.combine(
            value + timedelta(days=1 if ends else 0), time(), tzinfo=zone or UTC
        )
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone or UTC)
    return value.astimezone(UTC)
