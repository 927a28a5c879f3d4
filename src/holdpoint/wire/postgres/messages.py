"""Messages after the first packet: builders for what the gate sends, parsers for what it reads.

Parsers take the payload of a frame (what follows its length) and return a NamedTuple; whatever
does not fit the format exactly is a ProtocolError. Names, statements and values stay bytes: what
they mean depends on the session's encoding, which the wire does not know. Source: PostgreSQL
manual, "Message Formats".
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from holdpoint.wire.postgres import frames
from holdpoint.wire.postgres.errors import ProtocolError, clean_text
from holdpoint.wire.postgres.fields import FieldReader
from holdpoint.wire.postgres.frames import frame

# Codes of the Authentication request.
AUTH_OK: Final = 0
AUTH_CLEARTEXT_PASSWORD: Final = 3
AUTH_MD5_PASSWORD: Final = 5
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12

# Transaction states of ReadyForQuery.
IDLE: Final = 0x49
IN_TRANSACTION: Final = 0x54
FAILED_TRANSACTION: Final = 0x45

STATEMENT: Final = 0x53
PORTAL: Final = 0x50

CANCEL_KEY_BYTES_MIN: Final = 4
CANCEL_KEY_BYTES_MAX: Final = 256
_ROWS_DIGITS_MAX: Final = 20  # a 64-bit unsigned count of rows

_COUNT: Final = Struct("!H")
_INT32: Final = Struct("!i")
_OID: Final = Struct("!I")

PARSE_COMPLETE: Final = frame(frames.PARSE_COMPLETE)
BIND_COMPLETE: Final = frame(frames.BIND_COMPLETE)
CLOSE_COMPLETE: Final = frame(frames.CLOSE_COMPLETE)
EMPTY_QUERY: Final = frame(frames.EMPTY_QUERY_RESPONSE)
NO_DATA: Final = frame(frames.NO_DATA)
SYNC: Final = frame(frames.SYNC)
FLUSH: Final = frame(frames.FLUSH)
TERMINATE: Final = frame(frames.TERMINATE)


# --- what a client sends ----------------------------------------------------------------------


class Parse(NamedTuple):
    """A statement to prepare; an empty ``name`` is the unnamed statement, OID 0 is unspecified."""

    name: bytes
    query: bytes
    parameter_oids: tuple[int, ...]


class Bind(NamedTuple):
    """A portal to open. ``values`` are raw, None is NULL; formats are 0 (text) or 1 (binary).

    No format means text for all, one stands for all, else there is one per value (or column).
    """

    portal: bytes
    statement: bytes
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]


class Named(NamedTuple):
    """What Describe and Close point at: ``kind`` is STATEMENT or PORTAL."""

    kind: int
    name: bytes


class Execute(NamedTuple):
    """A portal to run for at most ``rows_max`` rows; 0 and less mean all of them."""

    portal: bytes
    rows_max: int


class SaslInitial(NamedTuple):
    """The first answer of a SASL exchange; ``data`` is None if the client sent none."""

    mechanism: str
    data: bytes | None


def parse_query(payload: bytes) -> bytes:
    """Read the text of a Query message."""
    if not payload or payload.find(b"\x00") != len(payload) - 1:
        raise ProtocolError("Query: the text must end with its only NUL byte")
    return payload[:-1]


def parse_parse(payload: bytes) -> Parse:
    """Read a Parse message."""
    reader = FieldReader("Parse", payload)
    name = reader.cstring()
    query = reader.cstring()
    oids = [reader.oid() for _ in range(reader.count())]
    reader.end()
    return Parse(name, query, tuple(oids))


def parse_bind(payload: bytes) -> Bind:
    """Read a Bind message."""
    reader = FieldReader("Bind", payload)
    portal = reader.cstring()
    statement = reader.cstring()
    formats = _read_formats(reader)
    count = reader.count()
    if len(formats) > 1 and len(formats) != count:
        raise ProtocolError(f"Bind: {len(formats)} parameter formats for {count} parameters")
    values: list[bytes | None] = []
    for _ in range(count):
        length = reader.int32()
        values.append(None if length == -1 else reader.take(length))
    result_formats = _read_formats(reader)
    reader.end()
    return Bind(portal, statement, formats, tuple(values), result_formats)


def _read_formats(reader: FieldReader) -> tuple[int, ...]:
    formats = [reader.int16() for _ in range(reader.count())]
    for code in formats:
        if code != 0 and code != 1:
            raise ProtocolError(f"Bind: unknown format code {code}")
    return tuple(formats)


def parse_describe(payload: bytes) -> Named:
    """Read a Describe message."""
    return _parse_named("Describe", payload)


def parse_close(payload: bytes) -> Named:
    """Read a Close message."""
    return _parse_named("Close", payload)


def _parse_named(what: str, payload: bytes) -> Named:
    reader = FieldReader(what, payload)
    kind = reader.byte()
    name = reader.cstring()
    reader.end()
    if kind != STATEMENT and kind != PORTAL:
        raise ProtocolError(f"{what}: neither a statement nor a portal (0x{kind:02x})")
    return Named(kind, name)


def parse_execute(payload: bytes) -> Execute:
    """Read an Execute message."""
    reader = FieldReader("Execute", payload)
    portal = reader.cstring()
    rows_max = reader.int32()
    reader.end()
    return Execute(portal, rows_max)


def parse_password(payload: bytes) -> bytes:
    """Read the password, or md5 response, of a PasswordMessage."""
    reader = FieldReader("PasswordMessage", payload)
    password = reader.cstring()
    reader.end()
    return password


def parse_sasl_initial(payload: bytes) -> SaslInitial:
    """Read a SASLInitialResponse; its ``mechanism`` is ASCII."""
    reader = FieldReader("SASLInitialResponse", payload)
    mechanism = reader.cstring()
    length = reader.int32()
    data = None if length == -1 else reader.take(length)
    reader.end()
    if not mechanism.isascii():
        raise ProtocolError("SASLInitialResponse: the mechanism's name is not ASCII")
    return SaslInitial(mechanism.decode("ascii"), data)


def query(text: bytes) -> bytes:
    """Build a Query; ``text`` holds no NUL."""
    return frame(frames.QUERY, _cstring(text))


def parse(name: bytes, text: bytes, parameter_oids: Sequence[int] = ()) -> bytes:
    """Build a Parse."""
    parts = [_cstring(name), _cstring(text), _COUNT.pack(len(parameter_oids))]
    parts.extend(_OID.pack(oid) for oid in parameter_oids)
    return frame(frames.PARSE, b"".join(parts))


def bind(
    portal: bytes,
    statement: bytes,
    values: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    result_formats: Sequence[int] = (),
) -> bytes:
    """Build a Bind; without formats everything is text."""
    parts = [_cstring(portal), _cstring(statement), _formats(formats), _COUNT.pack(len(values))]
    for value in values:
        if value is None:
            parts.append(_INT32.pack(-1))
        else:
            parts.append(_INT32.pack(len(value)))
            parts.append(value)
    parts.append(_formats(result_formats))
    return frame(frames.BIND, b"".join(parts))


def _formats(formats: Sequence[int]) -> bytes:
    return _COUNT.pack(len(formats)) + b"".join([_COUNT.pack(code) for code in formats])


def describe(kind: int, name: bytes) -> bytes:
    """Build a Describe of a STATEMENT or PORTAL."""
    return frame(frames.DESCRIBE, bytes([kind]) + _cstring(name))


def close(kind: int, name: bytes) -> bytes:
    """Build a Close of a STATEMENT or PORTAL."""
    return frame(frames.CLOSE, bytes([kind]) + _cstring(name))


def execute(portal: bytes, rows_max: int = 0) -> bytes:
    """Build an Execute; ``rows_max`` 0 means all rows."""
    return frame(frames.EXECUTE, _cstring(portal) + _INT32.pack(rows_max))


def password_message(password: bytes) -> bytes:
    """Build a PasswordMessage with a password in clear or an md5 response."""
    return frame(frames.PASSWORD, _cstring(password))


def sasl_initial_response(mechanism: str, data: bytes) -> bytes:
    """Build a SASLInitialResponse."""
    name = _cstring(mechanism.encode("ascii"))
    return frame(frames.PASSWORD, name + _INT32.pack(len(data)) + data)


def sasl_response(data: bytes) -> bytes:
    """Build a SASLResponse; the server reads it as the whole payload of its frame."""
    return frame(frames.PASSWORD, data)


def copy_fail(reason: str) -> bytes:
    """Build a CopyFail."""
    return frame(frames.COPY_FAIL, clean_text(reason) + b"\x00")


# --- what a server sends ----------------------------------------------------------------------


class Authentication(NamedTuple):
    """A server's Authentication request: one of the AUTH codes, or one that we do not support.

    ``data`` is the salt of AUTH_MD5_PASSWORD (4 bytes) or the data of a SASL step; ``mechanisms``
    is filled for AUTH_SASL only.
    """

    code: int
    data: bytes
    mechanisms: tuple[str, ...]


class ParameterStatus(NamedTuple):
    r"""A setting as the server reports it; bytes that are not UTF-8 appear as ``\xNN``."""

    name: str
    value: str


class BackendKeyData(NamedTuple):
    """What a CancelRequest must show: a process id and 4 (protocol 3.0) to 256 bytes (3.2)."""

    pid: int
    key: bytes


class CommandTag(NamedTuple):
    """A CommandComplete tag without its counts; ``rows`` is -1 where the command counts none."""

    tag: str
    rows: int


class NegotiatedVersion(NamedTuple):
    """A server's NegotiateProtocolVersion: the version it speaks, the options it does not know."""

    major: int
    minor: int
    unsupported: tuple[str, ...]


