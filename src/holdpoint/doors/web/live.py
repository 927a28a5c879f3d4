"""Live changes of holds as server-sent events.

An event only says which hold changed; the page then asks for the part it shows, through the same
checks as a page load. The subscription keeps the newest state of each hold, so a slow page never
makes a growing queue.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from starlette.responses import StreamingResponse

from holdpoint.doors.web.errors import Refused
from holdpoint.engine.changes import Subscription
from holdpoint.model import limits
from holdpoint.model.hold import Hold

_RELOAD = b"event: reload\ndata: {}\n\n"
_HEARTBEAT = b": still here\n\n"


class Streams:
    """The open live pages: how many, of whom, and the way to close them all."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def check_room(self, person: str) -> None:
        """Raise ``Refused`` when there are too many."""
        total_full = self._open.total() >= limits.WEB_STREAMS_MAX
        if total_full or self._open[person] >= limits.WEB_STREAMS_PER_PERSON_MAX:
            raise Refused(429, "too many live pages are open", "close some of them")

    def enter(self, person: str) -> None:
        """Count a page in."""
        self._open[person] += 1

    def leave(self, person: str) -> None:
        """Count a page out."""
        self._open[person] -= 1
        if self._open[person] <= 0:
            del self._open[person]

    @property
    def count(self) -> int:
        """Live pages open now."""
        return self._open.total()

    def close(self) -> None:
        """End every stream, so that a server that waits for its clients can stop."""
        self._closing.set()

    @property
    def closing(self) -> asyncio.Event:
        """Set once the server stops."""
        return self._closing


def event_of(hold: Hold) -> bytes:
    """One event: which hold changed, and to what."""
    data = json.dumps({"id": hold.id, "state": hold.state.value})
    return f"event: hold\ndata: {data}\n\n".encode()


async def _events(
    changes: Subscription,
    streams: Streams,
    allowed: Callable[[Hold | None], Awaitable[bool]],
) -> AsyncGenerator[bytes, None]:
    """Events until the page goes, the sign-in ends, the server stops or the stream is too old."""
    loop = asyncio.get_running_loop()
    until = loop.time() + limits.WEB_STREAM_AGE_S
    closing = asyncio.ensure_future(streams.closing.wait())
    taking = asyncio.ensure_future(changes.__anext__())
    try:
        yield b"retry: 2000\n" + _RELOAD
        while loop.time() < until:
            await asyncio.wait(
                {taking, closing},
                timeout=limits.WEB_HEARTBEAT_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if closing.done() or not await allowed(None):
                return
            if not taking.done():
                yield _HEARTBEAT
                continue
            hold = taking.result()
            taking = asyncio.ensure_future(changes.__anext__())
            if await allowed(hold):
                yield event_of(hold)
    finally:
        taking.cancel()
        closing.cancel()
        await asyncio.gather(taking, closing, return_exceptions=True)


def live_response(
    subscribe: Callable[[], Subscription],
    streams: Streams,
    person: str,
    allowed: Callable[[Hold | None], Awaitable[bool]],
) -> StreamingResponse:
    """Answer with a stream of changes.

    ``allowed(hold)`` is asked before each event, ``allowed(None)`` on every wake-up: whether this
    browser is still signed in.
    """
    streams.check_room(person)

    async def body() -> AsyncIterator[bytes]:
        # Counted and subscribed here, not above: a body that is never begun is never ended.
        streams.enter(person)
        try:
            with subscribe() as changes:
                async with aclosing(_events(changes, streams, allowed)) as events:
                    async for chunk in events:
                        yield chunk
        finally:
            streams.leave(person)

    return StreamingResponse(
        body(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )
