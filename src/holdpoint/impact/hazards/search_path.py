"""HP4202: hides built-in names."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4202"
TITLE: Final = "hides built-in names"
MARKS: Final = frozenset((MarkKind.SEARCH_PATH,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SET search_path = evil, pg_catalog",
    "SET search_path TO pg_temp, public",
    "SELECT set_config('search_path', $1, false)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SET search_path TO app, public",
    "SELECT set_config('search_path', '', false)",
    "SET search_path = pg_catalog, app",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"this `{clip(mark.subject)}` could hide the names of pg_catalog",
        hint="leave pg_catalog out of search_path, or first in it",
    )
