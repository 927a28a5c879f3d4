"""Waits for the sockets of all sessions at once, inside the event loop.

One ``epoll`` holds every plain socket; the event loop waits for that one descriptor. So a turn
takes whatever is ready without going through the loop's own machinery for each piece, which costs
more than the relay itself. After the last piece a turn **looks again for a moment** before it gives
the thread back: the next piece of a busy session comes within microseconds, and falling asleep and
being woken costs more than looking. An idle gate sleeps. Measured: ``benchmarks/``.

This module compiles with mypyc.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from os import sched_yield
from time import perf_counter_ns
from typing import Any, Final

from mypy_extensions import i64

from holdpoint.model import limits

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT


class Watched:
    """A socket's two callbacks, and which of them are wanted now."""

    def __init__(
        self, descriptor: int, on_readable: Callable[[], None], on_writable: Callable[[], None]
    ) -> None:
        self.descriptor = descriptor
        self.on_readable = on_readable
        self.on_writable = on_writable
        self.mask = 0


class Reactor:
    """All plain sockets of one event loop."""

    def __init__(self, loop: Any, look_ns: int = limits.LOOK_AGAIN_NS) -> None:
        self._loop = loop
        self._look_ns = look_ns
        self._watched: dict[int, Watched] = {}
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        loop.add_reader(self._epoll.fileno(), self.turn)

    def watch(self, watched: Watched, mask: int) -> None:
        """Wait for ``mask`` on a socket, 0 for nothing."""
        if mask == watched.mask:
            return
        if not watched.mask:
            self._watched[watched.descriptor] = watched
            self._epoll.register(watched.descriptor, mask)
        elif mask:
            self._epoll.modify(watched.descriptor, mask)
        else:
            del self._watched[watched.descriptor]
            self._epoll.unregister(watched.descriptor)
        watched.mask = mask

    def turn(self) -> None:
        """Take what is ready, and what becomes ready in the next moment; never for long."""
        now: i64 = perf_counter_ns()
        end: i64 = now + limits.TURN_NS
        until: i64 = now + self._look_ns
        while now < end:
            events = self._poll(0, limits.EVENTS_PER_POLL)
            if events:
                for descriptor, mask in events:
                    watched = self._watched.get(descriptor)
                    if watched is None:  # closed by an earlier one of this turn
                        continue
                    if mask & WRITABLE:
                        watched.on_writable()
                    if mask & ~WRITABLE:  # data, the end, or an error: reading tells which
                        watched.on_readable()
                now = perf_counter_ns()
                until = now + self._look_ns
            else:
                now = perf_counter_ns()
                if now >= until:
                    return
                sched_yield()  # whoever has work to do on this processor goes first

    def close(self) -> None:
        """Stop waiting; the sockets stay open."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._watched.clear()


_reactors: dict[int, Reactor] = {}


def reactor_of(loop: Any) -> Reactor:
    """Return the event loop's reactor, made when it is first asked for."""
    reactor = _reactors.get(id(loop))
    if reactor is None or reactor._loop is not loop:
        reactor = _reactors[id(loop)] = Reactor(loop)
    return reactor
