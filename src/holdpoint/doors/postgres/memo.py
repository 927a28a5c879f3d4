"""Texts that are known to pass, per tier: bounded, with the ones used lately kept.

Two generations stand in for an exact LRU: a hit in the old one moves the text to the new one, and
when that is full the old one is dropped. Both operations are one dictionary look-up. Beside the
texts stand the shapes of those in which numbers mean nothing: see ``sql.shapes``.

This module compiles with mypyc.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint import gate
from holdpoint.doors.postgres.pending import Known
from holdpoint.model import limits
from holdpoint.model.effects import Dialect, Reading, SessionView, TransactionMark
from holdpoint.model.target import Target, Tier
from holdpoint.policy.rules import Policy
from holdpoint.sql.shapes import has_shape, shape_of

ENDS_TRANSACTION: Final = frozenset({TransactionMark.COMMIT, TransactionMark.PREPARE_TRANSACTION})


_LINE: Final = re.compile(rb"[ -~]*")


class Memo:
    """What passes on its own in one tier; at most ``entries_max`` texts in each generation."""

    def __init__(
        self,
        policy: Policy,
        target: Target,
        tier: Tier,
        entries_max: int = limits.MEMO_ENTRIES_MAX // 2,
    ) -> None:
        self._policy = policy
        self._target = target
        self._tier = tier
        self._entries_max = entries_max
        self._new: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._shapes: set[bytes] = set()

    def known(self, query: bytes, view: SessionView) -> Known | None:
        """Return the text as one that passes on its own, or None: it needs the whole gate.

        Only for sessions that read strings as the gate does. Long texts need the gate because
        reading them takes too long for the loop of all sessions.
        """
        known = self._new.get(query)
        if known is not None:
            return known
        known = self._old.get(query)
        if known is not None:
            self._put(query, known)
            return known
        if len(query) > limits.MEMO_TEXT_BYTES_MAX:
            return None
        shape = shape_of(query)
        if shape is not None and shape in self._shapes:
            # A line break or tab must be escaped in a record; the rest is its own JSON.
            return Known(query.decode("ascii"), once=_LINE.fullmatch(query) is not None)
        try:
            text = query.decode()
        except UnicodeDecodeError:
            return None
        reading = gate.pass_at_once(
            self._policy, self._target, self._tier, text, Dialect.POSTGRES, view
        )
        if reading is None:
            return None
        known = Known(
            text,
            any(each.transaction in ENDS_TRANSACTION for each in reading.statements),
            prepares_of(reading),
            forgets_of(reading),
            len(reading.statements) == 1,
        )
        if shape is not None and has_shape(reading):
            if len(self._shapes) >= self._entries_max:
                self._shapes.clear()
            self._shapes.add(shape)
        else:
            self._put(query, known)
        return known

    def _put(self, query: bytes, known: Known) -> None:
        if len(self._new) >= self._entries_max:
            self._old = self._new
            self._new = {}
        self._new[query] = known


def prepares_of(reading: Reading) -> tuple[tuple[bytes, bytes], ...]:
    """Return the names that a text gives to statements, with their texts."""
    return tuple(
        [
            (name.encode(), inner.text.encode())
            for statement in reading.statements
            for name, inner in statement.prepares
        ]
    )


def forgets_of(reading: Reading) -> tuple[bytes, ...]:
    """Return the names of statements that a text deallocates, ``*`` for all of them."""
    return tuple([each.deallocates.encode() for each in reading.statements if each.deallocates])
