"""HP6102: takes locks by hand."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP6102"
TITLE: Final = "takes locks by hand"
MARKS: Final = frozenset((MarkKind.LOCK,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "LOCK TABLE orders",
    "LOCK orders IN SHARE MODE",
    "SELECT pg_advisory_lock(1)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "LOCK TABLE orders IN ACCESS SHARE MODE",
    "SELECT pg_advisory_unlock(1)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}`: explicit locks make others wait",
        hint="let the statements take the locks they need",
    )
