"""Our codecs against PostgreSQL's own: as a client of the server, as a server of libpq."""

import datetime
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.errors import ProtocolError, error_response
from holdpoint.wire.postgres.frames import Frame, FrameReader
from holdpoint.wire.postgres.scram import KeyCache, ScramClient, ScramServer


class Peer:
    """A socket that speaks frames."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(30)
        self.reader = FrameReader(65_536)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, "the peer has hung up"
        self.reader.feed(data)

    def frame(self) -> Frame:
        while (found := self.reader.next_frame()) is None:
            self._more()
        return found

    def packet(self) -> bytes:
        while (found := self.reader.next_packet()) is None:
            self._more()
        return found

    def until(self, kind: int) -> list[Frame]:
        found = [self.frame()]
        while found[-1].kind != kind:
            found.append(self.frame())
        return found


@pytest.fixture
def peer(postgres: EmbeddedPostgres) -> Iterator[Peer]:
    with closing(socket.create_connection(("127.0.0.1", postgres.port))) as connection:
        yield Peer(connection)


def log_in(
    peer: Peer, user: str, password: str, minor: int = 0, cache: KeyCache | None = None, **more: str
) -> list[Frame]:
    """Authenticate and return the frames up to ReadyForQuery."""
    peer.send(startup.startup_message({"user": user, "database": "postgres", **more}, minor))
    frame = peer.frame()
    while frame.kind == frames.NEGOTIATE_PROTOCOL_VERSION:
        frame = peer.frame()
    offer = messages.parse_authentication(frame.payload)
    client = ScramClient("", password, secrets.token_urlsafe(18), None, cache)
    mechanism = client.choose(offer.mechanisms)
    peer.send(messages.sasl_initial_response(mechanism, client.first()))
    challenge = messages.parse_authentication(peer.frame().payload)
    assert challenge.code == messages.AUTH_SASL_CONTINUE
    peer.send(messages.sasl_response(client.final(challenge.data)))
    frame = peer.frame()
    if frame.kind == frames.ERROR_RESPONSE:
        fields = messages.parse_fields(frame.payload)
        raise ProtocolError(fields["M"], fields["C"])
    client.verify(messages.parse_authentication(frame.payload).data)
    assert messages.parse_authentication(peer.frame().payload).code == messages.AUTH_OK
    return peer.until(frames.READY_FOR_QUERY)


# --- as a client ------------------------------------------------------------------------------


def test_we_log_in_and_read(postgres: EmbeddedPostgres, peer: Peer) -> None:
    greeting = log_in(peer, postgres.superuser, postgres.password, application_name="us")
    settings = dict(
        messages.parse_parameter_status(frame.payload)
        for frame in greeting
        if frame.kind == frames.PARAMETER_STATUS
    )
    assert settings["application_name"] == "us"
    (key,) = (frame for frame in greeting if frame.kind == frames.BACKEND_KEY_DATA)
    assert len(messages.parse_backend_key_data(key.payload).key) == 4
    assert messages.parse_ready_for_query(greeting[-1].payload) == messages.IDLE

    peer.send(messages.query(b"BEGIN; CREATE TEMP TABLE t AS SELECT generate_series(1, 3)"))
    answers = peer.until(frames.READY_FOR_QUERY)
    tags = [
        messages.parse_command_complete(frame.payload)
        for frame in answers
        if frame.kind == frames.COMMAND_COMPLETE
    ]
    assert tags == [("BEGIN", -1), ("SELECT", 3)]
    assert messages.parse_ready_for_query(answers[-1].payload) == messages.IN_TRANSACTION


def test_the_server_takes_our_extended_flow(postgres: EmbeddedPostgres, peer: Peer) -> None:
    log_in(peer, postgres.superuser, postgres.password)
    peer.send(
        messages.parse(b"s", b"SELECT $1::int4, $2::text", [23, 25])
        + messages.bind(b"p", b"s", [b"\0\0\0\x07", None], [1, 0], [0])
        + messages.describe(messages.PORTAL, b"p")
        + messages.execute(b"p")
        + messages.close(messages.STATEMENT, b"s")
        + messages.SYNC
    )
    kinds = [frame.kind for frame in peer.until(frames.READY_FOR_QUERY)]
    assert bytes(kinds) == b"12TDC3Z"


def test_the_server_sees_our_errors_position(postgres: EmbeddedPostgres, peer: Peer) -> None:
    log_in(peer, postgres.superuser, postgres.password)
    peer.send(messages.query(b"SELECT nothing"))
    fields = messages.parse_fields(peer.until(frames.READY_FOR_QUERY)[0].payload)
    assert (fields["C"], fields["P"], fields["S"]) == ("42703", "8", "ERROR")


def test_our_verifier_is_one_for_the_server(postgres: EmbeddedPostgres, peer: Peer) -> None:
    """Also with a password that SASLprep changes: both sides must prepare it alike."""
    password = "ﬁ\u00a0\u00adKäse"
    verifier = scram.make_verifier(password, b"0123456789abcdef")
    name = "scram_" + secrets.token_hex(4)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{verifier}'".encode())
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name])
        assert stored.fetchone() == (verifier,)
    psycopg.connect(postgres.url(user=name, password=password)).close()
    psycopg.connect(postgres.url(user=name, password="fi Käse")).close()
    cache = KeyCache(entries_max=4)
    log_in(peer, name, password, cache=cache)
    assert cache.get(scram.prepare_password(password), b"0123456789abcdef", 4096) is not None


def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres, peer: Peer) -> None:
    with pytest.raises(ProtocolError, match="password authentication failed") as caught:
        log_in(peer, postgres.superuser, "wrong")
    assert caught.value.sqlstate == "28P01"


RUNS = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"


def test_cancel_with_the_keys_of_3_0_and_3_2(postgres18: EmbeddedPostgres) -> None:
    for minor, length in ((0, 4), (2, 32)):
        with closing(socket.create_connection(("127.0.0.1", postgres18.port))) as connection:
            peer = Peer(connection)
            greeting = log_in(peer, postgres18.superuser, postgres18.password, minor)
            (key,) = (frame for frame in greeting if frame.kind == frames.BACKEND_KEY_DATA)
            pid, secret = messages.parse_backend_key_data(key.payload)
            assert len(secret) == length
            peer.send(messages.query(b"SELECT pg_sleep(600)"))
            with psycopg.connect(postgres18.url(), autocommit=True) as watcher:
                while watcher.execute(RUNS, [pid]).fetchone() != (1,):
                    pass  # a request that comes before its statement is lost
            with closing(socket.create_connection(("127.0.0.1", postgres18.port))) as other:
                other.sendall(startup.cancel_request(pid, secret))
                assert other.recv(1) == b""
            error = peer.until(frames.ERROR_RESPONSE)[-1]
            assert messages.parse_fields(error.payload)["C"] == "57014"


def test_we_negotiate_like_the_server(postgres18: EmbeddedPostgres) -> None:
    with closing(socket.create_connection(("127.0.0.1", postgres18.port))) as connection:
        peer = Peer(connection)
        parameters = {"user": "postgres", "_pq_.sprockets": "on"}
        peer.send(startup.startup_message(parameters, minor=9_999))
        answer = peer.frame()
    assert answer.kind == frames.NEGOTIATE_PROTOCOL_VERSION
    ours = startup.negotiate_protocol_version(2, ["_pq_.sprockets"])
    assert frames.frame(*answer) == ours


def test_options_are_split_as_the_server_splits_them(postgres: EmbeddedPostgres) -> None:
    """What we make of ``options`` must be what the server would have made of it."""
    options = r"-c application_name=a\ b\\c  --statement-timeout=7s -cgeqo=off"
    wanted = startup.parse_options(options)
    with psycopg.connect(postgres.url(), options=options) as connection:
        for name, value in wanted:
            assert connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)


# --- as a server ------------------------------------------------------------------------------


def certificate(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    """Write a certificate of our own and its key into one PEM file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    algorithm = hashes.SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, algorithm)
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return pem


