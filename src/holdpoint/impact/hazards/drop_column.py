"""HP3102: drops a column."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3102"
TITLE: Final = "drops a column"
MARKS: Final = frozenset((MarkKind.DROP_COLUMN,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "ALTER TABLE orders DROP COLUMN total",
    "ALTER TABLE orders ADD a int, DROP b",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "ALTER TABLE orders ADD COLUMN a int",
    "ALTER TABLE orders ALTER a DROP DEFAULT",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"dropping `{clip(mark.detail)}` of `{clip(mark.subject)}` removes its values",
        hint="stop using the column first; drop it in a later release",
    )
