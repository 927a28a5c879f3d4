"""HP5101: runs a program on the server."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5101"
TITLE: Final = "runs a program on the server"
MARKS: Final = frozenset((MarkKind.PROGRAM,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "COPY t TO PROGRAM 'cat > /tmp/x'",
    "COPY t FROM PROGRAM 'curl http://x'",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "COPY t TO STDOUT",
    "COPY t FROM STDIN",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"COPY runs the program `{clip(mark.subject)}` on the database server",
        hint="use COPY ... TO STDOUT or FROM STDIN",
    )
