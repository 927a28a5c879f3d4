"""HP2104: MERGE without an effective condition."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2104"
TITLE: Final = "MERGE without an effective condition"
MARKS: Final = frozenset((MarkKind.MERGE_UNFILTERED,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a",
    "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (1)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"MERGE may change or remove every row of `{clip(mark.subject)}`",
        hint="join on a column of the target, and bound each branch",
    )
