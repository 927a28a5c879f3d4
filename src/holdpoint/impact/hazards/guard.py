"""HP3207: switches off what guards the rows."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3207"
TITLE: Final = "switches off what guards the rows"
MARKS: Final = frozenset((MarkKind.ALTER_TABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "ALTER TABLE orders DISABLE TRIGGER ALL",
    "ALTER TABLE orders DISABLE TRIGGER tell_others",
    "ALTER TABLE orders DROP CONSTRAINT orders_total_check",
    "ALTER TABLE orders ALTER COLUMN id DROP NOT NULL",
    "ALTER TABLE orders DISABLE RULE r",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "ALTER TABLE orders ENABLE TRIGGER ALL",
    "ALTER TABLE orders ALTER COLUMN note DROP DEFAULT",
    "ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0)",
)

_GUARDS: Final = ("disable trigger", "disable rule", "drop constraint", "drop not null")


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail.startswith(_GUARDS)


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}`: {clip(mark.detail)} switches off what guards its rows",
        hint="repair the rows that the guard refuses, and leave it on",
    )
