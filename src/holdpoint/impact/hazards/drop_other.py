"""HP3106: DROP of another object."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3106"
TITLE: Final = "DROP of another object"
MARKS: Final = frozenset((MarkKind.DROP,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DROP VIEW v",
    "DROP FUNCTION f(int)",
    "DROP TYPE t CASCADE",
    "DROP TRIGGER audit ON orders",
    "DROP ROLE r",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DROP TABLE t",
    "DROP SCHEMA s",
    "DEALLOCATE ALL",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.detail not in ("TABLE", "FOREIGN TABLE", "INDEX", "SCHEMA", "DATABASE", "OWNED")


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"DROP {mark.detail} removes `{clip(mark.subject)}`",
        hint="make sure that nothing uses it any more",
    )
