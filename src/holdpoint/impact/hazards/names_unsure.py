"""HP1010: names could mean something else."""

from typing import Final

from holdpoint.impact.hazards.wording import more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1010"
TITLE: Final = "names could mean something else"
MARKS: Final = frozenset((MarkKind.NAMES_UNSURE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ()
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT 1",
    "SET search_path = app, public",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"what its names mean is not certain{more(mark.detail)}",
        hint="write names with their schema, or set the setting again outside of a transaction",
    )
