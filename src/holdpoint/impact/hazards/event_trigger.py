"""HP3204: a definition sets off an event trigger."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, more
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP3204"
TITLE: Final = "a definition sets off an event trigger"
MARKS: Final = frozenset((MarkKind.EVENT_TRIGGER,))
EXAMPLES_SCHEMA: Final = """
    CREATE TABLE orders (id int PRIMARY KEY);
    CREATE TABLE log (what text);
    CREATE FUNCTION note_change() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO log VALUES (tg_tag);
    END $$;
    CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note_change();
"""
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "CREATE TABLE t (a int)",
    "ALTER TABLE orders ADD COLUMN a int",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT 1",
    "INSERT INTO orders VALUES (1)",
)


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        message=f"the change sets off the event trigger `{clip(mark.subject)}`{more(mark.detail)}",
        hint="ask who owns the event trigger what it does with this change",
    )
