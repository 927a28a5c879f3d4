"""Who used a table lately, by the trail: other agents, on this target, in a bounded look back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from holdpoint.audit.record import ChainedRecord, chain
from holdpoint.engine.recorder import Recorder
from holdpoint.engine.usage import agents_at
from holdpoint.model import limits
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store

pytestmark = pytest.mark.anyio

TABLES = ("public.orders", "billing.invoices")


def body(agent: str, *names: str, target: str = "shop") -> dict[str, Any]:
    objects = [{"name": name, "kind": "relation", "access": "write"} for name in names]
    return {"agent": agent, "target": target, "statements": [{"tag": "UPDATE", "objects": objects}]}


async def trail(store: Store, *bodies: dict[str, Any]) -> Recorder:
    recorder = Recorder(store)
    await recorder.start()
    for each in bodies:
        await recorder.write(Record(RecordKind.STATEMENT_STARTED, each))
    return recorder


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "h.db") as opened:
        yield opened


async def test_other_agents_at_the_tables_of_this_target(store: Store) -> None:
    recorder = await trail(
        store,
        body("codex", "orders"),
        body("codex", "public.orders", "customers"),
        body("gemini", "billing.invoices"),
        body("claude", "orders"),
        body("codex", "orders", target="warehouse"),
        body("codex", "other.orders"),
    )
    found = agents_at(recorder.recent_starts, "shop", "claude", TABLES)
    await recorder.close()
    said = {(user.table, user.name): user.detail.partition(",")[0] for user in found}
    assert said == {
        ("public.orders", "codex"): "2 statements lately",
        ("billing.invoices", "gemini"): "1 statement lately",
    }
    assert {user.kind for user in found} == {"agent"}


async def test_the_look_back_is_bounded_in_number_and_size(store: Store) -> None:
    recorder = await trail(
        store,
        body("old", "orders"),
        {**body("long", "orders"), "text": "x" * 5_000},
        *(body("new", "customers") for _ in range(3)),
    )
    assert len(recorder.recent_starts(2, 10_000)) == 2
    assert len(recorder.recent_starts(10, 2_000)) == 4
    newest = recorder.recent_starts(10, 10_000)
    await recorder.close()
    assert [record.seq for record in newest] == sorted(
        (record.seq for record in newest), reverse=True
    )


def test_a_record_that_was_tampered_with_says_nothing() -> None:
    def broken(limit: int, chars_max: int) -> Sequence[ChainedRecord]:
        assert (limit, chars_max) == (limits.USAGE_RECORDS_MAX, limits.USAGE_RECORD_CHARS_MAX)
        return [
            chain("0" * 64, 1, 0, "statement.started", data)
            for data in (
                b"{",
                b"[]",
                b'{"agent":"x","target":"shop","statements":3}',
                b'{"agent":"x","target":"shop","statements":[3,{"objects":[4]}]}',
            )
        ]

    assert agents_at(broken, "shop", "claude", TABLES) == ()


def test_without_tables_nobody_looks() -> None:
    assert agents_at(lambda limit, chars: 1 / 0, "shop", "claude", ()) == ()  # type: ignore[arg-type,return-value]
