"""HP2101: UPDATE without WHERE."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2101"
TITLE: Final = "UPDATE without WHERE"
MARKS: Final = frozenset((MarkKind.NO_WHERE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "UPDATE orders SET status = 1",
    "WITH x AS (UPDATE orders SET a = 1 RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE UPDATE orders SET a = 1",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "UPDATE orders SET status = 1 WHERE id = 7",
    "DELETE FROM orders",
    "EXPLAIN UPDATE orders SET a = 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail == "UPDATE"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"UPDATE without WHERE changes every row of `{clip(mark.subject)}`",
        hint="add a WHERE that names the rows meant",
    )
