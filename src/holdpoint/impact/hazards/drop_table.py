"""HP3101: DROP TABLE."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3101"
TITLE: Final = "DROP TABLE"
MARKS: Final = frozenset((MarkKind.DROP,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DROP TABLE orders",
    "drop table if exists a, b cascade",
    "DROP FOREIGN TABLE f",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DROP INDEX i",
    "CREATE TABLE t (a int)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail in ("TABLE", "FOREIGN TABLE")


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"DROP TABLE removes `{clip(mark.subject)}` with all its rows",
        hint="rename the table first and drop it when nothing has missed it",
    )
