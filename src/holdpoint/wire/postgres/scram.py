"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides, and the md5 response of old servers.

Sources: RFC 5802 (SCRAM), RFC 7677 (SHA-256), RFC 5929 section 4 (tls-server-end-point), RFC 4013
(SASLprep), PostgreSQL manual, "SASL Authentication". Nonces and salts are arguments: the wire has
no randomness of its own.
"""

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from holdpoint.wire.postgres.errors import (
    FEATURE_NOT_SUPPORTED,
    INVALID_AUTHORIZATION,
    INVALID_PASSWORD,
    ProtocolError,
)

PLAIN: Final = "SCRAM-SHA-256"
PLUS: Final = "SCRAM-SHA-256-PLUS"
ITERATIONS: Final = 4_096  # PostgreSQL: scram_iterations' default
SALT_BYTES: Final = 16  # PostgreSQL: SCRAM_DEFAULT_SALT_LEN
ITERATIONS_MAX: Final = 10_000_000  # some seconds of work; a server that asks for more means harm

_KEY_BYTES: Final = 32
_BINDING: Final = "tls-server-end-point"
_NONCE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,1024}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_USER: Final = re.compile(r"(?:[^,=]|=2C|=3D)*")
_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class Verifier(NamedTuple):
    """What a server keeps instead of a password; it lets nobody log in."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


class ClientKeys(NamedTuple):
    """What a client derives from a password, salt and iterations. As secret as the password."""

    client_key: bytes
    stored_key: bytes
    server_key: bytes


class KeyCache:
    """Keeps the ``entries_max`` keys used last, so that a reconnect costs no PBKDF2."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._keys: dict[tuple[bytes, bytes, int], ClientKeys] = {}

    def get(self, password: bytes, salt: bytes, iterations: int) -> ClientKeys | None:
        """Return the keys, or None; they then count as used last."""
        entry = (password, salt, iterations)
        keys = self._keys.pop(entry, None)
        if keys is not None:
            self._keys[entry] = keys
        return keys

    def put(self, password: bytes, salt: bytes, iterations: int, keys: ClientKeys) -> None:
        """Keep keys, dropping those not used for longest."""
        self._keys.pop((password, salt, iterations), None)
        self._keys[(password, salt, iterations)] = keys
        while len(self._keys) > self._entries_max:
            del self._keys[next(iter(self._keys))]


# --- keys and verifiers -----------------------------------------------------------------------


def prepare_password(password: str) -> bytes:
    """Return a password as the bytes that are hashed: SASLprep, or as it is if that forbids it.

    Like PostgreSQL, which checks for forbidden characters before normalising, keeps ASCII as it
    is, and takes a password that SASLprep refuses unchanged.
    """
    raw = _password_bytes(password)
    if password.isascii() or any(0xD800 <= ord(character) <= 0xDFFF for character in password):
        return raw
    mapped = "".join(
        [
            " " if stringprep.in_table_c12(character) else character
            for character in password
            if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
        ]
    )
    if not mapped or any(test(character) for character in mapped for test in _PROHIBITED):
        return raw
    if any(stringprep.in_table_d1(character) for character in mapped) and (
        any(stringprep.in_table_d2(character) for character in mapped)
        or not stringprep.in_table_d1(mapped[0])
        or not stringprep.in_table_d1(mapped[-1])
    ):
        return raw
    return unicodedata.normalize("NFKC", mapped).encode("utf-8")


def _password_bytes(password: str) -> bytes:
    """Return the bytes of a password; ``surrogateescape`` carries those that are not UTF-8."""
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ProtocolError("the password is not valid Unicode", INVALID_PASSWORD) from None


def derive_keys(password: bytes, salt: bytes, iterations: int) -> ClientKeys:
    """Derive the keys of a prepared password; takes about 1 ms for each 4,096 iterations."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return ClientKeys(client_key, _sha256(client_key), _hmac(salted, b"Server Key"))


def make_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return the verifier of a password in the format of PostgreSQL's ``pg_authid``."""
    keys = derive_keys(prepare_password(password), salt, iterations)
    return format_verifier(Verifier(iterations, salt, keys.stored_key, keys.server_key))


