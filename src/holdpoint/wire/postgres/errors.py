"""ProtocolError, and the ErrorResponse and NoticeResponse that Holdpoint itself sends.

Source of the layout: PostgreSQL manual, "Frontend/Backend Protocol", "Error and Notice Message
Fields".
"""

from struct import Struct
from typing import Final

PROTOCOL_VIOLATION: Final = "08P01"
FEATURE_NOT_SUPPORTED: Final = "0A000"
INVALID_AUTHORIZATION: Final = "28000"
INVALID_PASSWORD: Final = "28P01"  # noqa: S105 (an SQLSTATE)
INVALID_PARAMETER_VALUE: Final = "22023"
INTERNAL_ERROR: Final = "XX000"

# A client that is still connecting takes an error of more than 30,000 bytes for garbage (libpq:
# MAX_ERRLEN in fe-connect.c), so three long fields and the short ones must stay below that.
FIELD_BYTES_MAX: Final = 9_000

_HEADER: Final = Struct("!BI")
_SQLSTATE_CHARACTERS: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class ProtocolError(Exception):
    """The peer sent what the protocol, or this gate, does not accept.

    ``message`` is fit to be shown to the peer; ``sqlstate`` is the five-character code for the
    ErrorResponse, ``hint`` says what to do next or is empty. It is the only exception that the
    parsers of this package raise.
    """

    def __init__(self, message: str, sqlstate: str = PROTOCOL_VIOLATION, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.hint = hint


def clean_text(text: str, bytes_max: int = FIELD_BYTES_MAX) -> bytes:
    """Return ``text`` as UTF-8 that fits in a message field: no NUL, at most ``bytes_max`` bytes.

    A text that is too long is cut at a character and ends in an ellipsis; what UTF-8 cannot carry
    (lone surrogates) becomes ``?``.
    """
    data = text.replace("\x00", "\ufffd").encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data
    ellipsis = "…".encode()
    return data[: bytes_max - len(ellipsis)].decode("utf-8", "ignore").encode() + ellipsis


def error_response(
    severity: str,
    sqlstate: str,
    message: str,
    detail: str = "",
    hint: str = "",
    position: int = 0,
) -> bytes:
    """Build an ErrorResponse.

    ``severity`` is ERROR, FATAL or PANIC. ``position`` counts characters of the statement from 1;
    0 leaves it out, as an empty ``detail`` or ``hint`` is left out.
    """
    return _response(0x45, severity, sqlstate, message, detail, hint, position)


def notice_response(
    severity: str,
    sqlstate: str,
    message: str,
    detail: str = "",
    hint: str = "",
    position: int = 0,
) -> bytes:
    """Build a NoticeResponse; ``severity`` is WARNING, NOTICE, INFO, LOG or DEBUG."""
    return _response(0x4E, severity, sqlstate, message, detail, hint, position)


def _response(
    kind: int,
    severity: str,
    sqlstate: str,
    message: str,
    detail: str,
    hint: str,
    position: int,
) -> bytes:
    if len(sqlstate) != 5 or not _SQLSTATE_CHARACTERS.issuperset(sqlstate):
        # Drivers index their error classes by this code: a malformed one must never leave.
        sqlstate = INTERNAL_ERROR
    level = clean_text(severity)
    parts: list[bytes] = [
        b"S" + level,
        b"V" + level,
        b"C" + sqlstate.encode("ascii"),
        b"M" + clean_text(message),
    ]
    if detail:
        parts.append(b"D" + clean_text(detail))
    if hint:
        parts.append(b"H" + clean_text(hint))
    if position > 0:
        parts.append(b"P" + str(position).encode("ascii"))
    body = b"\x00".join(parts) + b"\x00\x00"
    return _HEADER.pack(kind, len(body) + 4) + body
