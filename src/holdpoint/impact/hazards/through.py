"""HP2201: sets off more than it says."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, listed
from holdpoint.model.effects import Effect, Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP2201"
TITLE: Final = "sets off more than it says"
MARKS: Final = frozenset((MarkKind.THROUGH,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    CREATE TABLE totals (day date, amount numeric);
    CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS 'DELETE FROM orders';
    CREATE FUNCTION lower(int) RETURNS void LANGUAGE sql AS 'DELETE FROM orders';
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
    "SELECT lower(id) FROM orders",
    "UPDATE orders SET status = 'x' WHERE id = 1",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM open_orders",
    "SELECT pg_catalog.lower(status) FROM open_orders",
    "SELECT * FROM orders WHERE id = 1",
)


# By the value of the effect, which is the mark's detail.
_DOES: Final[dict[str, str]] = {
    Effect.WRITE: "changes rows",
    Effect.BULK_WRITE: "changes every row of a table",
    Effect.DDL: "changes the schema",
    Effect.DESTRUCTIVE: "destroys data",
    Effect.PRIVILEGE: "changes roles or privileges",
    Effect.SESSION_ESCAPE: "leaves the limits of the session",
    Effect.SERVER_SIDE: "reaches outside the tables of this database",
    Effect.EXHAUSTION: "holds up the server",
    Effect.UNKNOWN: "does something that is not understood",
}


def _does(detail: str) -> str:
    """``bulk_write, write`` in words; what is not the name of an effect stays as it is."""
    words = [_DOES.get(each, clip(each)) for each in detail.split(", ")]
    return listed([word for word in words if word]) or "does more"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"it sets off `{clip(mark.subject)}`, which {_does(mark.detail)}",
        hint="read what it sets off before you run the statement",
    )