def mock_verifier(secret: bytes, user: str, iterations: int = ITERATIONS) -> str:
    """Return a verifier for a user who does not exist, which no password fits.

    Always the same for the same ``secret`` (of the installation, 16 random bytes or more) and
    user, with a salt and ``iterations`` like the real ones, so that nobody can try out which users
    exist.
    """
    name = user.encode("utf-8", "replace")
    salt = _hmac(secret, b"salt\x00" + name)[:SALT_BYTES]
    stored_key = _hmac(secret, b"stored key\x00" + name)
    server_key = _hmac(secret, b"server key\x00" + name)
    return format_verifier(Verifier(iterations, salt, stored_key, server_key))


def format_verifier(verifier: Verifier) -> str:
    """Return ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``."""
    return (
        f"{PLAIN}${verifier.iterations}:{_b64(verifier.salt)}"
        f"${_b64(verifier.stored_key)}:{_b64(verifier.server_key)}"
    )


def parse_verifier(text: str) -> Verifier:
    """Read a verifier in PostgreSQL's format; the message of the error does not contain it."""
    parts = text.split("$")
    if len(parts) == 3 and parts[0] == PLAIN:
        iterations, _, salt = parts[1].partition(":")
        stored_key, _, server_key = parts[2].partition(":")
        verifier = Verifier(
            _iterations(iterations), _unb64(salt), _unb64(stored_key), _unb64(server_key)
        )
        if (
            verifier.salt
            and len(verifier.stored_key) == _KEY_BYTES
            and len(verifier.server_key) == _KEY_BYTES
        ):
            return verifier
    raise ProtocolError("not a SCRAM-SHA-256 verifier", INVALID_PASSWORD)


# --- channel binding --------------------------------------------------------------------------


def channel_binding_data(certificate_der: bytes, signature_hash_name: str) -> bytes:
    """Return the tls-server-end-point data of a server's certificate.

    ``signature_hash_name`` is the hash of the certificate's signature (``sha256``, ...);
    MD5 and SHA-1 are replaced by SHA-256 as RFC 5929 demands.
    """
    name = signature_hash_name.lower().replace("-", "")
    if name in ("md5", "sha1"):
        name = "sha256"
    if name not in ("sha224", "sha256", "sha384", "sha512"):
        raise ProtocolError(f"no channel binding for certificates signed with `{name}`")
    return hashlib.new(name, certificate_der).digest()


def server_end_point(certificate_der: bytes) -> bytes | None:
    """Return the tls-server-end-point data, or None where RFC 5929 defines none (Ed25519, ...)."""
    from cryptography import exceptions, x509  # 20 ms that most starts do not need

    try:
        algorithm = x509.load_der_x509_certificate(certificate_der).signature_hash_algorithm
    except exceptions.UnsupportedAlgorithm:
        return None
    except ValueError:
        raise ProtocolError("the server's certificate cannot be read") from None
    return None if algorithm is None else channel_binding_data(certificate_der, algorithm.name)


# --- server side ------------------------------------------------------------------------------


