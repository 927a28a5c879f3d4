"""HP3205: others wait while a table is scanned or rewritten."""

from typing import Final

from holdpoint.impact.hazards.wording import about, clip
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Basis, Figure, Impact, LockMode, TableImpact, Work

CODE: Final = "HP3205"
TITLE: Final = "others wait while a table is scanned or rewritten"
EXAMPLES_HIT: Final = (
    Impact(
        tables=(
            TableImpact(
                name="orders",
                rows=Figure(2_100_000, Basis.ESTIMATE),
                lock=LockMode.ACCESS_EXCLUSIVE,
                blocks="everybody, readers too",
                work=Work.REWRITE,
                why="the type of `total` changes",
                busy=Figure(4, Basis.EXACT),
            ),
        )
    ),
)
EXAMPLES_MISS: Final = (
    Impact(),
    Impact(
        tables=(
            TableImpact(name="orders", lock=LockMode.ACCESS_EXCLUSIVE, blocks="everybody"),
            TableImpact(name="items", lock=LockMode.ROW_EXCLUSIVE),
        )
    ),
)

_WORK: Final = {
    Work.SCAN: "reads",
    Work.REWRITE: "writes anew",
    Work.UNKNOWN: "may read or write anew",
}


def _message(table: TableImpact) -> str:
    rows = about(table.rows, "row")
    lock = f" under {table.lock.value}" if table.lock is not None else ""
    return f"it {_WORK[table.work]} `{clip(table.name)}` ({rows}){lock}"


def _detail(table: TableImpact) -> str:
    parts = [clip(table.why)]
    if table.blocks:
        parts.append(f"the lock keeps out {clip(table.blocks)}")
    if table.busy.value:
        use = "uses" if table.busy.value == 1 else "use"
        parts.append(f"{about(table.busy, 'session')} {use} the table now")
    return "; ".join(part for part in parts if part)


def describe(impact: Impact) -> tuple[Finding, ...]:
    """One finding for each table that is worked through while others wait."""
    return tuple(
        Finding(
            code=CODE,
            message=_message(table),
            detail=_detail(table),
            hint="set lock_timeout, and let a migration do it in steps that lock for a moment",
        )
        for table in impact.tables
        if table.work is not Work.NONE and table.lock is not None
    )
