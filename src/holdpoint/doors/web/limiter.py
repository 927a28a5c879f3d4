"""How many tries a peer has: a sliding window per key, in a table that cannot grow."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta


class Limiter:
    """At most ``tries`` in ``window_s`` seconds per key; ``keys_max`` keys are remembered.

    When the table is full, the key that was quiet for longest is forgotten. An attacker with that
    many addresses gains fresh tries, never more than ``tries`` per address.
    """

    def __init__(self, *, tries: int, window_s: float, keys_max: int) -> None:
        self._tries = tries
        self._window = timedelta(seconds=window_s)
        self._keys_max = keys_max
        self._seen: OrderedDict[str, deque[datetime]] = OrderedDict()

    def take(self, key: str, now: datetime) -> bool:
        """Count a try; False when there are too many. A refused try is not counted."""
        times = self._seen.setdefault(key, deque(maxlen=self._tries))
        self._seen.move_to_end(key)
        while len(self._seen) > self._keys_max:
            self._seen.popitem(last=False)
        while times and now - times[0] >= self._window:
            times.popleft()
        if len(times) >= self._tries:
            return False
        times.append(now)
        return True

    def forgive(self, key: str) -> None:
        """Forget a key: its last try was right."""
        self._seen.pop(key, None)
