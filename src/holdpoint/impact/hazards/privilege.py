"""HP4101: changes who may do what."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "HP4101"
TITLE: Final = "changes who may do what"
MARKS: Final = frozenset((MarkKind.PRIVILEGE,))
EXAMPLES_HIT: Final[tuple[str, ...]] = (
    "GRANT ALL ON orders TO agent",
    "REVOKE SELECT ON orders FROM app",
    "CREATE ROLE r SUPERUSER",
    "ALTER TABLE orders OWNER TO agent",
    "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
    "SELECT * FROM pg_authid",
    "UPDATE pg_class SET relname = 'x' WHERE oid = 1",
)
EXAMPLES_MISS: Final[tuple[str, ...]] = (
    "SELECT * FROM pg_roles",
    "SELECT has_table_privilege('orders', 'select')",
)


def _message(mark: Mark) -> str:
    what = mark.detail or "changes privileges"
    if what.isupper():
        return f"{what} changes who may do what" + (
            f": `{clip(mark.subject)}`" if mark.subject else ""
        )
    return f"`{clip(mark.subject)}`: {what}"


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(code=CODE, message=_message(mark), hint="ask the people who own access to do it")
