"""HP5107: acts on sessions or the whole server."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5107"
TITLE: Final = "acts on sessions or the whole server"
MARKS: Final = frozenset(
    (
        MarkKind.BACKEND,
        MarkKind.FUNCTION,
    )
)
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
    "SELECT pg_reload_conf()",
    "CHECKPOINT",
    "SELECT pg_drop_replication_slot('s')",
    "SELECT pg_stat_reset()",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT pid FROM pg_stat_activity",
    "SELECT query_to_xml('x', true, true, '')",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` {clip(mark.detail)}",
        hint="ask the database administrators",
    )
