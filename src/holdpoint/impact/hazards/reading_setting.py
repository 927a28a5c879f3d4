"""HP1006: changes how later text is read."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1006"
TITLE: Final = "changes how later text is read"
MARKS: Final = frozenset((MarkKind.READING_SETTING,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SET standard_conforming_strings = off",
    "SET client_encoding TO 'SJIS'",
    "SELECT set_config('backslash_quote', 'on', false)",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SET client_encoding TO 'UTF8'",
    "SET standard_conforming_strings = on",
    "SET NAMES 'utf-8'",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"setting `{clip(mark.subject)}` changes how later text is read",
        hint="leave standard_conforming_strings on and use UTF-8",
    )
