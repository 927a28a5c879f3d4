"""Certificates made for a test, and a PostgreSQL that speaks TLS although the binaries cannot."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from wire_client import Wire

from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.errors import ProtocolError, error_response
from holdpoint.wire.postgres.frames import FrameReader, frame


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, in a file."""

    file: Path
    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str = "ca") -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            _builder(subject, subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = folder / f"{name}.pem"
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return cls(file, key, made)

    def issue(self, name: str = "localhost") -> tuple[Path, Path]:
        """Issue a certificate for a host name (and 127.0.0.1, if that is it): its files."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if name == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            _builder(subject, self._certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_usage(signs=False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        certificate = self.file.with_name(f"{name}.crt")
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = self.file.with_name(f"{name}.key")
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        private.chmod(0o600)
        return certificate, private


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class TlsServer:
    """Speaks TLS and SCRAM(-PLUS) as a PostgreSQL would, then passes on to one without TLS.

    ``mechanisms`` collects what its clients have chosen.
    """

    def __init__(
        self, certificate: Path, key: Path, target: tuple[int, str, str, str], secret: str
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        self._end_point = scram.server_end_point(der)
        self._target = target
        self._secret = secret
        self.mechanisms: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            client.settimeout(15)
            assert client.recv(8, socket.MSG_WAITALL) == startup.ssl_request()
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as line:
                length = int.from_bytes(_exactly(line, 4), "big")
                packet = startup.parse_first_packet(_exactly(line, length - 4))
                assert isinstance(packet, startup.Startup)
                self._authenticate(line)
                own = ("user", "database")
                self._pass_on(line, {k: v for k, v in packet.parameters.items() if k not in own})

    def _authenticate(self, line: ssl.SSLSocket) -> None:
        verifier = scram.make_verifier(self._secret, secrets.token_bytes(16), 4096)
        server = scram.ScramServer(verifier, secrets.token_urlsafe(18), self._end_point)
        reader = FrameReader(65_536)

        def answer() -> bytes:
            while (found := reader.next_frame()) is None:
                reader.feed(_some(line))
            return found.payload

        line.sendall(messages.authentication_sasl(server.mechanisms()))
        initial = messages.parse_sasl_initial(answer())
        self.mechanisms.append(initial.mechanism)
        first = server.first(initial.mechanism, initial.data or b"")
        line.sendall(messages.authentication_sasl_continue(first))
        try:
            final = server.final(answer())
        except ProtocolError as error:
            line.sendall(error_response("FATAL", error.sqlstate, error.message))
            raise EOFError from error
        line.sendall(messages.authentication_sasl_final(final) + messages.authentication_ok())

    def _pass_on(self, line: ssl.SSLSocket, settings: dict[str, str]) -> None:
        with Wire.connect(*self._target, **settings) as wire:
            for found in wire.greeting:
                if found.kind in (frames.PARAMETER_STATUS, frames.BACKEND_KEY_DATA):
                    line.sendall(frame(found.kind, found.payload))
            line.sendall(messages.ready_for_query())

            def back() -> None:
                with suppress(OSError):
                    while data := wire.socket.recv(65_536):
                        line.sendall(data)
                    line.shutdown(socket.SHUT_RDWR)

            self._spawn(back)
            with suppress(OSError, EOFError):
                while True:
                    wire.send(_some(line))


def _some(line: ssl.SSLSocket) -> bytes:
    data = line.recv(65_536)
    if not data:
        raise EOFError
    return data


def _exactly(line: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data
