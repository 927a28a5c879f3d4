"""HP5104: code in an untrusted language."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5104"
TITLE: Final = "code in an untrusted language"
MARKS: Final = frozenset((MarkKind.LANGUAGE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'return 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'lib', 'f'",
    "CREATE LANGUAGE x HANDLER h",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"code in `{clip(mark.subject)}` runs inside the server: {mark.detail}",
        hint="use SQL or PL/pgSQL",
    )
