"""HP3203: maintenance that rewrites or locks."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3203"
TITLE: Final = "maintenance that rewrites or locks"
MARKS: Final = frozenset((MarkKind.MAINTENANCE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "VACUUM FULL orders",
    "CLUSTER orders USING i",
    "REINDEX TABLE orders",
    "REFRESH MATERIALIZED VIEW v",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "VACUUM orders",
    "ANALYZE orders",
    "VACUUM (FULL false) orders",
)


def _subject(mark: Mark) -> str:
    return f"`{clip(mark.subject)}`" if mark.subject else "the database"


def _what(mark: Mark) -> str:
    if mark.detail.isupper():
        return mark.detail
    return f"`{clip(mark.subject)}`, which {mark.detail}"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"{_subject(mark)} is rewritten or locked by {_what(mark)}",
        hint="use plain VACUUM, or the CONCURRENTLY form",
    )
