"""Changes reach open pages as they happen, and stop when the page's owner has to go."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from holdpoint.doors.web.app import close_streams
from holdpoint.model import limits
from holdpoint.model.hold import Answer, HoldState
from support.web import Review, csrf_of

pytestmark = pytest.mark.anyio


async def events(answer: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """The events of a stream: name and data."""
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_a_hold_and_its_answer_arrive(door: Review):
    async with door.signed_in("anna") as client, client.stream("GET", "/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-security-policy" in answer.headers
        stream = events(answer)
        assert await anext(stream) == ("reload", {}), "a page that connects late catches up"
        hold = await door.hold()
        assert await anext(stream) == ("hold", {"id": hold.id, "state": "open"})
        await door.book.answer(hold.id, "bo", Answer.REJECT, "", approver_groups=frozenset())
        assert await anext(stream) == ("hold", {"id": hold.id, "state": "rejected"})
        await stream.aclose()


async def test_a_token_may_listen_too(door: Review):
    header = {"authorization": f"Bearer {door.tokens['anna']}"}
    async with (
        httpx2.AsyncClient(base_url=door.url, headers=header) as client,
        client.stream("GET", "/live") as answer,
    ):
        stream = events(answer)
        assert (await anext(stream))[0] == "reload"
        await stream.aclose()


async def test_signing_out_ends_the_stream_before_the_next_change(door: Review):
    async with door.signed_in("anna") as client, client.stream("GET", "/live") as answer:
        stream = events(answer)
        await anext(stream)
        csrf = csrf_of((await client.get("/")).text)
        await client.post("/sign-out", data={"csrf": csrf})
        await door.hold()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_removed_person_hears_nothing_more(door: Review):
    async with door.signed_in("anna") as client, client.stream("GET", "/live") as answer:
        stream = events(answer)
        await anext(stream)
        door.store.people.revoke("anna", door.now())
        await door.hold()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_silent_stream_has_a_heartbeat(door: Review, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "WEB_HEARTBEAT_S", 0.01)
    async with door.signed_in("anna") as client, client.stream("GET", "/live") as answer:
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                break


async def test_streams_are_counted_and_bounded(door: Review, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "WEB_STREAMS_PER_PERSON_MAX", 1)
    streams = door.web.state.door.streams
    async with door.signed_in("anna") as client:
        async with client.stream("GET", "/live") as first:
            listening = events(first)  # kept: a generator let go of would close the stream
            await anext(listening)
            async with client.stream("GET", "/live") as second:
                assert second.status_code == 429
            await listening.aclose()
        while streams.count:  # the server notices that the page is gone
            await asyncio.sleep(0.005)
        async with client.stream("GET", "/live") as again:
            assert again.status_code == 200


async def test_the_server_can_end_all_streams(door: Review):
    async with door.signed_in("anna") as client, client.stream("GET", "/live") as answer:
        stream = events(answer)
        await anext(stream)
        close_streams(door.web)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_the_part_for_the_list_shows_the_new_hold(door: Review):
    async with door.signed_in("anna") as client:
        before = await client.get("/holds")
        assert "Nothing waits" in before.text
        hold = await door.hold()
        after = await client.get("/holds")
        assert f'href="/h/{hold.id}"' in after.text
        assert "<html" not in after.text
        await door.book.end(hold.id, HoldState.ABANDONED)
        part = await client.get(f"/h/{hold.id}/standing")
    assert "abandoned" in part.text
    assert 'hx-swap-oob="true"' in part.text, "the form goes away with the hold"
