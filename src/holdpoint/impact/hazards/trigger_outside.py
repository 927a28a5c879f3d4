"""HP2203: a trigger reaches outside the database."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2203"
TITLE: Final = "a trigger reaches outside the database"
MARKS: Final = frozenset((MarkKind.TRIGGER_OUTSIDE,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('orders', NEW.id::text);
        RETURN NEW;
    END $$;
    CREATE TRIGGER tell_others AFTER INSERT OR UPDATE ON orders
        FOR EACH ROW EXECUTE FUNCTION tell();
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "UPDATE orders SET status = 'x' WHERE id = 1",
    "INSERT INTO orders VALUES (1, 'new')",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "DELETE FROM orders WHERE id = 1",
    "SELECT * FROM orders",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"a trigger of `{clip(mark.subject)}` reaches outside{more(mark.detail)}",
        hint="ask who receives it; a rollback does not take back what has left",
    )
