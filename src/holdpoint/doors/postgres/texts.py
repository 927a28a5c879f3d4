"""What a text means in its session: the statements that it executes by name stand before it."""

from __future__ import annotations

import asyncio
from typing import Final

from holdpoint import sql
from holdpoint.doors.postgres.passage import Passage
from holdpoint.doors.postgres.relay import Relay
from holdpoint.model import limits
from holdpoint.model.effects import MarkKind

# A text without these words gives no name to a statement, takes none away and uses none.
SPEAKS_OF_NAMES: Final = ("execute", "prepare", "deallocate", "discard")


async def with_prepared(relay: Relay, passage: Passage, text: str) -> str:
    """Put what a text EXECUTEs before it, as PREPARE; note the names it gives and takes.

    So people see what would run, and an approval binds to it: the name may mean something else
    the next time.
    """
    lowered = text.lower()
    if passage.is_foreign or not any(word in lowered for word in SPEAKS_OF_NAMES):
        return text
    if len(text) > limits.LOOP_TEXT_CHARS_MAX:
        reading = await asyncio.to_thread(sql.read, text)
    else:
        reading = sql.read(text)
    passage.note_names(reading)
    parts = [
        _as_prepare(relay, mark.subject)
        for statement in reading.statements
        for mark in statement.marks
        if mark.kind is MarkKind.UNREADABLE and mark.detail == "not prepared"
    ]
    return "".join(dict.fromkeys(parts)) + text


def _as_prepare(relay: Relay, name: str) -> str:
    """Return what a name stands for as a PREPARE with its end; nothing if that is not known."""
    prepared = relay.statements.get(name.encode())
    if prepared is None or not prepared.confirmed or prepared.epoch != relay.epoch:
        return ""
    try:
        query = prepared.query.decode()
    except UnicodeDecodeError:
        return ""
    if prepared.sql:
        return query + ";\n"
    quoted = '"' + name.replace('"', '""') + '"'
    return f"PREPARE {quoted} AS {query}\n;\n"
