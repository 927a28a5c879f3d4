"""Frames: one type byte, a length that counts itself, a payload.

The relay scans headers itself (``stream``); this module serves where whole frames are needed: the
first packet, authentication, and tests. Type bytes are named here once. Source: PostgreSQL manual,
"Message Formats".
"""

from struct import Struct
from typing import Final, NamedTuple

from holdpoint.wire.postgres.errors import ProtocolError

# --- sent by clients ---
BIND: Final = 0x42
CLOSE: Final = 0x43
COPY_FAIL: Final = 0x66
DESCRIBE: Final = 0x44
EXECUTE: Final = 0x45
FLUSH: Final = 0x48
FUNCTION_CALL: Final = 0x46
PARSE: Final = 0x50
PASSWORD: Final = 0x70  # also SASLInitialResponse, SASLResponse and GSSResponse
QUERY: Final = 0x51
SYNC: Final = 0x53
TERMINATE: Final = 0x58

# --- sent by both ---
COPY_DATA: Final = 0x64
COPY_DONE: Final = 0x63

# --- sent by servers ---
AUTHENTICATION: Final = 0x52
BACKEND_KEY_DATA: Final = 0x4B
BIND_COMPLETE: Final = 0x32
CLOSE_COMPLETE: Final = 0x33
COMMAND_COMPLETE: Final = 0x43
COPY_BOTH_RESPONSE: Final = 0x57
COPY_IN_RESPONSE: Final = 0x47
COPY_OUT_RESPONSE: Final = 0x48
DATA_ROW: Final = 0x44
EMPTY_QUERY_RESPONSE: Final = 0x49
ERROR_RESPONSE: Final = 0x45
FUNCTION_CALL_RESPONSE: Final = 0x56
NEGOTIATE_PROTOCOL_VERSION: Final = 0x76
NO_DATA: Final = 0x6E
NOTICE_RESPONSE: Final = 0x4E
NOTIFICATION_RESPONSE: Final = 0x41
PARAMETER_DESCRIPTION: Final = 0x74
PARAMETER_STATUS: Final = 0x53
PARSE_COMPLETE: Final = 0x31
PORTAL_SUSPENDED: Final = 0x73
READY_FOR_QUERY: Final = 0x5A
ROW_DESCRIPTION: Final = 0x54

HEADER_BYTES: Final = 5
LENGTH_BYTES: Final = 4

_HEADER: Final = Struct("!BI")
_LENGTH: Final = Struct("!I")


class Frame(NamedTuple):
    """One whole frame: ``kind`` is its type byte, ``payload`` what follows the length."""

    kind: int
    payload: bytes


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Build the bytes of a frame."""
    return _HEADER.pack(kind, len(payload) + LENGTH_BYTES) + payload


class FrameReader:
    """Cuts a stream of bytes into frames; holds what is not complete yet.

    ``bytes_max`` bounds a frame's length word (limits.AUTH_MESSAGE_BYTES_MAX before and
    limits.MESSAGE_BYTES_MAX after authentication). A length that is too small or too large raises
    ProtocolError as soon as the header is there, before the payload is waited for; the stream is
    then out of step and must be closed.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._data = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the peer, in pieces of any size."""
        if self._start:
            # Drop what was read here and not at each frame: once per piece, not once per frame.
            del self._data[: self._start]
            self._start = 0
        self._data += data

    def buffered(self) -> int:
        """Return the number of bytes that were fed and not returned yet.

        Must be 0 when TLS starts: bytes that a man in the middle put in front of the handshake
        would otherwise be taken for protected ones (CVE-2021-23214).
        """
        return len(self._data) - self._start

    def next_frame(self) -> Frame | None:
        """Return the next frame, or None while it is not complete."""
        start = self._start
        if len(self._data) - start < HEADER_BYTES:
            return None
        header = _HEADER.unpack_from(self._data, start)
        kind: int = header[0]
        length: int = header[1]
        if length < LENGTH_BYTES or length > self.bytes_max:
            raise ProtocolError(
                f"invalid message length {length:,} (type byte 0x{kind:02x}); "
                f"allowed are {LENGTH_BYTES} to {self.bytes_max:,} bytes"
            )
        end = start + 1 + length
        if len(self._data) < end:
            return None
        payload = bytes(self._data[start + HEADER_BYTES : end])
        self._start = end
        return Frame(kind, payload)

    def next_packet(self) -> bytes | None:
        """Return the payload of the next packet without a type byte, or None while incomplete.

        Only the packets of the startup phase have this shape; read them with ``bytes_max`` set to
        limits.STARTUP_BYTES_MAX.
        """
        start = self._start
        if len(self._data) - start < LENGTH_BYTES:
            return None
        length: int = _LENGTH.unpack_from(self._data, start)[0]
        # 8 is the smallest packet that means anything: the length and a request code.
        if length < 2 * LENGTH_BYTES or length > self.bytes_max:
            raise ProtocolError(
                f"invalid length of startup packet: {length:,}; "
                f"allowed are {2 * LENGTH_BYTES} to {self.bytes_max:,} bytes"
            )
        end = start + length
        if len(self._data) < end:
            return None
        payload = bytes(self._data[start + LENGTH_BYTES : end])
        self._start = end
        return payload
