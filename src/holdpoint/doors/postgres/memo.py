"""Texts that are known to pass, per tier: bounded, with the ones used lately kept.

Two generations stand in for an exact LRU: a hit in the old one moves the text to the new one, and
when that is full the old one is dropped. Both operations are one dictionary look-up.
"""

from __future__ import annotations

from holdpoint.doors.postgres.pending import Known
from holdpoint.model import limits


class Memo:
    """Known texts by their exact bytes; at most ``entries_max`` in each of two generations."""

    def __init__(self, entries_max: int = limits.MEMO_ENTRIES_MAX // 2) -> None:
        self._entries_max = entries_max
        self._new: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}

    def get(self, query: bytes) -> Known | None:
        """Return the known text, or None."""
        known = self._new.get(query)
        if known is None:
            known = self._old.get(query)
            if known is not None:
                self.put(query, known)
        return known

    def put(self, query: bytes, known: Known) -> None:
        """Remember a text, unless it is too long to be worth it."""
        if len(query) > limits.MEMO_TEXT_BYTES_MAX:
            return
        if len(self._new) >= self._entries_max:
            self._old = self._new
            self._new = {}
        self._new[query] = known