def parse_authentication(payload: bytes) -> Authentication:
    """Read an Authentication request."""
    reader = FieldReader("Authentication", payload)
    code = reader.int32()
    if code == AUTH_SASL:
        mechanisms: list[str] = []
        name = reader.cstring()
        while name:
            mechanisms.append(_text(name))
            name = reader.cstring()
        reader.end()
        return Authentication(code, b"", tuple(mechanisms))
    data = reader.rest()
    if code == AUTH_MD5_PASSWORD and len(data) != 4:
        raise ProtocolError(f"Authentication: an md5 salt of {len(data)} instead of 4 bytes")
    if code in (AUTH_OK, AUTH_CLEARTEXT_PASSWORD) and data:
        raise ProtocolError(f"Authentication: {len(data):,} bytes too many")
    return Authentication(code, data, ())


def parse_parameter_status(payload: bytes) -> ParameterStatus:
    """Read a ParameterStatus."""
    reader = FieldReader("ParameterStatus", payload)
    name = reader.cstring()
    value = reader.cstring()
    reader.end()
    return ParameterStatus(_text(name), _text(value))


def parse_backend_key_data(payload: bytes) -> BackendKeyData:
    """Read a BackendKeyData."""
    reader = FieldReader("BackendKeyData", payload)
    pid = reader.int32()
    key = reader.rest()
    check_cancel_key(key)
    return BackendKeyData(pid, key)


