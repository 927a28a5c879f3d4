"""HP1002: a part of the statement is not understood."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1002"
TITLE: Final = "a part of the statement is not understood"
MARKS: Final = frozenset((MarkKind.UNREADABLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = ("EXECUTE never_prepared",)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT 1",
    "PREPARE p AS SELECT 1; EXECUTE p",
)


def _message(mark: Mark) -> str:
    if mark.detail == "not prepared":
        return f"`{clip(mark.subject)}` is executed but was not prepared in this session"
    return clip(mark.detail)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.subject not in ("syntax", "limit", "encoding")


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=_message(mark),
        hint="write the part that is not understood in another form, or ask for approval",
    )
