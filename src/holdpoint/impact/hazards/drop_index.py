"""HP3103: DROP INDEX."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3103"
TITLE: Final = "DROP INDEX"
MARKS: Final = frozenset((MarkKind.DROP,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DROP INDEX i",
    "DROP INDEX CONCURRENTLY a.i",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DROP TABLE t",
    "REINDEX INDEX i",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail == "INDEX"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"DROP INDEX removes `{clip(mark.subject)}`; queries may become slow at once",
        hint="check that the index is unused, then drop it CONCURRENTLY",
    )
