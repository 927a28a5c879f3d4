"""HP1001: the text is not valid SQL."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1001"
TITLE: Final = "the text is not valid SQL"
MARKS: Final = frozenset((MarkKind.UNREADABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELEC 1",
    "SELECT (1",
    "SELECT 'x",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT 1",
    "",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.subject == "syntax"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the statement is not valid SQL: {clip(mark.detail)}",
        hint="correct the statement; nothing of the message ran",
    )
