"""Reads the fields of one payload in order, and refuses what does not fit."""

from struct import Struct
from typing import Final

from holdpoint.wire.postgres.errors import ProtocolError

_INT16: Final = Struct("!h")
_COUNT: Final = Struct("!H")
_INT32: Final = Struct("!i")
_OID: Final = Struct("!I")


class FieldReader:
    """A cursor over the payload of a message named ``what``; each miss is a ProtocolError."""

    def __init__(self, what: str, payload: bytes) -> None:
        self._what = what
        self._payload = payload
        self._at = 0

    def int16(self) -> int:
        """Read a signed 16-bit integer."""
        at = self._advance(2)
        value: int = _INT16.unpack_from(self._payload, at)[0]
        return value

    def count(self) -> int:
        """Read a 16-bit count; the server reads counts unsigned (0 to 65,535)."""
        at = self._advance(2)
        value: int = _COUNT.unpack_from(self._payload, at)[0]
        return value

    def int32(self) -> int:
        """Read a signed 32-bit integer."""
        at = self._advance(4)
        value: int = _INT32.unpack_from(self._payload, at)[0]
        return value

    def oid(self) -> int:
        """Read an unsigned 32-bit integer."""
        at = self._advance(4)
        value: int = _OID.unpack_from(self._payload, at)[0]
        return value

    def byte(self) -> int:
        """Read one byte."""
        return self._payload[self._advance(1)]

    def take(self, length: int) -> bytes:
        """Read exactly ``length`` bytes; a negative length is an error."""
        at = self._advance(length)
        return self._payload[at : at + length]

    def cstring(self) -> bytes:
        """Read a NUL-terminated string, without its NUL."""
        end = self._payload.find(b"\x00", self._at)
        if end < 0:
            raise ProtocolError(f"{self._what}: a string has no end")
        value = self._payload[self._at : end]
        self._at = end + 1
        return value

    def rest(self) -> bytes:
        """Read all that is left."""
        value = self._payload[self._at :]
        self._at = len(self._payload)
        return value

    def left(self) -> int:
        """Return the number of bytes not read yet."""
        return len(self._payload) - self._at

    def end(self) -> None:
        """Require that nothing is left."""
        if self._at != len(self._payload):
            raise ProtocolError(f"{self._what}: {self.left():,} bytes too many")

    def _advance(self, length: int) -> int:
        at = self._at
        if length < 0:
            raise ProtocolError(f"{self._what}: negative length {length:,}")
        if length > len(self._payload) - at:
            raise ProtocolError(
                f"{self._what}: {length:,} bytes announced, {len(self._payload) - at:,} there"
            )
        self._at = at + length
        return at
