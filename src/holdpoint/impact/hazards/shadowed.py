"""HP1010: a user's name stands in for a built-in."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1010"
TITLE: Final = "a user's name stands in for a built-in"
MARKS: Final = frozenset((MarkKind.SHADOWED,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE FUNCTION public.lower(int) RETURNS text LANGUAGE sql
        AS 'DELETE FROM orders; SELECT $1::text';
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT lower(id) FROM orders",)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT upper(status) FROM orders",
    "SELECT pg_catalog.lower(status) FROM orders",
)


def _owner(mark: Mark) -> str:
    return f" in schema `{clip(mark.detail)}`" if mark.detail else ""


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` may not be the built-in: another one stands{_owner(mark)}",
        hint="write `pg_catalog.` before the name to mean the built-in",
    )
