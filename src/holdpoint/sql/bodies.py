"""The bodies of functions and procedures, read by their language."""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Function
from holdpoint.model.limits import CODE_CHARS_MAX
from holdpoint.sql import plpgsql
from holdpoint.sql.code import Code, Collector

# The types `trigger` and `event_trigger` (pg_type.dat).
_TRIGGERS: Final = frozenset((2279, 3838))
# What CREATE TYPE … AS RANGE makes beside the type (rangetypes.c, multirangetypes.c): they only put
# values together. Whoever else makes a function in `internal` is a superuser.
_RANGE_CONSTRUCTORS: Final = frozenset(
    (
        "range_constructor2",
        "range_constructor3",
        "multirange_constructor0",
        "multirange_constructor1",
        "multirange_constructor2",
    )
)


def statements_of(function: Function) -> Code:
    """Everything that the body of ``function`` could run. Never raises."""
    body = function.body
    if function.language == "plpgsql":
        if function.returns in _TRIGGERS:
            return plpgsql.trigger_code_of(body, function.name)
        return plpgsql.code_of(body, function.argument_names, function.name)
    if function.language == "internal" and body in _RANGE_CONSTRUCTORS:
        return Code()
    if function.language != "sql":
        return unread(function.language)
    if len(body) > CODE_CHARS_MAX:
        return Code(unknowns=(f"has a body of more than {CODE_CHARS_MAX:,} characters",))
    collected = Collector()
    collected.variables.update(function.argument_names)
    collected.labels.add(function.name)
    collected.columns_win = True  # PostgreSQL manual, section 36.5.1
    collected.sql(body, 1)
    return collected.code()


def block_code(language: str, body: str) -> Code:
    """Everything that a DO block could run. Never raises."""
    return plpgsql.code_of(body) if language == "plpgsql" else unread(language)


def unread(language: str) -> Code:
    """What is known of code in a language that is not read: nothing."""
    return Code(unknowns=(f"is written in `{language}`, which Holdpoint does not read",))
