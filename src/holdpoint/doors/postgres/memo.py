"""Texts that are known to pass, per tier: bounded, with the ones used lately kept.

Two generations stand in for an exact LRU: a hit in the old one moves the text to the new one, and
when that is full the old one is dropped. Both operations are one dictionary look-up. Beside the
texts stand the shapes of those in which numbers mean nothing: see ``sql.shapes``.

This module compiles with mypyc.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from holdpoint import gate
from holdpoint.doors.postgres.pending import Known
from holdpoint.model import limits
from holdpoint.model.effects import Dialect, Reading, SessionView, TransactionMark
from holdpoint.model.target import Target, Tier
from holdpoint.policy.rules import Policy
from holdpoint.sql.names import Catalog
from holdpoint.sql.settings import TIMEOUTS
from holdpoint.sql.shapes import has_shape, shape_of

ENDS_TRANSACTION: Final = frozenset({TransactionMark.COMMIT, TransactionMark.PREPARE_TRANSACTION})


_LINE: Final = re.compile(rb"[ -~]*")


class Memo:
    """What passes on its own in one tier; at most ``entries_max`` texts in each generation.

    ``picture`` gives the catalog as it is known to be now, None while it is not: then nothing
    passes on its own. Another picture, or another search path, begins anew: names may mean
    something else.
    """

    def __init__(
        self,
        policy: Policy,
        target: Target,
        tier: Tier,
        picture: Callable[[], Catalog | None] | None = None,
        entries_max: int = limits.MEMO_ENTRIES_MAX // 2,
    ) -> None:
        self._policy = policy
        self._target = target
        self._tier = tier
        self._picture = picture
        self._catalog: Catalog | None = None
        self._entries_max = entries_max
        # A text is kept twice, as the client's bytes and for the record: 2 kB in all per entry.
        self._bytes_max = entries_max * limits.MEMO_ENTRY_BYTES
        self._size = 0
        self._new: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._shapes: set[bytes] = set()

    def _is_current(self) -> bool:
        """Tell whether there is a picture; forget everything when it is another one."""
        if self._picture is None:
            return True
        catalog = self._picture()
        if catalog is not self._catalog:
            self._catalog = catalog
            self._new = {}
            self._old = {}
            self._size = 0
            self._shapes.clear()
        return catalog is not None

    def known(self, query: bytes, view: SessionView) -> Known | None:
        """Return the text as one that passes on its own, or None: it needs the whole gate.

        Only for sessions that read strings as the gate does. Long texts need the gate because
        reading them takes too long for the loop of all sessions.
        """
        if not self._is_current():
            return None
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
            self._policy, self._target, self._tier, text, Dialect.POSTGRES, view, self._catalog
        )
        if reading is None:
            return None
        known = Known(
            text,
            any(each.transaction in ENDS_TRANSACTION for each in reading.statements),
            prepares_of(reading),
            forgets_of(reading),
            len(reading.statements) == 1,
            count=len(reading.statements),
            loosens=_sets_timeout(reading),
        )
        if shape is not None and has_shape(reading) and not known.loosens:
            if len(self._shapes) >= self._entries_max:
                self._shapes.clear()
            self._shapes.add(shape)
        else:
            self._put(query, known)
        return known

    def _put(self, query: bytes, known: Known) -> None:
        self._size += len(query)
        if len(self._new) >= self._entries_max or self._size > self._bytes_max:
            self._old = self._new
            self._new = {}
            self._size = len(query)
        self._new[query] = known


def _sets_timeout(reading: Reading) -> bool:
    for statement in reading.statements:
        for name, _ in statement.sets:
            if name in TIMEOUTS:
                return True
    return False


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


class Memos:
    """The memos of one tier, by the names that a session's search paths give it."""

    def __init__(
        self,
        policy: Policy,
        target: Target,
        tier: Tier,
        picture: Callable[[], Catalog | None] | None = None,
    ) -> None:
        self._policy = policy
        self._target = target
        self._tier = tier
        self._picture = picture
        self._memos: dict[tuple[tuple[tuple[str, ...], ...], bool], Memo] = {}

    def of(self, view: SessionView) -> Memo | None:
        """Return the memo for a session's names; None where nothing may pass on its own."""
        if view.unsure or view.defines_code:
            return None
        key = (view.search_paths, view.any_path)
        memo = self._memos.get(key)
        if memo is None:
            if len(self._memos) >= limits.MEMO_PATHS_MAX:
                self._memos.clear()
            memo = Memo(self._policy, self._target, self._tier, self._picture)
            self._memos[key] = memo
        return memo
