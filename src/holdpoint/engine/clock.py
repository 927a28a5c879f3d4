"""The one clock: microseconds since 1970, UTC. Handed in everywhere, so that tests can turn it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""The time in microseconds since 1970, UTC."""


def now_us() -> int:
    """Return the system's time."""
    return time.time_ns() // 1000
