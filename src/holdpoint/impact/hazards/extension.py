"""HP5103: extensions."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5103"
TITLE: Final = "extensions"
MARKS: Final = frozenset((MarkKind.EXTENSION,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "CREATE EXTENSION dblink",
    "ALTER EXTENSION postgis UPDATE",
    "DROP EXTENSION pg_trgm",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT * FROM pg_extension",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"{clip(mark.detail)} `{clip(mark.subject)}` runs code in the server",
        hint="ask the database administrators to install it",
    )
