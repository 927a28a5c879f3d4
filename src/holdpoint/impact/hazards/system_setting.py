"""HP5105: changes settings of the server, a database or a role."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5105"
TITLE: Final = "changes settings of the server, a database or a role"
MARKS: Final = frozenset((MarkKind.SYSTEM_SETTING,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "ALTER SYSTEM SET archive_command = 'x'",
    "ALTER ROLE app SET statement_timeout = 0",
    "ALTER DATABASE shop SET search_path = x",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SET application_name = 'x'",)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"{mark.detail} changes `{clip(mark.subject)}` for every later session",
        hint="set it for this session only, if at all",
    )
