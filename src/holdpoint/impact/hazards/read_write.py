"""HP4201: leaves the read-only state."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4201"
TITLE: Final = "leaves the read-only state"
MARKS: Final = frozenset((MarkKind.READ_WRITE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SET default_transaction_read_only = off",
    "BEGIN READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "RESET transaction_read_only",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "BEGIN READ ONLY",
    "SET TRANSACTION READ ONLY",
    "RESET ALL",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"setting `{clip(mark.subject)}` leaves the read-only state",
        hint="connect to a tier that may write",
    )
