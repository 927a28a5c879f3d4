"""HP5110: two-phase commit."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5110"
TITLE: Final = "two-phase commit"
MARKS: Final = frozenset((MarkKind.TWO_PHASE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "COMMIT",
    "PREPARE p AS SELECT 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"{mark.detail} `{clip(mark.subject)}`",
        hint="end the transaction with COMMIT or ROLLBACK",
    )
