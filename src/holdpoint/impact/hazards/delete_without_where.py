"""HP2102: DELETE without WHERE."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2102"
TITLE: Final = "DELETE without WHERE"
MARKS: Final = frozenset((MarkKind.NO_WHERE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DELETE FROM orders",
    'delete/**/from "orders"',
    "PREPARE p AS DELETE FROM orders; EXECUTE p",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE id = 7",
    "PREPARE p AS DELETE FROM orders",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail == "DELETE"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"DELETE without WHERE removes every row of `{clip(mark.subject)}`",
        hint="add a WHERE that names the rows meant",
    )
