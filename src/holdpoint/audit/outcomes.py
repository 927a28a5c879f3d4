"""Which starts of a trail have no outcome: step 8 of verification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from holdpoint.audit.record import ChainedRecord
from holdpoint.model.record import RecordKind

_ENDS = frozenset({RecordKind.STATEMENT_FINISHED, RecordKind.STATEMENT_OUTCOME_UNKNOWN})


class Outcomes:
    """Follows a trail record by record and keeps the starts that are open."""

    def __init__(self) -> None:
        self._statements: dict[int, None] = {}
        self._reads: dict[int, dict[int, int]] = {}  # run: read: its group's record

    def take(self, record: ChainedRecord) -> None:
        """Follow one record."""
        if record.kind == RecordKind.STATEMENT_STARTED:
            self._statements[record.seq] = None
        elif record.kind == RecordKind.READS:
            self._reads_taken(record)
        elif record.kind in _ENDS:
            body = _object(record)
            started, run, read = body.get("started"), body.get("run"), body.get("read")
            if isinstance(started, int):
                self._statements.pop(started, None)
            if isinstance(run, int) and isinstance(read, int):
                self._reads.get(run, {}).pop(read, None)

    def open(self) -> Iterator[tuple[int, str]]:
        """Yield the record of every open start, with words."""
        for seq in self._statements:
            yield (
                seq,
                (
                    f"the statement of record {seq:,} has no outcome: it still runs, or the server "
                    "died; its next start says so"
                ),
            )
        for run, reads in self._reads.items():
            for read, seq in reads.items():
                yield (
                    seq,
                    (
                        f"read {read:,} of run {run:,} (record {seq:,}) has no outcome: it still "
                        "runs, or the server died; its next start says so"
                    ),
                )

    def _reads_taken(self, record: ChainedRecord) -> None:
        """A group lists the reads of its run that are open: what left the list has an outcome."""
        body = _object(record)
        run, open_ = body.get("run"), body.get("open")
        if isinstance(run, int) and isinstance(open_, list):
            before = self._reads.get(run, {})
            self._reads[run] = {
                number: before.get(number, record.seq) for number in open_ if type(number) is int
            }


def _object(record: ChainedRecord) -> dict[str, Any]:
    """Return the body, empty if it is no object: an edited trail must not stop the verifier."""
    try:
        value: Any = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
