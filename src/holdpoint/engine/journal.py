"""Changes that people make on the store's file, each in one transaction with its record.

A server may run at the same time: its recorder reads the end of the trail anew in each transaction,
and so does this. The next head that the server signs covers the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from holdpoint.audit.record import canonical_bytes
from holdpoint.engine.clock import now_us
from holdpoint.model.record import RecordKind
from holdpoint.store import Store
from holdpoint.store.records import Entry, append, origin, tail


def change(
    store: Store, kind: RecordKind, work: Callable[[Connection], dict[str, Any]]
) -> dict[str, Any]:
    """Do ``work`` and record what it returns: both are kept or neither. Returns the record's body.

    Raises ``StoreError``, and what ``work`` raises.
    """
    with store.database.writing() as connection:
        body = work(connection)
        before = tail(connection, origin(connection))
        append(connection, before, now_us(), [Entry(kind, canonical_bytes(body))])
    return body