def check_cancel_key(key: bytes) -> None:
    """Raise ProtocolError unless ``key`` has a length that a cancel key may have."""
    if not CANCEL_KEY_BYTES_MIN <= len(key) <= CANCEL_KEY_BYTES_MAX:
        raise ProtocolError(
            f"invalid length of cancel key: {len(key):,} bytes; "
            f"allowed are {CANCEL_KEY_BYTES_MIN} to {CANCEL_KEY_BYTES_MAX}"
        )


def parse_ready_for_query(payload: bytes) -> int:
    """Read a ReadyForQuery: IDLE, IN_TRANSACTION or FAILED_TRANSACTION."""
    reader = FieldReader("ReadyForQuery", payload)
    status = reader.byte()
    reader.end()
    if status != IDLE and status != IN_TRANSACTION and status != FAILED_TRANSACTION:
        raise ProtocolError(f"ReadyForQuery: unknown transaction state 0x{status:02x}")
    return status


def parse_command_complete(payload: bytes) -> CommandTag:
    """Read a CommandComplete: ``INSERT 0 5`` gives (``INSERT``, 5), ``BEGIN`` (``BEGIN``, -1)."""
    reader = FieldReader("CommandComplete", payload)
    words = _text(reader.cstring()).split(" ")
    reader.end()
    rows = -1
    last = words[-1]
    if len(words) > 1 and last.isascii() and last.isdigit() and len(last) <= _ROWS_DIGITS_MAX:
        rows = int(last)
        words.pop()
        if len(words) > 1 and words[0] == "INSERT":
            words.pop()  # the OID of the row, always 0 since PostgreSQL 12
    return CommandTag(" ".join(words), rows)


