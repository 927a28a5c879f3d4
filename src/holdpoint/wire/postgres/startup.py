"""The first packet of a connection: what it asks for, and which settings it may bring.

A startup packet can set every setting that SET can, before the gate has seen a statement. So the
gate has a table of the settings that it knows to be harmless; anything else is refused by name.
Sources: PostgreSQL manual, "Message Formats" (StartupMessage, CancelRequest, SSLRequest,
GSSENCRequest); the rules for ``options`` are those of the server's command line.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from holdpoint.wire.postgres import frames, settings
from holdpoint.wire.postgres.errors import (
    FEATURE_NOT_SUPPORTED,
    INVALID_AUTHORIZATION,
    ProtocolError,
)
from holdpoint.wire.postgres.fields import FieldReader
from holdpoint.wire.postgres.frames import frame
from holdpoint.wire.postgres.messages import check_cancel_key

MAJOR: Final = 3
MINOR_MAX: Final = 2  # the newest minor version that the gate speaks; 3.1 was never released

_CANCEL_CODE: Final = (1234 << 16) | 5678
_SSL_CODE: Final = (1234 << 16) | 5679
_GSSENC_CODE: Final = (1234 << 16) | 5680
_EXTENSION_PREFIX: Final = "_pq_."
_BLANKS: Final = " \t\n\v\f\r"

_INT32: Final = Struct("!i")
_VERSION: Final = Struct("!I")


class SslRequest(NamedTuple):
    """The client wants TLS; answered by one byte, ``S`` or ``N``."""


class GssEncRequest(NamedTuple):
    """The client wants GSSAPI encryption; answered by the byte ``N``."""


class CancelRequest(NamedTuple):
    """Cancel what the session with this ``pid`` and ``key`` (4 to 256 bytes) runs; no answer."""

    pid: int
    key: bytes


class Startup(NamedTuple):
    """A StartupMessage as sent.

    ``parameters`` keep their order and spelling; ``extensions`` are the ``_pq_.`` protocol options
    (name and value), none of which is known so far.
    """

    major: int
    minor: int
    parameters: dict[str, str]
    extensions: tuple[tuple[str, str], ...]


class Checked(NamedTuple):
    """A startup that passed ``check_parameters``.

    ``user`` and ``database`` (empty if none was sent) are for the gate; ``upstream`` are the
    settings to send to the server: normalised, each name once, ``options`` already taken apart.
    """

    user: str
    database: str
    upstream: dict[str, str]


def parse_first_packet(payload: bytes) -> SslRequest | GssEncRequest | CancelRequest | Startup:
    """Read the payload (what follows the length) of a packet without a type byte.

    The length is checked by ``FrameReader.next_packet``, which cut the packet. A minor version
    that is newer than ours is no error: it is answered by NegotiateProtocolVersion.
    """
    reader = FieldReader("startup packet", payload)
    code = reader.oid()
    if code in (_SSL_CODE, _GSSENC_CODE):
        reader.end()
        return SslRequest() if code == _SSL_CODE else GssEncRequest()
    if code == _CANCEL_CODE:
        pid = reader.int32()
        key = reader.rest()
        check_cancel_key(key)
        return CancelRequest(pid, key)
    major = code >> 16
    minor = code & 0xFFFF
    if major != MAJOR:
        raise ProtocolError(
            f"unsupported frontend protocol {major}.{minor}: holdpoint speaks "
            f"{MAJOR}.0 and {MAJOR}.{MINOR_MAX}",
            FEATURE_NOT_SUPPORTED,
        )
    return _parse_parameters(reader, minor)


def _parse_parameters(reader: FieldReader, minor: int) -> Startup:
    parameters: dict[str, str] = {}
    extensions: list[tuple[str, str]] = []
    seen: set[str] = set()
    while True:
        name = _decode(reader.cstring())
        if not name:
            break
        value = _decode(reader.cstring())
        # The server takes the last of two; whoever sends two hopes that we look at the first.
        if name.lower() in seen:
            raise ProtocolError(f"startup parameter `{settings.shown(name)}` is given twice")
        seen.add(name.lower())
        if name.startswith(_EXTENSION_PREFIX):
            extensions.append((name, value))
        else:
            parameters[name] = value
    reader.end()
    return Startup(MAJOR, minor, parameters, tuple(extensions))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("startup packet: a name or value is not UTF-8") from None


def negotiated_minor(minor: int) -> int:
    """Return the minor version that both sides speak."""
    return min(minor, MINOR_MAX)


def check_parameters(startup: Startup) -> Checked:
    """Apply the table of ``settings`` to a startup packet, its ``options`` included.

    The ProtocolError of a refusal names the parameter, the reason and what to do instead.
    ``options`` come first and the packet's own parameters override them, as in the server.
    """
    user = ""
    database = ""
    options = ""
    own: list[tuple[str, str]] = []
    for name, value in startup.parameters.items():
        # The server compares these three by their exact spelling, so ``USER`` is a setting.
        if name == "user":
            user = value
        elif name == "database":
            database = value
        elif name == "options":
            options = value
        else:
            own.append((name, value))
    if not user:
        raise ProtocolError("no user name in the startup packet", INVALID_AUTHORIZATION)
    upstream: dict[str, str] = {}
    for name, value in parse_options(options) + own:
        setting = settings.check(name, value)
        upstream[setting.name] = setting.value
    return Checked(user, database, upstream)


def parse_options(options: str) -> list[tuple[str, str]]:
    """Take the ``options`` parameter apart into settings, in order.

    Words end at blanks and a backslash takes the next character as it is, as in the server.
    ``-c name=value``, ``-cname=value`` and ``--name=value`` are settings (dashes in a name stand
    for underscores); any other switch is a ProtocolError, because the server's short switches
    reach settings under other names (``-f`` plans, ``-S`` memory, ``-P`` system indexes, ...).
    """
    found: list[tuple[str, str]] = []
    words = _split_options(options)
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "-c":
            if index == len(words):
                raise ProtocolError("startup parameter `options`: `-c` without a setting")
            setting = words[index]
            index += 1
        elif word.startswith("-c") or (word.startswith("--") and len(word) > 2):
            setting = word[2:]
        else:
            raise ProtocolError(
                f"startup parameter `options`: `{settings.shown(word)}` is not allowed",
                FEATURE_NOT_SUPPORTED,
                "only settings are: `-c name=value` or `--name=value`",
            )
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ProtocolError(
                f"startup parameter `options`: `{settings.shown(setting)}` is not `name=value`"
            )
        found.append((name.replace("-", "_"), value))
    return found


def _split_options(options: str) -> list[str]:
    words: list[str] = []
    word: list[str] = []
    inside = False
    escaped = False
    for character in options:
        if escaped:
            word.append(character)
            escaped = False
        elif character in _BLANKS:
            if inside:
                words.append("".join(word))
                word = []
                inside = False
        else:
            inside = True
            if character == "\\":
                escaped = True
            else:
                word.append(character)
    if inside:
        words.append("".join(word))
    return words


def startup_message(parameters: dict[str, str], minor: int = 0) -> bytes:
    """Build a StartupMessage of protocol 3.``minor``; names and values hold no NUL."""
    parts: list[bytes] = [_VERSION.pack((MAJOR << 16) | minor)]
    for name, value in parameters.items():
        if not name or "\x00" in name or "\x00" in value:
            raise ProtocolError("a startup parameter is empty or contains a NUL byte")
        parts.append(_encode(name) + b"\x00" + _encode(value) + b"\x00")
    parts.append(b"\x00")
    return _packet(b"".join(parts))


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ProtocolError("a startup parameter is not valid Unicode") from None


def ssl_request() -> bytes:
    """Build an SSLRequest."""
    return _packet(_VERSION.pack(_SSL_CODE))


def cancel_request(pid: int, key: bytes) -> bytes:
    """Build a CancelRequest for what a BackendKeyData named."""
    return _packet(_VERSION.pack(_CANCEL_CODE) + _INT32.pack(pid) + key)


def negotiate_protocol_version(minor: int, unsupported: Sequence[str]) -> bytes:
    """Build a NegotiateProtocolVersion.

    ``minor`` is the version that the session goes on with, ``unsupported`` the names of all
    ``_pq_.`` options sent. Like PostgreSQL, it carries the whole version number and not the minor
    part alone, as the manual has it: libpq 18 refuses the latter.
    """
    names = [_encode(name) + b"\x00" for name in unsupported]
    body = _VERSION.pack((MAJOR << 16) | minor) + _INT32.pack(len(names)) + b"".join(names)
    return frame(frames.NEGOTIATE_PROTOCOL_VERSION, body)


def _packet(body: bytes) -> bytes:
    return _VERSION.pack(len(body) + frames.LENGTH_BYTES) + body
