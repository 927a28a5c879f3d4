"""A client of frames, whose sessions read as transcripts."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.frames import Frame, FrameReader

DEADLINE_S = 15.0


class Wire:
    """A client of frames: sends bytes, and shows answers as short words that read as transcripts.

    `1` ParseComplete, `2` BindComplete, `3` CloseComplete, `T` row description, `D:a,b` a row,
    `C:SELECT 1`, `E:42601`, `ZI`/`ZT`/`ZE` ready, `N:00000` notice, `s` suspended, `n` no data.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(DEADLINE_S)
        self.reader = FrameReader(256 * 1024 * 1024)
        self.pid = 0
        self.key = b""
        self.parameters: dict[str, str] = {}
        self.errors: list[dict[str, str]] = []
        self.notices: list[dict[str, str]] = []
        self.received = bytearray()
        self.greeting: list[Frame] = []

    @classmethod
    @contextmanager
    def connect(
        cls, port: int, user: str, secret: str, database: str, minor: int = 0, **more: str
    ) -> Iterator[Wire]:
        with cls.open(port) as wire:
            wire.sign_in(user, secret, database.rstrip("/"), minor, **more)
            yield wire

    @classmethod
    @contextmanager
    def open(cls, port: int) -> Iterator[Wire]:
        """Connect, and send nothing yet."""
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = cls(connection)
            yield wire
            with suppress(OSError):
                wire.send(messages.TERMINATE)

    def sign_in(self, user: str, secret: str, database: str, minor: int = 0, **more: str) -> None:
        """Authenticate with SCRAM and take everything up to ReadyForQuery."""
        self.send(startup.startup_message({"user": user, "database": database, **more}, minor))
        first = self.frame()
        while first.kind == frames.NEGOTIATE_PROTOCOL_VERSION:
            self.greeting.append(first)
            first = self.frame()
        self._no_error(first)
        offer = messages.parse_authentication(first.payload)
        client = scram.ScramClient("", secret, secrets.token_urlsafe(18), None)
        mechanism = client.choose(offer.mechanisms)
        self.send(messages.sasl_initial_response(mechanism, client.first()))
        challenge = messages.parse_authentication(self.frame().payload)
        self.send(messages.sasl_response(client.final(challenge.data)))
        final = self.frame()
        self._no_error(final)
        client.verify(messages.parse_authentication(final.payload).data)
        while (found := self.frame()).kind != frames.READY_FOR_QUERY:
            self._no_error(found)
            self.greeting.append(found)
            if found.kind == frames.BACKEND_KEY_DATA:
                self.pid, self.key = messages.parse_backend_key_data(found.payload)
            elif found.kind == frames.PARAMETER_STATUS:
                name, value = messages.parse_parameter_status(found.payload)
                self.parameters[name] = value
        self.received.clear()

    def _no_error(self, found: Frame) -> None:
        if found.kind == frames.ERROR_RESPONSE:
            self.errors.append(messages.parse_fields(found.payload))
            raise RefusedError(self.errors[-1])

    def send(self, *data: bytes) -> None:
        """Send bytes, in one piece."""
        self.socket.sendall(b"".join(data))

    def frame(self) -> Frame:
        """Return the next frame."""
        while (found := self.reader.next_frame()) is None:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            self.received += data
            self.reader.feed(data)
        return found

    def word(self) -> str:
        """Return the next answer as a word."""
        kind, payload = self.frame()
        letter = chr(kind)
        if kind in (frames.ERROR_RESPONSE, frames.NOTICE_RESPONSE):
            fields = messages.parse_fields(payload)
            (self.errors if letter == "E" else self.notices).append(fields)
            return f"{letter}:{fields['C']}"
        if kind == frames.COMMAND_COMPLETE:
            return f"C:{payload[:-1].decode()}"
        if kind == frames.READY_FOR_QUERY:
            return f"Z{payload.decode()}"
        if kind == frames.DATA_ROW:
            return "D:" + ",".join(_row(payload))
        return letter

    def words(self, ready: int = 1) -> list[str]:
        """Return the answers up to ``ready`` times ReadyForQuery, without ParameterStatus."""
        found: list[str] = []
        while ready:
            word = self.word()
            if word != "S":
                found.append(word)
            ready -= word.startswith("Z")
        return found

    def until(self, start: str) -> list[str]:
        """Return the answers up to one that starts so."""
        found = [self.word()]
        while not found[-1].startswith(start):
            found.append(self.word())
        return found

    def ask(self, *data: bytes, ready: int = 1) -> str:
        """Send, and return the answers in one line."""
        self.send(*data)
        return " ".join(self.words(ready))

    def query(self, text: str) -> str:
        """Send a simple query and return the answers in one line."""
        return self.ask(messages.query(text.encode()))

    def rest(self) -> str:
        """Return everything up to the end of the connection."""
        found: list[str] = []
        with suppress(EOFError, ConnectionError):
            while True:
                found.append(self.word())
        return " ".join(found)


class RefusedError(Exception):
    """The server refused the connection; ``fields`` are those of its ErrorResponse."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields)
        self.fields = fields


def _row(payload: bytes) -> list[str]:
    count = int.from_bytes(payload[:2], "big")
    at = 2
    values: list[str] = []
    for _ in range(count):
        length = int.from_bytes(payload[at : at + 4], "big", signed=True)
        at += 4
        value = payload[at : at + max(0, length)]
        values.append("NULL" if length < 0 else value.decode("utf-8", "backslashreplace"))
        at += max(0, length)
    return values


# Short words for what clients send.
def P(text: str, name: str = "", *oids: int) -> bytes:
    return messages.parse(name.encode(), text.encode(), oids)


def B(name: str = "", *values: str, portal: str = "") -> bytes:
    return messages.bind(portal.encode(), name.encode(), [value.encode() for value in values])


def E(portal: str = "", rows_max: int = 0) -> bytes:
    return messages.execute(portal.encode(), rows_max)


def Q(text: str) -> bytes:
    return messages.query(text.encode())


def D(name: str = "", kind: int = messages.STATEMENT) -> bytes:
    return messages.describe(kind, name.encode())


def C(name: str = "", kind: int = messages.STATEMENT) -> bytes:
    return messages.close(kind, name.encode())


S = messages.SYNC
H = messages.FLUSH
PORTAL = messages.PORTAL


def run(text: str, *values: str) -> bytes:
    """The unnamed flow: Parse, Bind, Execute."""
    return P(text) + B("", *values) + E()
