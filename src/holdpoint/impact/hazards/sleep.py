"""HP6101: sleeps."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP6101"
TITLE: Final = "sleeps"
MARKS: Final = frozenset((MarkKind.SLEEP,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT pg_sleep(60)",
    "SELECT pg_catalog.pg_sleep_for('1 hour')",
    "SELECT * FROM t ORDER BY pg_sleep(1)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT now()",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` keeps a connection and its locks busy doing nothing",
        hint="wait at the client",
    )
