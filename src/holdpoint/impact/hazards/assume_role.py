"""HP4102: acts as another role."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4102"
TITLE: Final = "acts as another role"
MARKS: Final = frozenset((MarkKind.ASSUME_ROLE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SET ROLE admin",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT set_config('role', 'admin', false)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the session would act as the role `{clip(mark.subject)}`",
        hint="use the tier whose role has the right",
    )
