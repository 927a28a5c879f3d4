"""Templates to responses. Every template is escaped by default; nothing turns that off."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from holdpoint.doors.web.sqltext import seen, spoken


def utc(moment: datetime) -> str:
    """A time as people read it at night: day, minute, zone."""
    return moment.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def clock_time(moment: datetime) -> str:
    """The time of day alone."""
    return moment.astimezone(UTC).strftime("%H:%M UTC")


def iso(moment: datetime) -> str:
    """A time as machines read it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this package, checked for undefined names."""
    env = Environment(
        loader=PackageLoader("holdpoint.doors.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(spoken=spoken, seen=seen, utc=utc, clock=clock_time, iso=iso)
    return env


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render one template. ``person``, ``csrf`` and ``nav`` are empty unless given."""
    values = {"person": "", "csrf": "", "nav": "", "title": "Holdpoint", **values}
    return HTMLResponse(environment().get_template(template).render(**values), status_code=status)
