"""The page about targets: what agents can be let near, and who is there now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdpoint.engine.standing import (
    ServerStanding,
    SessionStanding,
    TargetStanding,
    TierStanding,
)
from support.web import Review, review

pytestmark = pytest.mark.anyio

SHOP = TargetStanding(
    name="shop",
    environment="production",
    tiers=(
        TierStanding(
            name="replica",
            access="read-only",
            who="every agent",
            budget="100,000 rows per result",
            servers=(
                ServerStanding(place="db-2:5432/shop", state="replica", lag_s=0.2),
                ServerStanding(place="db-3:5432/shop", state="replica", lag_s=3600.0, good=False),
                ServerStanding(place="db-4:5432/shop", state="down", good=False, note="no answer"),
                ServerStanding(place="db-5:5432/shop", good=False, note="nobody uses it now"),
            ),
            sessions=(
                SessionStanding(
                    id="s-1",
                    agent="<b>bot</b>",
                    task="t-7K2M9P",
                    peer="10.0.0.7:5000",
                    since=datetime(2026, 11, 23, 3, 0, tzinfo=UTC),
                ),
            ),
        ),
        TierStanding(name="write", access="read-write", who="robin", budget=""),
    ),
)


async def test_the_page_shows_tiers_servers_and_sessions(tmp_path: Path) -> None:
    async with review(tmp_path, standing=lambda: [SHOP]) as door, door.signed_in("anna") as browser:
        text = (await browser.get("/targets")).text
    assert text.index("shop/replica") < text.index("shop/write")
    assert "replica, up to date" in text
    assert "replica, 3,600 s behind" in text
    assert "no answer" in text
    assert text.count("not used") == 2, "one that nobody looks at alarms nobody"
    assert "&lt;b&gt;bot&lt;/b&gt;" in text
    assert "t-7K2M9P" in text


async def test_the_twin_says_the_same(tmp_path: Path) -> None:
    async with review(tmp_path, standing=lambda: [SHOP]) as door, door.client() as client:
        headers = {"authorization": f"Bearer {door.tokens['anna']}"}
        document = (await client.get("/targets.json", headers=headers)).json()
    (target,) = document["targets"]
    first, second = target["tiers"]
    assert [each["lag_s"] for each in first["servers"]] == [0.2, 3600.0, None, None]
    assert first["sessions"][0]["since"] == "2026-11-23T03:00:00+00:00"
    assert second["sessions"] == []


async def test_nobody_sees_it_without_signing_in(door: Review) -> None:
    async with door.client() as client:
        assert (await client.get("/targets")).headers["location"].startswith("/sign-in")
        assert (await client.get("/targets.json")).status_code == 401
