"""HP3206: a rename breaks whoever uses the old name."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3206"
TITLE: Final = "a rename breaks whoever uses the old name"
MARKS: Final = frozenset((MarkKind.ALTER_TABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "ALTER TABLE orders RENAME COLUMN total TO amount",
    "ALTER TABLE orders RENAME TO purchases",
    "ALTER VIEW open_orders RENAME TO open_purchases",
    "ALTER TABLE orders SET SCHEMA archive",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "ALTER TABLE orders ADD COLUMN amount numeric",
    "ALTER TABLE orders RENAME CONSTRAINT a TO b",
)

# Constraints and the like are not named by the programs that use the table.
_BREAKING: Final = frozenset(
    (
        "rename table",
        "rename view",
        "rename materialized view",
        "rename foreign table",
        "rename sequence",
        "rename column",
        "set schema",
    )
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail in _BREAKING


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}`: {clip(mark.detail)} breaks whoever uses the old name",
        hint="add the new name beside the old one, move the readers, then drop the old one",
    )
