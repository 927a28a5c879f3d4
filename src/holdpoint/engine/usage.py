"""Which agents the trail has seen at a table lately: a bounded look back, newest first.

Plain reads of the fast lane are kept in groups without their tables; they are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from holdpoint.audit.record import ChainedRecord
from holdpoint.model import limits
from holdpoint.model.impact import TableUser

Recent = Callable[[int, int], Sequence[ChainedRecord]]


def agents_at(
    recent: Recent, target: str, agent: str, tables: Collection[str]
) -> tuple[TableUser, ...]:
    """The agents besides ``agent`` that ran statements on ``tables`` of ``target``.

    ``recent`` gives the newest started statements, at most so many, each at most so long. A name
    without a schema counts for a table of any schema. Raises what ``recent`` raises.
    """
    if not tables:
        return ()
    found: dict[tuple[str, str], list[int]] = {}  # (table, agent): moments in microseconds
    for record in recent(limits.USAGE_RECORDS_MAX, limits.USAGE_RECORD_CHARS_MAX):
        body = _body(record)
        who = str(body.get("agent", ""))
        if body.get("target") != target or who in ("", agent):
            continue
        for table in _used(body) & set(_by_any_name(tables)):
            found.setdefault((_by_any_name(tables)[table], who), []).append(record.at_us)
    users = [
        TableUser(table=table, kind="agent", name=who, detail=_detail(moments))
        for (table, who), moments in found.items()
    ]
    return tuple(users[: limits.TABLE_USERS_MAX])


def _by_any_name(tables: Collection[str]) -> dict[str, str]:
    """Tables by what statements may call them: with their schema and without."""
    names = {table.rpartition(".")[2]: table for table in tables}
    return {**names, **{table: table for table in tables}}


def _body(record: ChainedRecord) -> dict[str, Any]:
    """The record's body; one that was tampered with says nothing."""
    try:
        body = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _used(body: dict[str, Any]) -> set[str]:
    """Names of everything that the statements of a record use."""
    return {
        str(use.get("name", ""))
        for statement in _tables_of(body, "statements")
        for use in _tables_of(statement, "objects")
    }


def _tables_of(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of JSON objects; empty when it has another form."""
    found = body.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _detail(moments: Sequence[int]) -> str:
    count = f"{len(moments)} statement{'' if len(moments) == 1 else 's'}"
    last = datetime.fromtimestamp(max(moments) / 1_000_000, UTC)
    return f"{count} lately, last on {last:%Y-%m-%d %H:%M} UTC"
