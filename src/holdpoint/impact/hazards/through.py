"""HP2201: sets off more than it says."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2201"
TITLE: Final = "sets off more than it says"
MARKS: Final = frozenset((MarkKind.THROUGH,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE TABLE totals (day date, amount numeric);
    CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS 'DELETE FROM orders';
    CREATE FUNCTION reset_totals() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE totals SET amount = 0;
        RETURN NEW;
    END $$;
    CREATE TRIGGER reset AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION reset_totals();
    CREATE VIEW open_orders AS SELECT * FROM orders WHERE status = 'open';
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "SELECT forget()",
    "UPDATE orders SET status = 'x' WHERE id = 1",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM open_orders",
    "SELECT * FROM orders WHERE id = 1",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"it sets off `{clip(mark.subject)}`, which does more{more(mark.detail)}",
        hint="read what it sets off before you run the statement",
    )
