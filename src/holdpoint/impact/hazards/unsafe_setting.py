"""HP4203: a setting that is not known as harmless."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4203"
TITLE: Final = "a setting that is not known as harmless"
MARKS: Final = frozenset((MarkKind.UNSAFE_SETTING,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SET work_mem = '8GB'",
    "SET session_replication_role = replica",
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'x'",
    "SELECT set_config(a, b, false) FROM t",
    "SET app.tenant = '7'",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SET application_name = 'x'",
    "SET TimeZone = UTC",
    "SET statement_timeout = 0",
)


def _message(mark: Mark) -> str:
    if mark.detail.startswith("which "):
        return f"sets `{clip(mark.subject)}`, {mark.detail}"
    return f"`{clip(mark.subject)}`: {mark.detail}"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=_message(mark),
        hint="leave the setting as it is, or ask for approval",
    )
