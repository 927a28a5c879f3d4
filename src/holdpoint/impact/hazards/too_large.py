"""HP1004: the text is beyond what can be read safely."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1004"
TITLE: Final = "the text is beyond what can be read safely"
MARKS: Final = frozenset((MarkKind.UNREADABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT " + "1+" * 5_000 + "1",)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT 1+1+1",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.subject == "limit"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE, message=f"{clip(mark.detail)}", hint="split the statement into smaller ones"
    )
