"""HP4103: SECURITY DEFINER."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4103"
TITLE: Final = "SECURITY DEFINER"
MARKS: Final = frozenset((MarkKind.SECURITY_DEFINER,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "ALTER FUNCTION f() SECURITY DEFINER",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER FUNCTION f() SECURITY INVOKER",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` would run with the rights of its owner (SECURITY DEFINER)",
        hint="use SECURITY INVOKER, the default",
    )
