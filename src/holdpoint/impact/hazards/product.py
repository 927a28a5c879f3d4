"""HP6103: tables without a join condition."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP6103"
TITLE: Final = "tables without a join condition"
MARKS: Final = frozenset((MarkKind.PRODUCT,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT * FROM orders, customers",
    "SELECT count(*) FROM a CROSS JOIN b",
    "SELECT * FROM a JOIN b ON true",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM a, b WHERE a.id = b.id",
    "SELECT * FROM a JOIN b USING (id)",
    "SELECT * FROM a, unnest(a.tags)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` are joined without any condition: their rows multiply",
        hint="add a join condition",
    )
