"""Durations and sizes from their texts."""

from __future__ import annotations

import re
from typing import Final

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.model.limits import DURATION_MAX_S

_DURATION: Final = re.compile(r"(?:\d+\s*(?:ms|s|min|m|h|d)\s*)+", re.ASCII)
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d{1,12})\s*(B|kB|MB|GB|TB)", re.ASCII)
# As in settings of the server (manual, section 20.1.1): the multiplier is 1024.
_UNITS_BYTES: Final = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def read_duration(text: str, path: Path, notes: Notes, default_s: float) -> float:
    """Seconds from ``90s``, ``30 min``, ``1h30m`` or ``2d``; the default for no text."""
    if not text:
        return default_s
    found_s = read_limit_s(text, path, notes)
    return default_s if found_s is None else found_s


def read_limit_s(
    text: str | None, path: Path, notes: Notes, most_s: float = DURATION_MAX_S
) -> float | None:
    """Seconds, more than none and at most ``most_s``; None for a key that is not there."""
    if text is None:
        return None
    total = 0.0
    if _DURATION.fullmatch(text.strip()):
        for count, unit in re.findall(r"(\d+)\s*([a-z]+)", text):
            total += int(count[:12]) * _UNITS_S[unit]
    if 0 < total <= most_s:
        return total
    most = "a year" if most_s == DURATION_MAX_S else f"{int(most_s // 86400)} days"
    words = f"cannot read the duration `{text}`"
    notes.problem(path, words, f"write `90s`, `30min`, `2h` or `1d`, at most {most}")
    return None


def read_size(value: object, path: Path, notes: Notes) -> int | None:
    """Bytes from ``50MB`` or a plain number, at least one; None for a key that is not there."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(found[1]) * _UNITS_BYTES[found[2]] if found else value
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    notes.problem(path, f"cannot read the size `{value}`", "write `512kB`, `50MB` or `1GB`")
    return None
