"""HP1011: names could mean something else."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1011"
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
        message=f"which objects are meant depends on `{clip(mark.subject)}`{more(mark.detail)}",
        hint="write names with their schema, or set the setting again outside of a transaction",
    )
