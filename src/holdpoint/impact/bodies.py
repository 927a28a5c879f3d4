"""What code behind a trigger or rule does: functions as they are read, rules by names in them.

The look at names says too much rather than too little: a name in a comment counts, and what it
cannot see into (SQL put together at run time, escaped names) is said to reach anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from holdpoint.model.limits import BODY_NAMES_CHARS_MAX
from holdpoint.sql.consequences import summary
from holdpoint.sql.names import Catalog

Summary = Callable[[int], tuple[tuple[str, ...], bool]]
"""A function's oid to what it does, in words, and whether it reaches outside the database."""

FIRST_USER_OID: Final = 16_384  # PostgreSQL: FirstNormalObjectId; below are built-in functions

_OUTSIDE: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.I), words)
    for pattern, words in (
        (r"\bpg_notify\b", "notifies other sessions (`pg_notify`)"),
        (r"\bnotify\s+[\w\"]", "notifies other sessions (`NOTIFY`)"),
        (r"\bdblink\w*", "calls another database (`dblink`)"),
        (r"\bnet\s*\.\s*\"?http_\w+", "calls a web address (`net.http`)"),
        (r"\bhttp\w*\s*\(|\bhttp\w*\"\s*\(", "calls a web address (`http`)"),
        (r"\bpg_background\w*", "starts work in the background (`pg_background`)"),
        (r"\bpg_logical_emit_message\b", "writes a message for subscribers"),
        (r"\bcopy\b[^;]*\bprogram\b", "runs a program of the server (`COPY ... PROGRAM`)"),
        (r"\blo_(?:ex|im)port\b|\bpg_file_\w+", "reads or writes files of the server"),
        (r"\b(?:aws_lambda|aws_s3|pgmq|cron|plsh|amqp)\s*\.", "calls another service"),
    )
)  # fmt: skip
_WRITES: Final = re.compile(
    r"\b(insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?:only\s+)?"
    r"((?:\"[^\"]+\"|[\w$]+)(?:\s*\.\s*(?:\"[^\"]+\"|[\w$]+))?)",
    re.I,
)
_WORDS_OF_WRITES: Final = {
    "insert": "adds rows to",
    "update": "changes rows of",
    "delete": "deletes rows of",
    "merge": "adds or changes rows of",
    "truncate": "empties",
}
# Words that follow UPDATE where it is no statement: FOR UPDATE OF, DO UPDATE SET, UPDATE ON.
_NO_TABLE: Final = frozenset(("of", "set", "on", "or", "then", "skip", "nowait"))
_DYNAMIC: Final = re.compile(r"\bexecute\b(?!\s+(?:function|procedure)\b)", re.I)
_ESCAPED: Final = re.compile(r"\bu&\s*[\"']", re.I)


def names_in(text: str) -> tuple[tuple[str, ...], bool]:
    """What the names in a piece of SQL or PL/pgSQL suggest, and whether that reaches outside."""
    whole = text[:BODY_NAMES_CHARS_MAX]
    found: dict[str, None] = {}
    outside = False
    for pattern, words in _OUTSIDE:
        if pattern.search(whole):
            found[words] = None
            outside = True
    for match in _WRITES.finditer(whole):
        verb, table = match.group(1).split()[0].lower(), match.group(2)
        if table.lower() not in _NO_TABLE:
            found[f"{_WORDS_OF_WRITES[verb]} `{table}`"] = None
    if _DYNAMIC.search(whole):
        found["runs SQL that it puts together, which nobody can foresee"] = None
        outside = True
    if _ESCAPED.search(whole) or len(text) > BODY_NAMES_CHARS_MAX:
        found["has parts that cannot be read here"] = None
        outside = True
    return tuple(found), outside


def by_effects(catalog: Catalog) -> Summary:
    """What the reader finds in a function's body, and in those of the functions that it calls."""

    def told(oid: int) -> tuple[tuple[str, ...], bool]:
        if oid in range(1, FIRST_USER_OID) and catalog.function(oid) is None:
            return ("a built-in function",), False
        return summary(catalog, oid)

    return told
