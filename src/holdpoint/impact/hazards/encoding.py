"""HP1005: the session reads text in another way."""

from typing import Final

from holdpoint.model.effects import Mark, MarkKind, SessionView, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1005"
TITLE: Final = "the session reads text in another way"
MARKS: Final = frozenset((MarkKind.UNREADABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT 'gr\u00fc\u00dfe'",)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT 1",)

SESSION: Final = SessionView(encoding="LATIN1")
"""The session in which the examples are read."""


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.subject == "encoding"


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the text cannot be read as the server would: {mark.detail}",
        hint="use UTF-8 and standard_conforming_strings = on",
    )
