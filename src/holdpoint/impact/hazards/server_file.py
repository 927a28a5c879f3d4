"""HP5102: reads or writes files of the server."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5102"
TITLE: Final = "reads or writes files of the server"
MARKS: Final = frozenset((MarkKind.SERVER_FILE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "COPY t TO '/tmp/x'",
    "COPY t FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "LOAD '/tmp/x.so'",
    "SELECT * FROM pg_ls_dir('.')",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "COPY t TO STDOUT",
    "SELECT 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}`: {clip(mark.detail)}",
        hint="send the data through the connection instead",
    )
