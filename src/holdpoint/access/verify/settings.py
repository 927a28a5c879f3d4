"""Whether two texts are the same value of a server setting (manual, section 20.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NUMBER: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_TIME_MS: Final[Mapping[str, float]] = {
    "us": 0.001,
    "ms": 1.0,
    "s": 1_000.0,
    "min": 60_000.0,
    "h": 3_600_000.0,
    "d": 86_400_000.0,
}
_MEMORY_KB: Final[Mapping[str, float]] = {
    "B": 1 / 1024,
    "kB": 1.0,
    "MB": 1024.0,
    "GB": 1024.0**2,
    "TB": 1024.0**3,
}
_TRUE: Final = frozenset({"on", "true", "yes", "1"})
_FALSE: Final = frozenset({"off", "false", "no", "0"})


def same_value(name: str, one: str, other: str) -> bool:
    """Tell whether two values mean the same to the setting ``name``; when in doubt, they do not.

    A number without a unit has the setting's own: milliseconds for timeouts.
    """
    if one.strip() == other.strip():
        return True
    left, right = _canonical(name, one), _canonical(name, other)
    return left is not None and left == right


def _canonical(name: str, text: str) -> tuple[str, float] | None:
    """The kind of a value and its size; None for what is only a text."""
    word = text.strip()
    timeout = name.endswith("_timeout")
    if not timeout and word.lower() in _TRUE | _FALSE:
        return ("switch", float(word.lower() in _TRUE))
    found = _NUMBER.fullmatch(word)
    if found is None:
        return None
    number, unit = float(found[1]), found[2]
    if unit in _TIME_MS:
        return ("time", number * _TIME_MS[unit])
    if unit in _MEMORY_KB:
        return ("memory", number * _MEMORY_KB[unit])
    if unit:
        return None
    return ("time", number) if timeout else ("number", number)
