"""A replay as a picture: stacked bars by day, then beside now; for terminals and as SVG. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from html import escape
from typing import Final

from holdpoint.access.replay.replay import Outcome

Days = Mapping[str, tuple[Counter[Outcome], Counter[Outcome]]]

# Signs that differ without colour, and colours that differ for most kinds of colour blindness
# (Okabe and Ito, Color Universal Design, 2008).
SIGNS: Final = {
    Outcome.ALLOWED: "█",
    Outcome.HELD: "▒",
    Outcome.REFUSED: "╳",
    Outcome.UNSURE: "?",
    Outcome.LEFT_OUT: "·",
}
COLOURS: Final = {
    Outcome.ALLOWED: "#009e73",
    Outcome.HELD: "#e69f00",
    Outcome.REFUSED: "#d55e00",
    Outcome.UNSURE: "#999999",
    Outcome.LEFT_OUT: "#dddddd",
}
BAR_CHARS: Final = 50
_FAINT: Final = 0.55  # opacity of what was, beside what would be

# Of the SVG, in its own units.
_LEFT: Final = 64
_TOP: Final = 56
_HEIGHT: Final = 220
_WIDTH_MIN: Final = 720
_BAR: Final = 16
_GAP: Final = 14
_TEXT: Final = 'font-family="sans-serif" font-size="11"'


def whole_days(days: Days) -> dict[str, tuple[Counter[Outcome], Counter[Outcome]]]:
    """Return the days in order, those on which nothing was done included."""
    if not days:
        return {}
    first, last = (date.fromisoformat(each) for each in (min(days), max(days)))
    found: dict[str, tuple[Counter[Outcome], Counter[Outcome]]] = {}
    if (last - first).days > len(days) * 20:  # a clock that jumped makes no years of empty days
        return {day: days[day] for day in sorted(days)}
    for nth in range((last - first).days + 1):
        day = f"{first + timedelta(days=nth):%Y-%m-%d}"
        found[day] = days.get(day, (Counter(), Counter()))
    return found


# --- terminals ------------------------------------------------------------------------------------


def lines_of(days: Days) -> list[str]:
    """Return two bars for each day, one where nothing changes; the longest has the full width."""
    full = max((sum(each.values()) for pair in days.values() for each in pair), default=0)
    if not full:
        return []
    lines = ["  " + "   ".join(f"{sign} {each.value}" for each, sign in SIGNS.items())]
    for day, (then, now) in whole_days(days).items():
        if then == now:
            lines.append(f"{day}       {_bar(now, full)} {sum(now.values()):,}")
        else:
            lines.append(f"{day}  then {_bar(then, full)} {_counts(then)}")
            lines.append(f"{'':10}  now  {_bar(now, full)} {_counts(now)}")
    return lines


def _bar(counts: Counter[Outcome], full: int) -> str:
    """A bar; what is there at all has a sign of its own, however little it is."""
    bar = ""
    for outcome, sign in SIGNS.items():
        if counts[outcome]:
            bar += sign * max(1, round(counts[outcome] / full * BAR_CHARS))
    return bar


def _counts(counts: Counter[Outcome]) -> str:
    return ", ".join(f"{counts[each]:,} {each.value}" for each in SIGNS if counts[each])


# --- SVG ------------------------------------------------------------------------------------------


def svg_of(days: Days, title: str) -> str:
    """Return a picture of its own: no script, no font, nothing from elsewhere."""
    listed = whole_days(days)
    full = _round_up(max((sum(n.values()) for pair in days.values() for n in pair), default=1))
    group = 2 * _BAR + _GAP
    width = max(_LEFT + len(listed) * group + 24, _WIDTH_MIN)
    height = _TOP + _HEIGHT + 78
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-family="sans-serif" font-size="15">{escape(title)}</text>',
        *_legend(),
        *_axis(full, width),
    ]
    step = max(1, -(-len(listed) * 34 // max(1, width)))  # a label needs some 34 units
    for nth, (day, (then, now)) in enumerate(listed.items()):
        x = _LEFT + nth * group + _GAP // 2
        parts += _stack(x, then, full, f"{day} then", _FAINT)
        parts += _stack(x + _BAR, now, full, f"{day} now", 1.0)
        if nth % step == 0:
            middle, foot = x + _BAR, _TOP + _HEIGHT + 16
            parts.append(
                f'<text x="{middle}" y="{foot}" {_TEXT} text-anchor="end" '
                f'transform="rotate(-45 {middle} {foot})">{escape(day)}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts: list[str] = []
    x = _LEFT
    for outcome, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="33" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="42" {_TEXT}>{escape(outcome.value)}</text>')
        x += 26 + 7 * len(outcome.value)
    parts.append(f'<text x="{x}" y="42" {_TEXT} fill="#555555">left: then, right: now</text>')
    return parts


def _axis(full: int, width: int) -> list[str]:
    parts: list[str] = []
    for nth in range(5):
        value = full * nth // 4
        y = _TOP + _HEIGHT - _HEIGHT * value / full
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{width - 16}" y2="{y:.1f}" stroke="#dddddd"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" {_TEXT} text-anchor="end">{value:,}</text>'
        )
    return parts


def _stack(x: int, counts: Counter[Outcome], full: int, label: str, opacity: float) -> list[str]:
    parts: list[str] = []
    y = float(_TOP + _HEIGHT)
    for outcome, colour in COLOURS.items():
        if not counts[outcome]:
            continue
        tall = _HEIGHT * counts[outcome] / full
        y -= tall
        words = f"{label}: {counts[outcome]:,} {outcome.value}"
        parts.append(
            f'<rect x="{x}" y="{y:.2f}" width="{_BAR - 1}" height="{tall:.2f}" fill="{colour}" '
            f'fill-opacity="{opacity}"><title>{escape(words)}</title></rect>'
        )
    return parts


def _round_up(value: int) -> int:
    """The next number with one digit before its zeros that four parts divide: an axis' end."""
    size = 1
    while size * 10 <= value:
        size *= 10
    for factor in (1, 2, 4, 8, 10):
        if factor * size >= value:
            return max(4, factor * size)
    return 10 * size
