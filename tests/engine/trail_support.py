"""What the recorder's tests share: records to write, and the trail as it then stands."""

from __future__ import annotations

from typing import Any

import orjson

from holdpoint.audit.export import head_from_line
from holdpoint.audit.heads import public_from_text
from holdpoint.audit.verify import Report, verify
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store
from holdpoint.store import records as rows


def started(**body: Any) -> Record:
    return Record(RecordKind.STATEMENT_STARTED, body)


def finished(seq: int) -> Record:
    return Record(RecordKind.STATEMENT_FINISHED, {"started": seq})


def trail(store: Store) -> list[tuple[str, Any]]:
    return [(record.kind, orjson.loads(record.body)) for record in store.records.walk()]


def bodies(store: Store, kind: RecordKind) -> list[Any]:
    return [body for found, body in trail(store) if found == kind.value]


def verified(store: Store) -> Report:
    key = public_from_text(store.beside(".pub").read_text())
    side = [head_from_line(line) for line in store.beside(".heads").read_bytes().splitlines()]
    with store.database.reading() as connection:
        heads = [*rows.heads(connection), *side]
        return verify(rows.origin(connection), rows.walk(connection), heads, [key])
