"""Records of the trail as lines that people read: number, time, kind, who, and what was said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from holdpoint.audit.record import ChainedRecord

SAID_CHARS_MAX: Final = 300  # a line of the page; the whole record is in `holdpoint audit show`


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView:
    """One record in a line. ``hold`` is the id of the hold it speaks of, if any."""

    number: int
    at: str
    kind: str
    who: str
    said: str
    hold: str


def _said(body: dict[str, Any]) -> str:
    """The most telling thing in a record's body."""
    if body.get("text"):
        return str(body["text"])
    if body.get("answer"):
        note = f": {body['note']}" if body.get("note") else ""
        return f"{body['answer']}{note}"
    if body.get("description"):
        return f"{body.get('task', '')}: {body['description']}"
    if body.get("summary"):
        return str(body["summary"])
    if isinstance(body.get("texts"), dict):  # a group of plain reads
        texts = [str(text) for text in body["texts"].values()]
        count = len(body["started"]) if isinstance(body.get("started"), list) else 0
        reads = "plain read" if count == 1 else "plain reads"
        return f"{count:,} {reads}{': ' if texts else ''}{'; '.join(texts[:3])}"
    if isinstance(body.get("started"), int):
        rows = body.get("rows", -1)
        counted = _rows(rows) if isinstance(rows, int) and rows >= 0 else ""
        failed = f", SQLSTATE {body['sqlstate']}" if body.get("sqlstate") else ""
        return f"of record {body['started']}{counted}{failed}"
    named = (
        (key, body.get(key)) for key in ("task", "state", "reason", "policy", "target", "tier")
    )
    return ", ".join(f"{key} {value}" for key, value in named if isinstance(value, str) and value)


def _rows(count: int) -> str:
    return f", {count:,} row" if count == 1 else f", {count:,} rows"


def record_view(record: ChainedRecord) -> RecordView:
    """Make a record readable; one whose body is damaged says so."""
    try:
        body = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        body = {"reason": "the body of this record cannot be read"}
    said = " ".join(_said(body).split())
    at = datetime.fromtimestamp(record.at_us // 1_000_000, UTC) if record.at_us >= 0 else None
    return RecordView(
        number=record.seq,
        at=at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else "unknown",
        kind=record.kind,
        who=str(body.get("approver") or body.get("agent") or ""),
        said=said if len(said) <= SAID_CHARS_MAX else said[:SAID_CHARS_MAX] + " …",
        hold=str(body.get("hold") or body.get("hold_id") or ""),
    )
