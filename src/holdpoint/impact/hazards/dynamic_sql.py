"""HP1007: a function builds SQL while it runs."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP1007"
TITLE: Final = "a function builds SQL while it runs"
MARKS: Final = frozenset((MarkKind.DYNAMIC_SQL,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE FUNCTION close_all(name text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('UPDATE %I SET status = 1', name);
    END $$;
    CREATE FUNCTION count_all() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
    BEGIN
        RETURN (SELECT count(*) FROM orders);
    END $$;
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = ("SELECT close_all('orders')",)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT count_all()",
    "SELECT 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"`{clip(mark.subject)}` {clip(mark.detail or 'builds SQL while it runs')}",
        hint="send the SQL that it would build, so that it can be judged",
    )
