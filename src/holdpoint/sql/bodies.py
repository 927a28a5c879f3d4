"""The bodies of functions and procedures, read by their language."""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Function
from holdpoint.model.limits import CODE_CHARS_MAX
from holdpoint.sql import plpgsql
from holdpoint.sql.code import Code, Collector

READ_LANGUAGES: Final = frozenset(("sql", "plpgsql"))
"""The languages whose bodies can be read."""


def statements_of(function: Function) -> Code:
    """Everything that the body of ``function`` could run. Never raises."""
    return code_in(function.language, function.body, function.argument_names)


def code_in(language: str, body: str, names: tuple[str, ...] = ()) -> Code:
    """Everything that ``body`` could run; ``names`` are those of the arguments."""
    if language == "plpgsql":
        return plpgsql.code_of(body, names)
    if language != "sql":
        return Code(unknowns=(f"is written in `{language}`, which Holdpoint does not read",))
    if len(body) > CODE_CHARS_MAX:
        return Code(unknowns=(f"has a body of more than {CODE_CHARS_MAX:,} characters",))
    collected = Collector()
    collected.variables.update(names)
    collected.sql(body, 1)
    return collected.code()