class ScramServer:
    """One authentication of a client: ``first``, then ``final``.

    ``verifier`` is the user's, or ``mock_verifier`` for an unknown one; ``nonce`` is fresh
    printable ASCII without commas, 24 characters of base64 or more; ``channel_binding`` is
    ``server_end_point`` of our own certificate on a TLS connection, else None.
    """

    def __init__(self, verifier: str, nonce: str, channel_binding: bytes | None) -> None:
        self._verifier = parse_verifier(verifier)
        self._nonce = nonce
        self._binding = channel_binding
        self._header = b""
        self._bound = False
        self._bare = ""
        self._full_nonce = ""
        self._server_first = ""

    def mechanisms(self) -> tuple[str, ...]:
        """Return the mechanisms to offer, the preferred one first."""
        return (PLAIN,) if self._binding is None else (PLUS, PLAIN)

    def first(self, mechanism: str, message: bytes) -> bytes:
        """Take the client's first message, return ours."""
        if self._server_first:
            raise ProtocolError("SCRAM: a second first message")
        if mechanism not in self.mechanisms():
            raise ProtocolError("SCRAM: the client chose a mechanism that was not offered")
        text = _ascii_or_utf8(message)
        flag, comma, rest = text.partition(",")
        authzid, comma2, bare = rest.partition(",")
        if not comma or not comma2:
            raise ProtocolError("SCRAM: malformed first message")
        self._check_flag(flag, mechanism)
        if authzid:
            raise ProtocolError(
                "SCRAM: acting for another user is not supported", FEATURE_NOT_SUPPORTED
            )
        self._header = f"{flag},,".encode()
        self._bare = bare
        self._full_nonce = _client_nonce(bare) + self._nonce
        self._server_first = (
            f"r={self._full_nonce},s={_b64(self._verifier.salt)},i={self._verifier.iterations}"
        )
        return self._server_first.encode()

    def _check_flag(self, flag: str, mechanism: str) -> None:
        if mechanism == PLUS:
            if flag != f"p={_BINDING}":
                raise ProtocolError(f"SCRAM: {PLUS} needs channel binding `{_BINDING}`")
            self._bound = True
        elif flag == "y" and self._binding is not None:
            # The client has channel binding and saw no offer of it, yet we offered it: somebody
            # between us took the offer away.
            raise ProtocolError(
                "SCRAM: channel binding was offered and did not reach the client",
                INVALID_AUTHORIZATION,
                "somebody between client and gate may be changing the connection; check the route",
            )
        elif flag != "n" and flag != "y":
            raise ProtocolError("SCRAM: malformed channel binding flag")

    def final(self, message: bytes) -> bytes:
        """Take the client's last message, return ours; a wrong password is INVALID_PASSWORD."""
        if not self._server_first:
            raise ProtocolError("SCRAM: the final message came first")
        text = _ascii_or_utf8(message)
        without_proof, comma, proof_text = text.rpartition(",p=")
        parts = without_proof.split(",")
        if not comma or len(parts) < 2 or parts[0][:2] != "c=" or parts[1][:2] != "r=":
            raise ProtocolError("SCRAM: malformed final message")
        expected = self._header
        if self._bound and self._binding is not None:
            expected += self._binding
        if not hmac.compare_digest(_unb64(parts[0][2:]), expected):
            raise ProtocolError("SCRAM: channel binding does not match", INVALID_AUTHORIZATION)
        if not hmac.compare_digest(parts[1][2:].encode(), self._full_nonce.encode()):
            raise ProtocolError("SCRAM: nonce does not match")
        proof = _unb64(proof_text)
        if len(proof) != _KEY_BYTES:
            raise ProtocolError("SCRAM: malformed proof")
        auth = f"{self._bare},{self._server_first},{without_proof}".encode()
        # A first message with its answer is used for one attempt at the password only.
        self._server_first = ""
        client_key = _xor(proof, _hmac(self._verifier.stored_key, auth))
        if not hmac.compare_digest(_sha256(client_key), self._verifier.stored_key):
            raise ProtocolError("password authentication failed", INVALID_PASSWORD)
        return b"v=" + _b64(_hmac(self._verifier.server_key, auth)).encode()


def _client_nonce(bare: str) -> str:
    """Read the nonce of ``n=<user>,r=<nonce>[,extensions]``; the user is that of the startup."""
    parts = bare.split(",")
    if parts[0].startswith("m="):
        raise ProtocolError("SCRAM: mandatory extensions are not supported", FEATURE_NOT_SUPPORTED)
    if len(parts) < 2 or parts[0][:2] != "n=" or parts[1][:2] != "r=":
        raise ProtocolError("SCRAM: malformed first message")
    nonce = parts[1][2:]
    if not _NONCE.fullmatch(nonce) or not _USER.fullmatch(parts[0][2:]):
        raise ProtocolError("SCRAM: malformed user or nonce")
    return nonce


# --- client side ------------------------------------------------------------------------------


