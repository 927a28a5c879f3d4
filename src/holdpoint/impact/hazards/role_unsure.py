"""HP4204: the session's role is not certain."""

from typing import Final

from holdpoint.impact.hazards.wording import more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4204"
TITLE: Final = "the session's role is not certain"
MARKS: Final = frozenset((MarkKind.ROLE_UNSURE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ()
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT 1",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the role it would run as is not certain{more(mark.detail)}",
        hint="connect anew; a new session has the role of its tier",
    )
