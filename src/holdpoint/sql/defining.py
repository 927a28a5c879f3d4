"""Which statements define what others could run."""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model.effects import Effect, Statement

# Definitions of plain things: nothing runs because of them that did not before. Others (functions,
# triggers, views, rules, casts, policies, ...) can change what a name sets off.
_PLAIN_DEFINITIONS: Final = frozenset(
    (
        "CREATE TABLE",
        "CREATE TABLE AS",
        "SELECT INTO",
        "CREATE INDEX",
        "CREATE SEQUENCE",
        "CREATE SCHEMA",
        "CREATE STATISTICS",
        "CREATE MATERIALIZED VIEW",
        "REFRESH MATERIALIZED VIEW",
        "COMMENT",
        "DROP TABLE",
        "DROP INDEX",
        "DROP SEQUENCE",
        "TRUNCATE TABLE",
        "REINDEX",
        "CLUSTER",
        "VACUUM",
        "ANALYZE",
    )
)
_ALTERS_CODE: Final = re.compile(
    r"trigger|rule|default|check|row|policy|rename|set\s+schema|attach|inherit|type|owner", re.I
)


def defines(statement: Statement) -> bool:
    """Whether a statement defines what later ones could set off before a picture shows it."""
    if Effect.DDL not in statement.effects and Effect.DESTRUCTIVE not in statement.effects:
        return False
    if statement.tag == "ALTER TABLE":
        return _ALTERS_CODE.search(statement.text) is not None
    return statement.tag not in _PLAIN_DEFINITIONS
