"""Trails as the server writes them, made record by record: for what a real server does not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdpoint.audit.record import canonical_bytes
from holdpoint.model.record import RecordKind
from holdpoint.store import Store
from holdpoint.store import records as rows
from holdpoint.store.records import Entry

NOW_US = 1_900_000_000_000_000
SECOND_US = 1_000_000


class Trail:
    """A store with a trail in which one agent works in one tier."""

    def __init__(self, path: Path, target: str = "shop", tier: str = "write") -> None:
        self.path = path
        self.at_us = NOW_US
        self.case = {
            "agent": "robin", "task": "", "session": "s-1", "target": target, "tier": tier,
            "role": "app", "policy_digest": "of another day",
            "rules": ["careful:read", "careful:write"],
        }  # fmt: skip
        with Store.open(path):
            pass
        opened = {name: self.case[name] for name in ("session", "agent", "task", "target", "tier")}
        self.add(RecordKind.SESSION_OPENED, opened)

    def add(self, kind: RecordKind, body: dict[str, Any]) -> int:
        """Append a record a second after the last; its number."""
        self.at_us += SECOND_US
        with Store.open(self.path) as store, store.database.writing() as connection:
            before = rows.tail(connection, rows.origin(connection))
            entry = Entry(kind, canonical_bytes(body))
            return rows.append(connection, before, self.at_us, [entry]).seq

    def ran(self, text: str, **more: Any) -> int:
        """A statement that ran; ``more`` takes the place of what its record says."""
        body = {
            **self.case,
            "text": text,
            "parameters": None,
            "statements": [
                {"tag": "UPDATE", "effects": ["read", "write"], "objects": [], "functions": [],
                 "unknowns": []}
            ],
            "effects": ["read", "write"],
            "impact": {
                "rows": {"value": 3, "basis": "estimate", "why": ""},
                "table_rows": {"value": None, "basis": "not asked", "why": ""},
            },
            "verdict": "allow",
            **more,
        }  # fmt: skip
        number = self.add(RecordKind.STATEMENT_STARTED, body)
        self.add(
            RecordKind.STATEMENT_FINISHED,
            {"started": number, "session": "s-1", "ran": True, "rows": 3, "sqlstate": ""},
        )
        return number

    def spoil(self, seq: int, was: str, now: str) -> None:
        """Change a record past the chain."""
        with Store.open(self.path) as store, store.database.writing() as connection:
            connection.exec_driver_sql(
                "UPDATE records SET body = replace(body, ?, ?) WHERE seq = ?", (was, now, seq)
            )


def config_at(folder: Path, url: str, more: str = "") -> Path:
    """A configuration with one tier `shop/write` at a URL."""
    path = folder / "holdpoint.toml"
    path.write_text(
        '[targets.shop]\nenvironment = "production"\n[targets.shop.tiers.write]\n'
        f'access = "read-write"\nurl = "{url}"\n{more}'
    )
    return path
