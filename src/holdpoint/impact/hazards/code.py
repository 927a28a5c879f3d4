"""HP5109: runs code that is not read."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP5109"
TITLE: Final = "runs code that is not read"
MARKS: Final = frozenset((MarkKind.CODE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "DO $$ BEGIN EXECUTE 'DELETE FROM ' || current_setting('a.b'); END $$",
    "DO $$ BEGIN DELETE FROM orders WHERE id = 1; COMMIT; END $$",
    "CALL archive_orders(1)",
    "DO LANGUAGE plpython3u 'x'",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT 1",
    "DO $$ BEGIN UPDATE orders SET status = 'x' WHERE id = 1; END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
)


def _message(mark: Mark) -> str:
    if mark.detail == "CALL":
        return f"CALL runs the procedure `{clip(mark.subject)}`, which Holdpoint does not know"
    return f"a DO block {clip(mark.detail or 'runs code that cannot be read')}"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=_message(mark),
        hint="send the statements one by one, so that each can be judged",
    )