class ScramClient:
    """One authentication with a server: ``choose``, ``first``, ``final``, ``verify``.

    ``user`` may be empty, as libpq sends it: PostgreSQL takes the one of the startup packet.
    ``nonce`` is fresh as for ScramServer. ``channel_binding`` is ``server_end_point`` of the
    server's certificate on a TLS connection, else None. With ``cache`` the keys of a successful
    authentication are kept there.
    """

    def __init__(
        self,
        user: str,
        password: str,
        nonce: str,
        channel_binding: bytes | None,
        cache: KeyCache | None = None,
    ) -> None:
        self._password = prepare_password(password)
        self._nonce = nonce
        self._binding = channel_binding
        self._cache = cache
        self._flag = ""
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={nonce}"
        self._salt = b""
        self._iterations = 0
        self._keys: ClientKeys | None = None
        self._signature = b""

    def choose(self, offered: Sequence[str], require_binding: bool = False) -> str:
        """Return the mechanism to use of those ``offered``.

        With ``require_binding`` a server that does not bind the channel is refused.
        """
        if self._binding is not None and PLUS in offered:
            self._flag = f"p={_BINDING}"
            return PLUS
        if require_binding:
            raise ProtocolError(
                "the server does not offer channel binding, which is required",
                INVALID_AUTHORIZATION,
            )
        if PLAIN not in offered:
            raise ProtocolError(
                "the server offers no authentication mechanism that holdpoint knows",
                FEATURE_NOT_SUPPORTED,
            )
        self._flag = "n" if self._binding is None else "y"
        return PLAIN

    def first(self) -> bytes:
        """Return the first message."""
        if not self._flag:
            raise ProtocolError("SCRAM: no mechanism was chosen")
        return f"{self._flag},,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Take the server's first message, return the last one; runs PBKDF2 unless cached."""
        if not self._flag or self._keys is not None:
            raise ProtocolError("SCRAM: the server's first message comes once, after ours")
        text = _ascii_or_utf8(server_first)
        parts = text.split(",")
        if len(parts) < 3 or [part[:2] for part in parts[:3]] != ["r=", "s=", "i="]:
            raise ProtocolError("SCRAM: malformed first message of the server")
        nonce = parts[0][2:]
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not _NONCE.fullmatch(nonce):
            raise ProtocolError("SCRAM: the server's nonce does not extend ours")
        self._salt = _unb64(parts[1][2:])
        if not self._salt:
            raise ProtocolError("SCRAM: the server's salt is empty")
        self._iterations = _iterations(parts[2][2:])
        keys = self._derive()
        header = f"{self._flag},,".encode()
        if self._binding is not None and self._flag.startswith("p="):
            header += self._binding
        without_proof = f"c={_b64(header)},r={nonce}"
        auth = f"{self._bare},{text},{without_proof}".encode()
        self._signature = _hmac(keys.server_key, auth)
        proof = _xor(keys.client_key, _hmac(keys.stored_key, auth))
        self._keys = keys
        return f"{without_proof},p={_b64(proof)}".encode()

    def _derive(self) -> ClientKeys:
        if self._cache is not None:
            keys = self._cache.get(self._password, self._salt, self._iterations)
            if keys is not None:
                return keys
        return derive_keys(self._password, self._salt, self._iterations)

    def verify(self, server_final: bytes) -> None:
        """Take the server's last message; raise unless the server has proved itself.

        AuthenticationOk without this step must not be believed.
        """
        keys = self._keys
        if keys is None:
            raise ProtocolError("SCRAM: the server's final message came first")
        text = _ascii_or_utf8(server_final)
        if text.startswith("e="):
            raise ProtocolError("SCRAM: the server refused", INVALID_PASSWORD)
        if not text.startswith("v="):
            raise ProtocolError("SCRAM: malformed final message of the server")
        signature = _unb64(text[2:].partition(",")[0])
        if not hmac.compare_digest(signature, self._signature):
            raise ProtocolError(
                "SCRAM: the server did not prove that it knows the password",
                INVALID_AUTHORIZATION,
            )
        if self._cache is not None:
            # Only now: a false server must not fill the cache with salts of its own.
            self._cache.put(self._password, self._salt, self._iterations, keys)


# --- md5 --------------------------------------------------------------------------------------


def md5_response(user: str, password: str, salt: bytes) -> bytes:
    """Return the answer to AuthenticationMD5Password."""
    inner = hashlib.md5(
        _password_bytes(password) + user.encode("utf-8", "replace"), usedforsecurity=False
    ).hexdigest()
    outer = hashlib.md5(inner.encode("ascii") + salt, usedforsecurity=False).hexdigest()
    return b"md5" + outer.encode("ascii")


# --- small parts ------------------------------------------------------------------------------


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes([a ^ b for a, b in zip(left, right, strict=True)])


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ProtocolError("SCRAM: malformed base64") from None


def _iterations(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= ITERATIONS_MAX:
        raise ProtocolError(f"SCRAM: iterations must be 1 to {ITERATIONS_MAX:,}")
    return int(text)


def _ascii_or_utf8(message: bytes) -> str:
    if b"\x00" in message:
        raise ProtocolError("SCRAM: a message contains a NUL byte")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("SCRAM: a message is not UTF-8") from None
