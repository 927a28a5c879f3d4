"""HP4104: acts with a function owner's rights."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4104"
TITLE: Final = "acts with a function owner's rights"
MARKS: Final = frozenset((MarkKind.DEFINER_CALL,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE FUNCTION all_orders() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS 'SELECT count(*) FROM public.orders';
    CREATE FUNCTION my_orders() RETURNS bigint LANGUAGE sql STABLE
        AS 'SELECT count(*) FROM orders';
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT all_orders()",)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT my_orders()",
    "SELECT 1",
)


def _owner(mark: Mark) -> str:
    return f" `{clip(mark.detail)}`" if mark.detail else ""


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` acts with the rights of its owner{_owner(mark)}",
        hint="use a function or query that runs with your own rights",
    )
