"""HP1003: calls a function that Holdpoint does not know."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1003"
TITLE: Final = "calls a function that Holdpoint does not know"
MARKS: Final = frozenset((MarkKind.UNKNOWN_FUNCTION,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT recalculate_totals()",
    "SELECT a OPERATOR(evil.+) b FROM t",
    "SELECT query_to_xml('DELETE FROM t', true, true, '')",
    "SELECT * FROM t TABLESAMPLE mine(1)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT lower(name) FROM t",
    "SELECT pg_reload_conf()",
)


def _message(mark: Mark) -> str:
    name = clip(mark.subject)
    if mark.detail in ("operator", "sampling method"):
        return f"uses the {mark.detail} `{name}`, which Holdpoint does not know"
    if mark.detail:
        return f"calls `{name}`, which {mark.detail}"
    return f"calls `{name}`, which Holdpoint does not know"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE, message=_message(mark), hint="use a built-in function, or ask for approval"
    )
