"""HP2207: foreign keys reach rows of other tables."""

from typing import Final

from holdpoint.impact.hazards.wording import about, clip, listed
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Basis, Cascade, Figure, Impact

CODE: Final = "HP2207"
TITLE: Final = "foreign keys reach rows of other tables"
EXAMPLES_HIT: Final = (
    Impact(
        rows=Figure(3, Basis.EXACT),
        cascades=(
            Cascade(
                level=1,
                table="items",
                constraint="items_order_id_fkey",
                action="delete",
                through="orders",
                rows=Figure(48_211, Basis.ESTIMATE),
            ),
        ),
    ),
)
EXAMPLES_MISS: Final = (
    Impact(rows=Figure(3, Basis.EXACT)),
    Impact(
        cascades=(
            Cascade(
                level=1,
                table="items",
                constraint="items_order_id_fkey",
                action="delete",
                through="orders",
                rows=Figure(0, Basis.EXACT),
            ),
        ),
    ),
)


def _words(cascade: Cascade) -> str:
    verb = "removes" if cascade.action == "delete" else "changes"
    return f"{verb} {about(cascade.rows, 'row')} of `{clip(cascade.table)}`"


def describe(impact: Impact) -> tuple[Finding, ...]:
    """One finding for all levels together, nearest first; none where no row is reached."""
    reached = [
        cascade
        for cascade in sorted(impact.cascades, key=lambda cascade: cascade.level)
        if not (cascade.rows.basis is Basis.EXACT and cascade.rows.value == 0)
    ]
    if not reached:
        return ()
    chain = [
        f"level {cascade.level}: {clip(cascade.constraint)} on {clip(cascade.through)}"
        for cascade in reached
    ]
    return (
        Finding(
            code=CODE,
            message=f"through foreign keys it {listed([_words(cascade) for cascade in reached])}",
            detail="; ".join(dict.fromkeys(chain)),
            hint="the row count of the statement does not include these",
        ),
    )
