"""A transport without TLS that reads and writes its socket at once.

The event loop's own transports queue what is written and send it at the end of a turn. A relay has
nothing to gain from that: each piece it writes is a whole answer. ``reactor`` says when.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import structlog

from holdpoint.doors.postgres.reactor import READABLE, WRITABLE, Watched, reactor_of
from holdpoint.model import limits

log = structlog.get_logger(__name__)


class DirectTransport:
    """The part of ``asyncio.Transport`` that a relay needs, on a connected, non-blocking socket.

    It does not inherit from it: only a class without interpreted bases compiles with mypyc.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, protocol: asyncio.Protocol
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._protocol = protocol
        self._on_data: Callable[[bytes], None] = protocol.data_received
        self._unsent = bytearray()
        self._reactor = reactor_of(loop)
        self._watched = Watched(connection.fileno(), self._readable, self._writable)
        self._receive = connection.recv
        self._send = connection.send
        self._reading = False
        self._closing = False
        self._lost = False
        self._pressed = False
        self._high = limits.TRANSPORT_HIGH_WATER_BYTES
        self.resume_reading()

    def _watch(self) -> None:
        mask = (READABLE if self._reading else 0) | (WRITABLE if self._unsent else 0)
        self._reactor.watch(self._watched, mask)

    # --- reading ----------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._receive(limits.SOCKET_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            try:
                self._on_data(data)
            except BaseException:
                self.abort()  # a part of the data is lost: the connection cannot go on
                raise
        else:
            self._protocol.eof_received()
            self.close()

    def pause_reading(self) -> None:
        """Leave what comes in the socket's buffer."""
        if self._reading:
            self._reading = False
            self._watch()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._reading and not self._closing:
            self._reading = True
            self._watch()

    def is_reading(self) -> bool:
        """Tell whether the socket is read."""
        return self._reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes to another protocol."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol
        self._on_data = protocol.data_received

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that gets what comes."""
        return self._protocol

    # --- writing ----------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send now what the socket takes, keep the rest."""
        if self._closing or not data:
            return
        if self._unsent:
            self._unsent += data
        else:
            try:
                count = self._send(data)
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError as error:
                self._lose(error)
                return
            if count == len(data):
                return
            self._unsent += memoryview(data)[count:]
            self._watch()
        if not self._pressed and len(self._unsent) > self._high:
            self._pressed = True
            self._protocol.pause_writing()

    def _writable(self) -> None:
        try:
            count = self._send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:count]
        if self._unsent and len(self._unsent) > self._high // 4:
            return
        if self._pressed:
            self._pressed = False
            self._protocol.resume_writing()
        if not self._unsent:
            self._watch()
            if self._closing:
                self._lose(None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how many unsent bytes count as pressure; it is over at a quarter of them."""
        if high is not None:
            self._high = high

    def get_write_buffer_size(self) -> int:
        """Return the unsent bytes."""
        return len(self._unsent)

    def detach(self) -> socket.socket:
        """Give up the socket without closing it, for somebody else to go on with."""
        assert not self._unsent, "what was written must be sent first"
        self.pause_reading()
        self._closing = self._lost = True
        return self._socket

    # --- the end ----------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Tell whether the end has begun."""
        return self._closing

    def close(self) -> None:
        """Send what is left, then close."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._unsent:
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        self.pause_reading()
        self._closing = True
        self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self.pause_reading()
        self._closing = self._lost = True
        self._unsent.clear()
        self._watch()
        self._socket.close()
        self._protocol.connection_lost(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``socket``, ``peername`` or ``sockname``."""
        if self._lost:
            return default
        if name == "peername":
            return self._socket.getpeername()
        if name == "sockname":
            return self._socket.getsockname()
        return self._socket if name == "socket" else default


def prepare(connection: socket.socket) -> None:
    """Set a connection up for a relay: no delays, and a dead peer is noticed.

    Source of the keepalive times: chosen, 30 s until the first probe, gone after one minute.
    """
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Listener:
    """Accepts connections on one address; ``accepted`` gets each with its protocol connected."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._sockets: list[socket.socket] = []

    def open(self, host: str, port: int) -> int:
        """Listen, on every address of the machine for an empty host; return the port."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        dual = not host and socket.has_dualstack_ipv6()
        listening = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if dual else family,
            backlog=limits.SESSIONS_MAX,
            dualstack_ipv6=dual,
        )
        listening.setblocking(False)
        self._sockets.append(listening)
        loop.add_reader(listening, self._accept, listening)
        return int(listening.getsockname()[1])

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(limits.ACCEPTS_PER_TURN):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of file descriptors: stop for a moment instead of turning in circles.
                log.error("accept.failed", problem=str(error))
                loop.remove_reader(listening)
                loop.call_later(limits.ACCEPT_PAUSE_S, self._again, listening)
                return
            connect(connection, self._protocol())

    def _again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Stop listening."""
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()


def connect(connection: socket.socket, protocol: asyncio.Protocol) -> None:
    """Join a connected socket and a protocol."""
    prepare(connection)
    loop = asyncio.get_running_loop()
    transport = DirectTransport(loop, connection, protocol)
    protocol.connection_made(cast(asyncio.Transport, transport))
