"""The built-in policy ``careful``: what each access level makes of each effect, as data.

The table is section 7 of the design. ``VERSION`` is part of every policy digest: raise it when an
answer changes, so that no approval outlives the policy it was given under.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from holdpoint.model.effects import Effect, Statement
from holdpoint.model.target import AccessLevel

VERSION: Final = 1


class Answer(IntEnum):
    """What the table says to one effect, from least to most strict."""

    ALLOW = 0
    BY_ROWS = 1  # allow up to ``write_rows_max`` rows, else hold
    BY_SCHEDULE = 2  # hold in production's business hours and freezes and on big tables
    HOLD = 3
    DENY = 4  # this tier does not give it


def _row(
    *, write: Answer, bulk: Answer, ddl: Answer, destructive: Answer, powers: Answer, escape: Answer
) -> dict[Effect, Answer]:
    """One line of the table; reading, exhaustion and the unknown are the same in all of them."""
    return {
        Effect.READ: Answer.ALLOW,
        Effect.WRITE: write,
        Effect.BULK_WRITE: bulk,
        Effect.DDL: ddl,
        Effect.DESTRUCTIVE: destructive,
        Effect.PRIVILEGE: powers,
        Effect.SERVER_SIDE: powers,
        Effect.SESSION_ESCAPE: escape,
        Effect.EXHAUSTION: Answer.HOLD,
        Effect.UNKNOWN: Answer.HOLD,
    }


_A, _R, _S, _H, _D = Answer.ALLOW, Answer.BY_ROWS, Answer.BY_SCHEDULE, Answer.HOLD, Answer.DENY

TABLE: Final[dict[AccessLevel, dict[Effect, Answer]]] = {
    AccessLevel.READ_ONLY: _row(write=_D, bulk=_D, ddl=_D, destructive=_D, powers=_D, escape=_D),
    AccessLevel.READ_WRITE: _row(write=_R, bulk=_H, ddl=_D, destructive=_D, powers=_D, escape=_D),
    AccessLevel.FULL_NO_DROP: _row(write=_R, bulk=_H, ddl=_S, destructive=_D, powers=_D, escape=_D),
    AccessLevel.OWNER: _row(write=_R, bulk=_H, ddl=_S, destructive=_H, powers=_H, escape=_H),
}

LEVELS: Final = (
    AccessLevel.READ_ONLY,
    AccessLevel.READ_WRITE,
    AccessLevel.FULL_NO_DROP,
    AccessLevel.OWNER,
)  # from least to most

BITS: Final[dict[Effect, int]] = {effect: 1 << at for at, effect in enumerate(Effect)}
EVERY_EFFECT: Final = (1 << len(BITS)) - 1

# What counts as not production. A closed list: a name nobody foresaw ("prod", "live") must not
# switch the schedule off.
NOT_PRODUCTION: Final = frozenset(
    {"ci", "demo", "dev", "development", "local", "qa", "sandbox", "staging", "test", "testing"}
)

# Schema changes that neither scan, rewrite nor lock an existing table for long. Everything else
# needs the size of the table; a command nobody listed here is asked for it.
SIZE_FREE_TAGS: Final = frozenset(
    {
        "COMMENT",
        "CREATE AGGREGATE",
        "CREATE CAST",
        "CREATE COLLATION",
        "CREATE DOMAIN",
        "CREATE FUNCTION",
        "CREATE MATERIALIZED VIEW",
        "CREATE OPERATOR",
        "CREATE PROCEDURE",
        "CREATE SCHEMA",
        "CREATE SEQUENCE",
        "CREATE TABLE",
        "CREATE TABLE AS",
        "CREATE TYPE",
        "CREATE VIEW",
        "SELECT INTO",
    }
)


def bits_of(effects: frozenset[Effect]) -> int:
    """The effects as one number, for quick comparison with a rule's mask."""
    bits = 0
    for effect in effects:
        bits |= BITS[effect]
    return bits


def is_production(environment: str) -> bool:
    """Whether an environment is to be treated as production: every one not known otherwise."""
    return environment.lower() not in NOT_PRODUCTION


def size_matters(statement: Statement) -> bool:
    """Whether the size of an existing table matters to this schema change."""
    if Effect.DDL not in statement.effects and Effect.DESTRUCTIVE not in statement.effects:
        return False
    return statement.tag.upper() not in SIZE_FREE_TAGS
