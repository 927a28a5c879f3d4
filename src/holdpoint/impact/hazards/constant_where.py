"""HP2103: the filter is true for every row."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2103"
TITLE: Final = "the filter is true for every row"
MARKS: Final = frozenset((MarkKind.CONSTANT_WHERE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE true",
    "UPDATE orders SET a = 1 WHERE id = id",
    "DELETE FROM orders WHERE id IS NOT NULL",
    "DELETE FROM orders WHERE id IN (SELECT id FROM orders)",
    "DELETE FROM orders WHERE $1",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE id = $1",
    "DELETE FROM orders WHERE false",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the WHERE of this {mark.detail} may leave out no row of `{clip(mark.subject)}`",
        hint="compare a column of the table with a value",
    )
