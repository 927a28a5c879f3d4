"""HP5106: reaches another server."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5106"
TITLE: Final = "reaches another server"
MARKS: Final = frozenset((MarkKind.FOREIGN,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)",
    "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
    "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = ("SELECT * FROM pg_publication",)


def _name(mark: Mark) -> str:
    return f" (`{clip(mark.subject)}`)" if mark.subject else ""


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"{clip(mark.detail)}{_name(mark)}: data leaves or enters this database",
        hint="ask the people who own the connection between the two",
    )