def parse_fields(payload: bytes) -> dict[str, str]:
    r"""Read the fields of an ErrorResponse or NoticeResponse by their letter (``M``, ...).

    A field that comes twice keeps its first text; bytes that are not UTF-8 appear as ``\xNN``.
    """
    reader = FieldReader("ErrorResponse", payload)
    fields: dict[str, str] = {}
    code = reader.byte()
    while code:
        fields.setdefault(chr(code), _text(reader.cstring()))
        code = reader.byte()
    reader.end()
    return fields


def parse_negotiate_protocol_version(payload: bytes) -> NegotiatedVersion:
    """Read a NegotiateProtocolVersion."""
    reader = FieldReader("NegotiateProtocolVersion", payload)
    version = reader.oid()
    count = reader.int32()
    if count < 0 or count > reader.left():
        raise ProtocolError(f"NegotiateProtocolVersion: {count:,} options announced")
    names = [_text(reader.cstring()) for _ in range(count)]
    reader.end()
    # Servers send the whole version number, although the manual speaks of the minor part only.
    return NegotiatedVersion(version >> 16 or 3, version & 0xFFFF, tuple(names))


def authentication_ok() -> bytes:
    """Build an AuthenticationOk."""
    return frame(frames.AUTHENTICATION, _INT32.pack(AUTH_OK))


def authentication_cleartext() -> bytes:
    """Build an AuthenticationCleartextPassword."""
    return frame(frames.AUTHENTICATION, _INT32.pack(AUTH_CLEARTEXT_PASSWORD))


def authentication_sasl(mechanisms: Sequence[str]) -> bytes:
    """Build an AuthenticationSASL that offers ``mechanisms``, the preferred one first."""
    names = [_cstring(name.encode("ascii")) for name in mechanisms]
    return frame(frames.AUTHENTICATION, _INT32.pack(AUTH_SASL) + b"".join(names) + b"\x00")


def authentication_sasl_continue(data: bytes) -> bytes:
    """Build an AuthenticationSASLContinue."""
    return frame(frames.AUTHENTICATION, _INT32.pack(AUTH_SASL_CONTINUE) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    """Build an AuthenticationSASLFinal."""
    return frame(frames.AUTHENTICATION, _INT32.pack(AUTH_SASL_FINAL) + data)


def parameter_status(name: str, value: str) -> bytes:
    """Build a ParameterStatus."""
    return frame(frames.PARAMETER_STATUS, clean_text(name) + b"\x00" + clean_text(value) + b"\x00")


def backend_key_data(pid: int, key: bytes) -> bytes:
    """Build a BackendKeyData.

    ``pid`` is a signed 32-bit number. ``key`` has 4 bytes for a client of protocol 3.0 and 4 to 32
    for one of 3.2 (up to 256 are allowed; PostgreSQL itself sends 32).
    """
    return frame(frames.BACKEND_KEY_DATA, _INT32.pack(pid) + key)


def ready_for_query(status: int = IDLE) -> bytes:
    """Build a ReadyForQuery."""
    return frame(frames.READY_FOR_QUERY, bytes([status]))


def command_complete(tag: str) -> bytes:
    """Build a CommandComplete with a whole tag such as ``SET`` or ``SELECT 1``."""
    return frame(frames.COMMAND_COMPLETE, clean_text(tag) + b"\x00")


def fields_response(kind: int, fields: dict[str, str]) -> bytes:
    """Build an ErrorResponse or NoticeResponse (``kind``) from the fields of another one."""
    parts = [letter.encode("latin-1") + clean_text(fields[letter]) + b"\x00" for letter in fields]
    return frame(kind, b"".join(parts) + b"\x00")


def _cstring(data: bytes) -> bytes:
    """End ``data`` with a NUL; a NUL inside would let one field run into the next."""
    if b"\x00" in data:
        raise ProtocolError("a text to send contains a NUL byte")
    return data + b"\x00"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
