"""HP3105: DROP SCHEMA, DATABASE or OWNED."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3105"
TITLE: Final = "DROP SCHEMA, DATABASE or OWNED"
MARKS: Final = frozenset((MarkKind.DROP,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DROP SCHEMA app CASCADE",
    "DROP DATABASE shop",
    "DROP OWNED BY app",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DROP TABLE app.t",
    "CREATE SCHEMA app",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail in ("SCHEMA", "DATABASE", "OWNED")


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"DROP {mark.detail} `{clip(mark.subject)}` removes everything in it",
        hint="name the single objects that are meant",
    )
