"""HP5108: writes or removes large objects."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5108"
TITLE: Final = "writes or removes large objects"
MARKS: Final = frozenset((MarkKind.LARGE_OBJECT,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT lo_unlink(1)",
    "SELECT lo_create(0)",
    "SELECT lo_put(1, 0, 'x')",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT lo_get(1)",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` {clip(mark.detail)}",
        hint="keep the data in a bytea column",
    )
