"""Timeouts hold as bounds: what loosens one succeeds, and the gate sets it again at once.

``pg_dump`` turns every timeout off before it begins, other clients some of them: refusing that
would be an outage, letting it be would take the session's bounds away. ``passing`` says when the
question below must be asked. It is made of SET alone: that needs no snapshot, so ``SET TRANSACTION
ISOLATION LEVEL`` may still come first in the agent's transaction. Behind what nobody could read and
people let through all bounds are set again, and the read-only state as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdpoint.doors.postgres.bounding import Bounding, Lost
from holdpoint.doors.postgres.opening import Opening, milliseconds
from holdpoint.doors.postgres.pending import ASK, ASKED
from holdpoint.doors.postgres.relay import Relay
from holdpoint.model import limits
from holdpoint.model.effects import Effect, Reading, Statement
from holdpoint.wire.postgres import errors, messages

_NAME: Final = b"holdpoint restore"
_CLOSES: Final = 2  # of each setting: its portal, its statement

# What may stand behind a loosened bound in one message: it takes no time, and no lock.
_HARMLESS_TAGS: Final = frozenset(
    ("SET", "RESET", "SHOW", "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT")
)
NOT_TOGETHER: Final = errors.error_response(
    "ERROR",
    "42501",
    "refused: a timeout is set to more than this session's bound, and other statements come in "
    "the same message",
    "the gate sets such a bound again behind the message, which is too late for them",
    "send the SET as a message of its own, or leave it out",
)


class Restoring:
    """The bounds of one session. ``opening`` says what it began with; ``fail`` ends it."""

    def __init__(
        self,
        opening: Opening,
        relay: Relay,
        bounding: Bounding,
        fail: Callable[[str, str, str], None],
    ) -> None:
        self._bounds = opening.bounds
        self._starts = opening.starts
        self._all = {name: str(value) for name, value in opening.bounds.items()}
        if opening.read_only:
            self._all["default_transaction_read_only"] = "on"
        self._relay = relay
        self._bounding = bounding
        self._fail = fail
        self._due: dict[str, str] = {}

    @property
    def has_bounds(self) -> bool:
        """Tell whether anything could be loosened."""
        return bool(self._bounds or self._starts)

    def loosens(self, reading: Reading) -> bool:
        """Tell whether bounds must be set again behind the statements, and note which."""
        due: dict[str, str] = {}
        for statement in reading.statements:
            due.update({name: str(value) for name, value in self._loosened(statement).items()})
        if Effect.UNKNOWN in reading.effects:
            due.update(self._all)
        if not due:
            return False
        if not self._relay.loosened:
            self._due.clear()
        self._due.update(due)
        return True

    def is_late(self, reading: Reading) -> bool:
        """Tell whether statements stand behind one that loosens a bound, in the same message."""
        loose = False
        for statement in reading.statements:
            if loose and statement.tag not in _HARMLESS_TAGS:
                return True
            loose = loose or bool(self._loosened(statement))
        return False

    def _loosened(self, statement: Statement) -> dict[str, int]:
        """Return the timeouts that a statement may loosen, with what they must be."""
        due: dict[str, int] = {}
        for name, values in statement.sets:
            if name == "*":  # back to what the session began with, without what it was given then
                due.update(self._starts)
            elif values == ():
                due.update({name: self._starts[name]} if name in self._starts else {})
            elif name in self._bounds and not _is_within(values, self._bounds[name]):
                due[name] = self._bounds[name]
        return due

    async def restore(self) -> None:
        """Set the bounds again, then let the client go on."""
        relay = self._relay
        relay.halt()
        try:
            for _ in range(limits.RESTORE_TRIES_MAX):
                own = await self._bounding.ask(*self._question())
                if not own.sqlstate or relay.is_open or relay.status != messages.IDLE:
                    break
        except Lost:
            return
        if not own.sqlstate:
            relay.loosened = ASKED if relay.is_open or relay.status != messages.IDLE else 0
        elif relay.is_open:  # the transaction has failed, the server skips up to Sync
            relay.loosened = ASK
            relay.tell(own.response, ready=False)
        else:
            # Cancelled, perhaps; the agent's transaction has failed by a statement that is not its.
            self._fail("57014", "the gate could not set the session's timeouts again", "")
            return
        relay.go_on()

    def _question(self) -> tuple[bytes, int]:
        """Return what is asked, and with how many Close it ends."""
        texts = [f"SET {name} = {value}".encode() for name, value in self._due.items()]
        if not self._relay.is_open:
            return messages.query(b"; ".join(texts)), 0
        question = b"".join(
            messages.parse(_NAME, text)
            + messages.bind(_NAME, _NAME)
            + messages.execute(_NAME)
            + messages.close(messages.PORTAL, _NAME)
            + messages.close(messages.STATEMENT, _NAME)
            for text in texts
        )
        return question + messages.FLUSH, _CLOSES * len(texts)


def _is_within(values: tuple[str, ...] | None, bound: int) -> bool:
    """Tell whether a timeout is set to something that ends what the bound would end."""
    if values is None or len(values) != 1:
        return False
    try:
        return 0 < milliseconds(values[0].strip()) <= bound
    except ValueError:
        return False
