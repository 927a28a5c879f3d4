"""One connection, to a client or to a server: frames with waiting while it is set up, then raw.

The event loop calls into ``Channel`` until ``attach`` hands the connection to the relay; from then
on the bytes go straight to it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from holdpoint.doors.postgres.direct import DirectTransport
from holdpoint.model import limits
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import Frame


class ChannelClosed(ConnectionError):
    """The peer closed the connection while something was expected of it."""


class Channel(asyncio.Protocol):
    """A connection whose peer is asked for one thing after the other until it is attached."""

    def __init__(self, accepted: Callable[[Channel], None] | None = None) -> None:
        self._accepted = accepted
        self.transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._wanted: asyncio.Future[None] | None = None
        self.lost = False
        self._on_lost: Callable[[], None] | None = None
        self._on_pressure: Callable[[bool], None] | None = None

    # --- called by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; a listener's ``accepted`` is called once."""
        self.transport = cast(asyncio.Transport, transport)
        if self._accepted is not None:
            accepted, self._accepted = self._accepted, None
            accepted(self)

    def data_received(self, data: bytes) -> None:
        """Keep bytes until they are asked for; too many of them stop the reading."""
        self._received += data
        if len(self._received) > limits.AUTH_MESSAGE_BYTES_MAX:
            self.open_transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, or the relay, that the peer is gone."""
        self.lost = True
        self._wake()
        if self._on_lost is not None:
            self._on_lost()

    def pause_writing(self) -> None:
        """Tell the relay that the peer does not keep up."""
        if self._on_pressure is not None:
            self._on_pressure(True)

    def resume_writing(self) -> None:
        """Tell the relay that the peer has caught up."""
        if self._on_pressure is not None:
            self._on_pressure(False)

    # --- called while the connection is set up ----------------------------------------------------

    @property
    def open_transport(self) -> asyncio.Transport:
        """The transport, which is there from the first moment on."""
        assert self.transport is not None
        return self.transport

    def write(self, data: bytes) -> None:
        """Send bytes, unless the peer is gone."""
        if not self.lost:
            self.open_transport.write(data)

    async def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; raises ``ChannelClosed``."""
        while len(self._received) < count:
            await self._more()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    async def read_first_packet(self) -> bytes:
        """Return the body of a packet without a type byte; raises ``ProtocolError``."""
        length = int.from_bytes(await self.read(4), "big")
        if length < 8 or length > limits.STARTUP_BYTES_MAX:
            raise ProtocolError(f"a first packet of {length} bytes is not possible")
        return await self.read(length - 4)

    async def read_frame(self, bytes_max: int = limits.AUTH_MESSAGE_BYTES_MAX) -> Frame:
        """Return the next whole frame; raises ``ProtocolError`` or ``ChannelClosed``."""
        header = await self.read(5)
        length = int.from_bytes(header[1:], "big")
        if length < 4 or length > bytes_max:
            raise ProtocolError(f"a message of {length} bytes is not possible here")
        return Frame(header[0], await self.read(length - 4))

    @property
    def has_received(self) -> bool:
        """Tell whether bytes wait that nobody has asked for."""
        return bool(self._received)

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, name: str | None = None
    ) -> None:
        """Go on inside TLS. Bytes that came before it are an attempt at injection: refused.

        Source: CVE-2021-23214 and CVE-2021-23222, plaintext that precedes the handshake.
        """
        if self.has_received:
            raise ProtocolError("received unencrypted data after the request for TLS")
        plain: object = self.open_transport
        assert isinstance(plain, DirectTransport), "TLS starts once, on a plain connection"
        connection = plain.detach()
        loop = asyncio.get_running_loop()
        # ``connection_made`` is called again, with the encrypted transport.
        if server_side:
            await loop.connect_accepted_socket(
                lambda: self,
                connection,
                ssl=context,
                ssl_handshake_timeout=limits.STARTUP_TIMEOUT_S,
            )
        else:
            await loop.create_connection(
                lambda: self,
                sock=connection,
                ssl=context,
                server_hostname=name,
                ssl_handshake_timeout=limits.STARTUP_TIMEOUT_S,
            )

    async def _more(self) -> None:
        if self.lost:
            raise ChannelClosed("the peer closed the connection")
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
        self.open_transport.resume_reading()
        await self._wanted

    def _wake(self) -> None:
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            if not wanted.done():
                wanted.set_result(None)

    # --- then -------------------------------------------------------------------------------------

    def attach(
        self,
        on_data: Callable[[bytes], None],
        on_lost: Callable[[], None],
        on_pressure: Callable[[bool], None],
    ) -> None:
        """Hand the connection over: what was received and everything that comes goes to them."""
        self._on_lost = on_lost
        self._on_pressure = on_pressure
        transport = self.open_transport
        transport.set_write_buffer_limits(high=limits.TRANSPORT_HIGH_WATER_BYTES)
        transport.set_protocol(Attached(self, on_data))
        transport.resume_reading()
        if self._received:
            data = bytes(self._received)
            self._received.clear()
            on_data(data)
        if self.lost:
            on_lost()


class Attached(asyncio.Protocol):
    """What the event loop calls from then on; ``data_received`` is the relay's own method."""

    def __init__(self, channel: Channel, on_data: Callable[[bytes], None]) -> None:
        self.data_received = on_data  # type: ignore[method-assign,assignment]
        self.pause_writing = channel.pause_writing  # type: ignore[method-assign]
        self.resume_writing = channel.resume_writing  # type: ignore[method-assign]
        self.connection_lost = channel.connection_lost  # type: ignore[method-assign]
