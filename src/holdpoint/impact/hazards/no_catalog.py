"""HP1009: the catalog could not be read."""

from typing import Final

from holdpoint.impact.hazards.wording import more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1009"
TITLE: Final = "the catalog could not be read"
MARKS: Final = frozenset((MarkKind.NO_CATALOG,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ()
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT 1",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the catalog is not known, so no trigger or function is{more(mark.detail)}",
        hint="`holdpoint doctor` says what the gate cannot reach",
    )