class ScramDoor:
    """Serves one client of libpq with our own server side, then says what happened."""

    def __init__(self, password: str, pem: Path | None) -> None:
        self.verifier = scram.make_verifier(password, b"0123456789abcdef")
        self.pem = pem
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.mechanism = ""
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        with self.listener, self.listener.accept()[0] as connection:
            peer = Peer(connection)
            first = startup.parse_first_packet(peer.packet())
            binding = None
            if isinstance(first, startup.SslRequest):
                assert peer.reader.buffered() == 0
                if self.pem is None:
                    peer.send(b"N")
                else:
                    peer.send(b"S")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self.pem)
                    peer = Peer(context.wrap_socket(connection, server_side=True))
                    pem = x509.load_pem_x509_certificate(self.pem.read_bytes())
                    der = pem.public_bytes(serialization.Encoding.DER)
                    binding = scram.server_end_point(der)
                first = startup.parse_first_packet(peer.packet())
            assert isinstance(first, startup.Startup)
            self.authenticate(peer, binding)
            if peer.socket is not connection:
                peer.socket.close()

    def authenticate(self, peer: Peer, binding: bytes | None) -> None:
        other = ScramServer(self.verifier, secrets.token_urlsafe(18), binding)
        peer.send(messages.authentication_sasl(other.mechanisms()))
        try:
            initial = messages.parse_sasl_initial(peer.frame().payload)
            self.mechanism = initial.mechanism
            challenge = other.first(initial.mechanism, initial.data or b"")
            peer.send(messages.authentication_sasl_continue(challenge))
            proof = other.final(peer.frame().payload)
        except ProtocolError as error:
            peer.send(error_response("FATAL", error.sqlstate, error.message, hint=error.hint))
            return
        peer.send(
            messages.authentication_sasl_final(proof)
            + messages.authentication_ok()
            + messages.parameter_status("client_encoding", "UTF8")
            + messages.parameter_status("server_version", "18.0")
            + messages.backend_key_data(1, b"1234")
            + messages.ready_for_query()
        )
        assert peer.frame().kind == frames.TERMINATE


