"""What the recorder does before the first record: notice a cut trail, name what has no outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from holdpoint.audit.heads import key_id, signature_holds
from holdpoint.audit.record import ChainedRecord, canonical_bytes
from holdpoint.engine.headfile import HeadFile
from holdpoint.engine.reads import ReadGroup, replay
from holdpoint.engine.spool import Leftover
from holdpoint.model.record import RecordKind
from holdpoint.store import Store, StoreError
from holdpoint.store.records import Entry, last_of, record_at, without_outcome


def check_not_cut(store: Store, origin: str, heads: HeadFile, key: Ed25519PublicKey) -> None:
    """Refuse to go on from a store that lacks what a signed head vouches for."""
    head = heads.last()
    if head is None:
        return
    if head.key_id == key_id(key) and not signature_holds(key, origin, head):
        raise StoreError(
            f"the heads in `{heads.path}` belong to another trail: move that file aside, "
            "or name the right store"
        )
    with store.database.reading() as connection:
        record = record_at(connection, head.size)
    if record is None or record.hash != head.hash:
        raise StoreError(
            f"the trail in `{store.path}` was cut or rewritten: a signed head in `{heads.path}` "
            f"vouches for {head.size:,} records that are not there as they were. Run "
            "`holdpoint audit verify`; if you restored a backup on purpose, move that file aside"
        )


def entries(
    connection: Connection, origin: str, leftovers: Sequence[Leftover], about: dict[str, Any]
) -> list[Entry]:
    """Return the records that begin a run: replayed reads, unknown outcomes, `trail.opened`."""
    opened = last_of(connection, RecordKind.TRAIL_OPENED)
    run = 0 if opened is None else opened.seq
    last = None if opened is None else last_of(connection, RecordKind.READS, after=run)
    open_reads = _open_reads(last)
    found: list[Entry] = []
    texts: dict[int, str] = {}
    done = generation_of(last, run)
    for leftover in leftovers:
        if leftover.origin != origin or leftover.run > run:
            raise StoreError(
                "the spool beside the store belongs to another trail, or the trail was cut: "
                "run `holdpoint audit verify`, and move the `.spool` file aside as evidence"
            )
        if leftover.run < run or leftover.generation <= done:
            continue
        group = replay(leftover, open_reads)
        open_reads = group.open
        texts.update(_texts_of(group))
        found.append(Entry(RecordKind.READS, group.body()))
    found += [_unknown_statement(seq) for seq in without_outcome(connection, after=run)]
    found += [_unknown_read(run, number, texts.get(number)) for number in open_reads]
    about = {**about, "previous": run, "unknown_outcomes": len(found)}
    found.append(Entry(RecordKind.TRAIL_OPENED, canonical_bytes(about)))
    return found


def generation_of(record: ChainedRecord | None, run: int) -> int:
    """Return the generation of a `reads` record of this run; 0 if it is none."""
    if record is None:
        return 0
    body = orjson.loads(record.body)
    return int(body["generation"]) if body.get("run") == run else 0


def _open_reads(record: ChainedRecord | None) -> list[int]:
    if record is None:
        return []
    return [int(number) for number in orjson.loads(record.body)["open"]]


def _texts_of(group: ReadGroup) -> dict[int, str]:
    found = {}
    for entry in group.started:
        number, _, _, text_id, _ = orjson.loads(entry[:-1])
        found[number] = text_id if isinstance(text_id, str) else group.texts[str(text_id)]
    return found


def _unknown_statement(seq: int) -> Entry:
    body = {"started": seq, "why": "the server died before the outcome was recorded"}
    return Entry(RecordKind.STATEMENT_OUTCOME_UNKNOWN, canonical_bytes(body), seq)


def _unknown_read(run: int, number: int, text: str | None) -> Entry:
    """The text is given when this start replayed the read; else its group has it."""
    body: dict[str, Any] = {
        "run": run,
        "read": number,
        "why": "the server died before the outcome was recorded",
    }
    if text is not None:
        body["text"] = text
    return Entry(RecordKind.STATEMENT_OUTCOME_UNKNOWN, canonical_bytes(body))
