"""HP2202: foreign keys change rows of other tables."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2202"
TITLE: Final = "foreign keys change rows of other tables"
MARKS: Final = frozenset((MarkKind.CASCADE,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE);
    CREATE TABLE notes (id int PRIMARY KEY, order_id int REFERENCES orders);
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE id = 1",
    "DELETE FROM orders",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DELETE FROM items WHERE id = 1",
    "UPDATE orders SET status = 'x' WHERE id = 1",
    "DELETE FROM notes WHERE id = 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"a foreign key changes rows of `{clip(mark.subject)}` as well{more(mark.detail)}",
        hint="count the rows that refer to these before you run it",
    )
