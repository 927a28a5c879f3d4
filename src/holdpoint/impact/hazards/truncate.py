"""HP3104: TRUNCATE."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3104"
TITLE: Final = "TRUNCATE"
MARKS: Final = frozenset((MarkKind.TRUNCATE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "TRUNCATE orders",
    "truncate table a, b restart identity cascade",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE id = 1",
    "SELECT truncate FROM t",
)

_CASCADE: Final = ", and CASCADE those of the tables that refer to it"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    cascade = _CASCADE if mark.detail else ""
    return Finding(
        code=CODE,
        message=f"TRUNCATE removes every row of `{clip(mark.subject)}`" + cascade,
        hint="delete the rows meant with DELETE ... WHERE",
    )
