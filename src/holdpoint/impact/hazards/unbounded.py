"""HP6105: rows without an end."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP6105"
TITLE: Final = "rows without an end"
MARKS: Final = frozenset((MarkKind.UNBOUNDED,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT count(*) FROM generate_series(1, 1000000000)",
    "SELECT 1 FROM generate_series(1, 10000), generate_series(1, 10000)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM generate_series(1, 100000)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT n FROM t LIMIT 100",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) TABLE t",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}`: {clip(mark.detail)}",
        hint="bound it: a condition that ends it, smaller numbers, or a LIMIT",
    )
