"""HP3201: ALTER TABLE."""

from typing import Final

from holdpoint.impact.hazards import guard, rename
from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3201"
TITLE: Final = "ALTER TABLE"
MARKS: Final = frozenset((MarkKind.ALTER_TABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "ALTER TABLE orders ADD COLUMN a int",
    "ALTER TABLE orders ALTER a TYPE bigint",
    "ALTER TABLE orders RENAME CONSTRAINT a TO b",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM orders",
    "ALTER TABLE orders DROP COLUMN a",
    "ALTER TABLE orders RENAME COLUMN a TO b",
    "ALTER TABLE orders DISABLE TRIGGER ALL",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return not (rename.applies(mark) or guard.applies(mark))


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"ALTER TABLE on `{clip(mark.subject)}`: {clip(mark.detail)}",
        hint="set lock_timeout, and let a migration do it",
    )
