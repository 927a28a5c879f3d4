"""HP3202: CREATE INDEX without CONCURRENTLY."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3202"
TITLE: Final = "CREATE INDEX without CONCURRENTLY"
MARKS: Final = frozenset((MarkKind.CREATE_INDEX,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "CREATE INDEX i ON orders (a)",
    "CREATE UNIQUE INDEX ON orders (lower(a))",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("CREATE INDEX CONCURRENTLY i ON orders (a)",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail != "concurrently"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"CREATE INDEX keeps writers out of `{clip(mark.subject)}` while it builds",
        hint="use CREATE INDEX CONCURRENTLY, outside a transaction",
    )