def connect(door: ScramDoor, password: str, **more: str) -> None:
    psycopg.connect(
        host="127.0.0.1", port=door.port, user="ada", password=password, dbname="x", **more
    ).close()
    door.thread.join(timeout=30)
    assert not door.thread.is_alive()


def test_libpq_logs_in_to_us() -> None:
    door = ScramDoor("ﬁ Käse", None)
    connect(door, "ﬁ Käse", sslmode="prefer")
    assert door.mechanism == "SCRAM-SHA-256"


def test_libpq_binds_the_channel_to_us(tmp_path: Path) -> None:
    """With a SHA-384 certificate, so that a fixed SHA-256 would be found out."""
    door = ScramDoor("pw", certificate(tmp_path, ec.generate_private_key(ec.SECP384R1())))
    connect(door, "pw", sslmode="require", channel_binding="require")
    assert door.mechanism == "SCRAM-SHA-256-PLUS"


def test_libpq_without_binding_over_tls(tmp_path: Path) -> None:
    door = ScramDoor("pw", certificate(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    connect(door, "pw", sslmode="require", channel_binding="disable")
    assert door.mechanism == "SCRAM-SHA-256"


def test_a_certificate_without_a_hash_offers_no_binding(tmp_path: Path) -> None:
    door = ScramDoor("pw", certificate(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    connect(door, "pw", sslmode="require", channel_binding="prefer")
    assert door.mechanism == "SCRAM-SHA-256"


def test_libpq_shows_our_refusal() -> None:
    door = ScramDoor("pw", None)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(door, "wrong", sslmode="disable")
