"""The trail's records as lines for people: a group of plain reads becomes one line per read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from holdpoint.audit.record import ChainedRecord
from holdpoint.model.record import RecordKind
from holdpoint.store.times import from_us

KINDS: Final = (*(kind.value for kind in RecordKind if kind is not RecordKind.READS), "read")
_WORDS_CHARS_MAX: Final = 400  # chosen: five lines of a terminal; `--json` has everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. ``seq`` is the record it stands in; ``body`` all that is known of it."""

    seq: int
    at_us: int
    kind: str
    agent: str
    session: str
    body: dict[str, Any]

    @property
    def time(self) -> str:
        """When, to the millisecond, UTC."""
        return f"{from_us(self.at_us):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    def document(self) -> dict[str, Any]:
        """The line as JSON."""
        return {
            "seq": self.seq,
            "at": from_us(self.at_us).isoformat(),
            "kind": self.kind,
            "agent": self.agent,
            "session": self.session,
            "body": self.body,
        }

    def words(self) -> str:
        """What happened, on one line."""
        body = self.body
        parts = [str(body[key]) for key in ("hold", "task", "answer", "approver") if body.get(key)]
        if "started" in body:
            parts.append(f"outcome of record {body['started']}")
        if "read" in body:
            parts.append(f"read {body['read']}")
        parts += [str(body[key]) for key in ("state", "summary", "note", "tag") if body.get(key)]
        if isinstance(body.get("rows"), int) and body["rows"] >= 0:
            parts.append(f"{body['rows']:,} rows")
        told = ("description", "reason", "sqlstate", "why", "text")
        parts += [str(body[key]) for key in told if body.get(key)]
        text = " · ".join(" ".join(part.split()) for part in parts)
        return text if len(text) <= _WORDS_CHARS_MAX else text[:_WORDS_CHARS_MAX] + " …"


def lines_of(records: Iterable[ChainedRecord]) -> Iterator[Line]:
    """Yield the lines of a trail. An agent is told by its session where a record does not."""
    agents: dict[str, str] = {}
    for record in records:
        try:
            body: Any = orjson.loads(record.body)
        except orjson.JSONDecodeError:
            body = {"unreadable": record.body.decode(errors="replace")}
        if not isinstance(body, dict):
            body = {"value": body}
        if record.kind == RecordKind.READS:
            yield from _reads(record, body, agents)
            continue
        session, agent = str(body.get("session", "")), str(body.get("agent", ""))
        if session and agent:
            agents[session] = agent
        yield Line(
            seq=record.seq,
            at_us=record.at_us,
            kind=record.kind,
            agent=agent or agents.get(session, ""),
            session=session,
            body=body,
        )
        if record.kind == RecordKind.SESSION_CLOSED:
            agents.pop(session, None)


def _reads(record: ChainedRecord, body: dict[str, Any], agents: dict[str, str]) -> Iterator[Line]:
    """Yield one line per read that starts in this group, and per outcome of an earlier one."""
    base = int(body["base_us"])
    outcomes = {entry[0]: entry for entry in body["finished"]}
    for number, offset, session, text_id, parameters in body["started"]:
        text = text_id if isinstance(text_id, str) else body["texts"][str(text_id)]
        read = {"read": number, "run": body["run"], "text": text}
        if parameters is not None:
            read["parameters_base64"] = parameters
        outcome = outcomes.pop(number, None)
        if outcome is not None:
            read |= {"rows": outcome[2], "sqlstate": outcome[3]}
            read["duration_us"] = outcome[1] - offset
        name = str(session)
        yield Line(
            seq=record.seq,
            at_us=base + offset,
            kind="read",
            agent=agents.get(name, ""),
            session=name,
            body=read,
        )
    for number, offset, rows, sqlstate in outcomes.values():
        yield Line(
            seq=record.seq,
            at_us=base + offset,
            kind="read",
            agent="",
            session="",
            body={"read": number, "run": body["run"], "rows": rows, "sqlstate": sqlstate},
        )
