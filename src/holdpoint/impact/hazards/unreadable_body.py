"""HP1008: code in a language that is not read."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1008"
TITLE: Final = "code in a language that is not read"
MARKS: Final = frozenset((MarkKind.UNREADABLE_BODY,))
EXAMPLES_SCHEMA: Final = """
    CREATE FUNCTION secret(int) RETURNS int LANGUAGE internal STRICT AS 'int4abs';
    CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a * 2';
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT secret(1)",)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT twice(1)",
    "SELECT abs(1)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` {clip(mark.detail or 'holds code that cannot be read')}",
        hint="say in SQL what the function would do, or ask for approval",
    )
