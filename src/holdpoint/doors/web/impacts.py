"""The impact of a case as the page shows it: sentences, bars, and lists for a closer look.

Everything here reads the case document, which an older gate may have written: what is missing or
has another form is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_ACTIONS: Final = {
    "delete": "removed by cascade",
    "truncate": "emptied by cascade",
    "update": "keys changed by cascade",
    "set null": "set to null",
    "set default": "set to the default",
}
_USERS: Final = {
    "application": "right now",
    "agent": "agents, lately",
    "role": "roles with rights",
}
# Of a bar that is not empty at least this much is drawn, in hundredths of the track.
_SLIVER: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BarView:
    """One table: how many of its rows change, and how much of the whole that is.

    ``part`` is in hundredths, None when it is not known; ``level`` is 0 for the statement's own
    table and counts the foreign keys on the way for others.
    """

    table: str
    what: str
    rows: str
    whole: str
    part: float | None
    level: int
    doubtful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactView:
    """What the page shows of an impact. ``words`` are empty for cases that were not looked into."""

    words: tuple[str, ...]
    bars: tuple[BarView, ...]
    tables: tuple[Mapping[str, str], ...]
    firings: tuple[Mapping[str, Any], ...]
    dependents: tuple[Mapping[str, Any], ...]
    users: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    plan: tuple[str, ...]

    @property
    def details(self) -> str:
        """What there is for a closer look; empty without any."""
        parts = {
            "locks": self.tables,
            "triggers": self.firings,
            "what stands on it": self.dependents,
            "who else": self.users,
            "the plan": self.plan,
        }
        return ", ".join(name for name, part in parts.items() if part).capitalize()

    @property
    def lead(self) -> str:
        """The first sentence."""
        return self.words[0] if self.words else ""

    @property
    def rest(self) -> tuple[str, ...]:
        """The other sentences."""
        return self.words[1:]


def impact_view(impact: object) -> ImpactView:
    """The view of a case document's ``impact``."""
    whole = impact if isinstance(impact, Mapping) else {}
    tables = _list(whole, "tables")
    cascades = _list(whole, "cascades")
    read = whole.get("read")
    plan = read.get("plan", []) if isinstance(read, Mapping) else []
    return ImpactView(
        words=tuple(str(each) for each in whole.get("words", [])),
        bars=tuple(_bars(tables, cascades)),
        tables=tuple(_table(table) for table in tables),
        firings=tuple(_list(whole, "firings")),
        dependents=tuple(_list(whole, "dependents")),
        users=_users(_list(whole, "users")),
        plan=tuple(str(line) for line in plan),
    )


def _list(whole: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = whole.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _bars(
    tables: Sequence[Mapping[str, Any]], cascades: Sequence[Mapping[str, Any]]
) -> list[BarView]:
    """The statement's own tables, then those that foreign keys reach, level by level."""
    sizes = {str(table.get("name")): _figure(table, "table_rows") for table in tables}
    bars = [
        _bar(str(table.get("name")), "changed", _figure(table, "rows"), sizes, 0)
        for table in tables
        if _figure(table, "rows").get("basis", "not asked") != "not asked"
    ]
    for cascade in sorted(cascades, key=lambda each: int(each.get("level", 0))):
        action = str(cascade.get("action"))
        name, rows = str(cascade.get("table")), _figure(cascade, "rows")
        words = _ACTIONS.get(action, action)
        bars.append(_bar(name, words, rows, sizes, int(cascade.get("level", 1))))
    return bars


def _bar(
    name: str,
    what: str,
    rows: Mapping[str, Any],
    sizes: Mapping[str, Mapping[str, Any]],
    level: int,
) -> BarView:
    value, size = rows.get("value"), sizes.get(name, {}).get("value")
    part = None
    if isinstance(value, int) and isinstance(size, int):
        share = min(1.0, value / size) if size else float(value > 0)
        part = max(_SLIVER, 100 * share) if value else 0.0
    return BarView(
        table=short(name),
        what=what,
        rows=_number(rows),
        whole=f"of {size:,}" if isinstance(size, int) else "",
        part=part,
        level=level,
        doubtful=value is None,
    )


def short(name: str) -> str:
    """A table's name; ``public`` goes without saying."""
    return name.removeprefix("public.")


def _figure(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    figure = of.get(key)
    return figure if isinstance(figure, Mapping) else {}


def _number(figure: Mapping[str, Any]) -> str:
    """``48,211``, ``about 48,211``, ``not known``."""
    value = figure.get("value")
    if not isinstance(value, int):
        return "not known"
    return f"{value:,}" if figure.get("basis") == "exact" else f"about {value:,}"


def _table(table: Mapping[str, Any]) -> Mapping[str, str]:
    """One table's lock and work in words, with its name, size and what waits."""
    size = _figure(table, "size_bytes").get("value")
    facts = [
        f"{_number(_figure(table, 'table_rows'))} rows",
        _size(size) if isinstance(size, int) else "",
        _many(table.get("partitions"), "partition"),
        _many(len(table.get("indexes", ())), "index to keep up", "indexes to keep up"),
    ]
    work = {"scan": "read whole under the lock", "rewrite": "written anew under the lock"}
    busy = _figure(table, "busy").get("value")
    return {
        "name": short(str(table.get("name", ""))),
        "facts": ", ".join(fact for fact in facts if fact),
        "lock": str(table.get("lock", "")),
        "blocks": str(table.get("blocks", "")),
        "work": work.get(str(table.get("work")), ""),
        "why": str(table.get("why", "")),
        "busy": _many(busy, "session in its way right now", "sessions in its way right now"),
    }


def _many(count: object, one: str, many: str = "") -> str:
    """A count with its noun; nothing for none."""
    if not isinstance(count, int) or count <= 0:
        return ""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _size(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"


def _users(
    users: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]:
    """Others on the tables, by what is known of them; who is there now stands first."""
    groups: list[tuple[str, tuple[Mapping[str, Any], ...]]] = []
    for kind, words in _USERS.items():
        found = tuple(
            {**each, "table": short(str(each.get("table", "")))}
            for each in users
            if each.get("kind") == kind
        )
        if found:
            groups.append((words, found))
    return tuple(groups)
