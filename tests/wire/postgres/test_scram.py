"""SCRAM, both sides: the vectors of the RFCs, the ways to cheat, one side against the other."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.wire.postgres import scram
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.scram import PLAIN, PLUS, KeyCache, ScramClient, ScramServer

# RFC 7677, section 3
USER = "user"
PASSWORD = "pencil"
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

VERIFIER = scram.make_verifier(PASSWORD, SALT)
BINDING = b"hash of the certificate"


def client(password: str = PASSWORD, binding: bytes | None = None, **more: KeyCache) -> ScramClient:
    return ScramClient(USER, password, CLIENT_NONCE, binding, **more)


def server(verifier: str = VERIFIER, binding: bytes | None = None) -> ScramServer:
    return ScramServer(verifier, SERVER_NONCE, binding)


def converse(one: ScramClient, other: ScramServer) -> str:
    """Run a whole exchange and return the mechanism."""
    mechanism = one.choose(other.mechanisms())
    one.verify(other.final(one.final(other.first(mechanism, one.first()))))
    return mechanism


def test_rfc_7677_as_client() -> None:
    one = client()
    assert one.choose([PLAIN]) == PLAIN
    assert one.first() == CLIENT_FIRST
    assert one.final(SERVER_FIRST) == CLIENT_FINAL
    one.verify(SERVER_FINAL)


def test_rfc_7677_as_server() -> None:
    other = server()
    assert other.first(PLAIN, CLIENT_FIRST) == SERVER_FIRST
    assert other.final(CLIENT_FINAL) == SERVER_FINAL


@given(st.text(min_size=1, max_size=12), st.binary(min_size=1, max_size=20))
@settings(max_examples=30)
def test_the_right_password_and_only_it(password: str, salt: bytes) -> None:
    verifier = scram.make_verifier(password, salt, iterations=2)
    assert converse(client(password), server(verifier)) == PLAIN
    with pytest.raises(ProtocolError) as caught:
        converse(client(password + "x"), server(verifier))
    assert caught.value.sqlstate == "28P01"


# --- channel binding --------------------------------------------------------------------------


def test_both_with_tls_bind_the_channel() -> None:
    assert converse(client(binding=BINDING), server(binding=BINDING)) == PLUS


def test_a_client_that_cannot_bind_may_go_on() -> None:
    assert converse(client(), server(binding=BINDING)) == PLAIN


def test_a_server_that_cannot_bind_may_go_on_unless_required() -> None:
    assert converse(client(binding=BINDING), server()) == PLAIN
    with pytest.raises(ProtocolError, match="required"):
        client(binding=BINDING).choose([PLAIN], require_binding=True)


def test_another_certificate_in_between_is_found() -> None:
    with pytest.raises(ProtocolError, match="channel binding does not match"):
        converse(client(binding=b"of the man in the middle"), server(binding=BINDING))


def test_an_offer_taken_away_is_found() -> None:
    """The man in the middle hides the -PLUS mechanism; the client says `y`, the server knows."""
    one = client(binding=BINDING)
    assert one.choose([PLAIN]) == PLAIN
    with pytest.raises(ProtocolError, match="did not reach the client"):
        server(binding=BINDING).first(PLAIN, one.first())


def test_the_flag_cannot_be_changed_on_the_way() -> None:
    one = client(binding=BINDING)
    one.choose([PLAIN])
    other = server(binding=BINDING)
    challenge = other.first(PLAIN, b"n" + one.first()[1:])
    with pytest.raises(ProtocolError, match="channel binding does not match"):
        other.final(one.final(challenge))


@pytest.mark.parametrize(
    ("mechanism", "message", "binding"),
    [
        pytest.param(PLUS, CLIENT_FIRST, BINDING, id="plus-without-binding"),
        pytest.param(PLUS, b"p=tls-unique,,n=,r=abc", BINDING, id="plus-other-binding"),
        pytest.param(PLAIN, b"p=tls-server-end-point,,n=,r=abc", BINDING, id="binding-in-plain"),
        pytest.param(PLUS, b"p=tls-server-end-point,,n=,r=abc", None, id="plus-not-offered"),
        pytest.param("SCRAM-SHA-1", CLIENT_FIRST, None, id="unknown-mechanism"),
        pytest.param(PLAIN, b"", None, id="empty"),
        pytest.param(PLAIN, b"n,,", None, id="no-fields"),
        pytest.param(PLAIN, b"x,,n=,r=abc", None, id="unknown-flag"),
        pytest.param(PLAIN, b"n,a=root,n=,r=abc", None, id="authzid"),
        pytest.param(PLAIN, b"n,,m=x,n=,r=abc", None, id="mandatory-extension"),
        pytest.param(PLAIN, b"n,,n=,r=", None, id="no-nonce"),
        pytest.param(PLAIN, b"n,,n=,r=a b", None, id="blank-in-nonce"),
        pytest.param(PLAIN, b"n,,n=a=b,r=abc", None, id="bad-escape"),
        pytest.param(PLAIN, b"n,,n=\xff,r=abc", None, id="not-utf-8"),
        pytest.param(PLAIN, b"n,,n=,r=abc\0", None, id="nul"),
    ],
)
def test_first_messages_refused(mechanism: str, message: bytes, binding: bytes | None) -> None:
    with pytest.raises(ProtocolError):
        server(binding=binding).first(mechanism, message)


def test_weak_hashes_of_certificates_are_replaced() -> None:
    for weak in ("md5", "sha1", "SHA-1", "sha256"):
        assert scram.channel_binding_data(b"der", weak) == hashlib.sha256(b"der").digest()
    assert scram.channel_binding_data(b"der", "sha512") == hashlib.sha512(b"der").digest()
    with pytest.raises(ProtocolError, match="no channel binding"):
        scram.channel_binding_data(b"der", "shake_128")
    with pytest.raises(ProtocolError, match="cannot be read"):
        scram.server_end_point(b"der")


# --- the last messages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m.replace(b"c=biws", b"c=eSws"), id="flag"),
        pytest.param(lambda m: m.replace(b"r=rO", b"r=rX"), id="nonce"),
        pytest.param(lambda m: m.replace(b"p=dH", b"p=dI"), id="proof"),
        pytest.param(lambda m: m[: m.rindex(b"p=")] + b"p=AAAA", id="short-proof"),
        pytest.param(lambda m: m[: m.rindex(b"p=")] + b"p=*", id="not-base64"),
        pytest.param(lambda m: m[: m.rindex(b",p=")], id="no-proof"),
        pytest.param(lambda m: m.replace(b",p=", b",x=y,p="), id="unsigned-extension"),
        pytest.param(lambda m: b"", id="empty"),
    ],
)
def test_final_messages_refused(change: Callable[[bytes], bytes]) -> None:
    other = server()
    other.first(PLAIN, CLIENT_FIRST)
    with pytest.raises(ProtocolError):
        other.final(change(CLIENT_FINAL))


def test_a_proof_for_another_nonce_is_refused() -> None:
    """A client that knows the password and leaves our part of the nonce out: a replay."""
    other = server()
    other.first(PLAIN, CLIENT_FIRST)
    keys = scram.derive_keys(scram.prepare_password(PASSWORD), SALT, 4096)
    final = b"c=biws,r=" + CLIENT_NONCE.encode()
    auth = b",".join([CLIENT_FIRST[3:], SERVER_FIRST, final])
    signature = hmac.digest(keys.stored_key, auth, "sha256")
    proof = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
    with pytest.raises(ProtocolError, match="nonce does not match"):
        other.final(final + b",p=" + base64.b64encode(proof))


def test_one_challenge_serves_one_attempt() -> None:
    other = server()
    other.first(PLAIN, CLIENT_FIRST)
    with pytest.raises(ProtocolError, match="password"):
        other.final(CLIENT_FINAL.replace(b"p=dH", b"p=dI"))
    with pytest.raises(ProtocolError, match="came first"):
        other.final(CLIENT_FINAL)


def test_messages_out_of_order_are_refused() -> None:
    with pytest.raises(ProtocolError):
        server().final(CLIENT_FINAL)
    with pytest.raises(ProtocolError):
        client().first()
    with pytest.raises(ProtocolError):
        client().final(SERVER_FIRST)
    with pytest.raises(ProtocolError):
        client().verify(SERVER_FINAL)
    other = server()
    other.first(PLAIN, CLIENT_FIRST)
    with pytest.raises(ProtocolError):
        other.first(PLAIN, CLIENT_FIRST)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(SERVER_FIRST.replace(b"rO", b"rX"), id="other-nonce"),
        pytest.param(SERVER_FIRST.replace(SERVER_NONCE.encode(), b""), id="nonce-not-extended"),
        pytest.param(SERVER_FIRST.replace(b"i=4096", b"i=0"), id="no-iterations"),
        pytest.param(SERVER_FIRST.replace(b"i=4096", b"i=10000001"), id="too-many-iterations"),
        pytest.param(SERVER_FIRST.replace(b"i=4096", b"i=-1"), id="negative-iterations"),
        pytest.param(SERVER_FIRST.replace(b"s=W22Z", b"s=W22"), id="bad-salt"),
        pytest.param(b"r=rOprNGfwEbeRWgbNEkqOx,s=,i=1", id="empty-salt"),
        pytest.param(b"m=x," + SERVER_FIRST, id="mandatory-extension"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_client_refuses_a_strange_server(message: bytes) -> None:
    one = client()
    one.choose([PLAIN])
    with pytest.raises(ProtocolError):
        one.final(message)


@pytest.mark.parametrize("message", [b"e=other-error", b"v=AAAA", b"", b"v=", SERVER_FINAL[:-8]])
def test_a_server_that_does_not_prove_itself_is_refused(message: bytes) -> None:
    one = client()
    one.choose([PLAIN])
    one.final(SERVER_FIRST)
    with pytest.raises(ProtocolError):
        one.verify(message)


@given(st.lists(st.sampled_from([b"r=", b"s=", b"i=", b"c=", b"p=", b"n", b",", b"=", b"a", b"1"])))
def test_accepted_or_protocol_error(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    one, other = client(), server()
    one.choose([PLAIN])
    challenged = server()
    challenged.first(PLAIN, CLIENT_FIRST)
    with pytest.raises(ProtocolError):
        one.final(message)
    with pytest.raises(ProtocolError):
        challenged.final(message)
    with suppress(ProtocolError):
        other.first(PLAIN, message)


# --- verifiers, mocks, cache ------------------------------------------------------------------


def test_verifier_round_trip_and_format() -> None:
    assert VERIFIER.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert scram.format_verifier(scram.parse_verifier(VERIFIER)) == VERIFIER


@pytest.mark.parametrize(
    "text",
    ["", "pencil", "md5" + "0" * 32, VERIFIER[:-4], VERIFIER.replace("4096", "x"), VERIFIER + "$"],
)
def test_what_is_no_verifier_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        scram.parse_verifier(text)
    assert not text or text not in caught.value.message


def test_an_unknown_user_looks_like_a_known_one() -> None:
    secret = b"of this installation"
    mock = scram.mock_verifier(secret, "nobody-here")
    assert mock == scram.mock_verifier(secret, "nobody-here")
    assert mock != scram.mock_verifier(secret, "somebody-else")
    assert mock != scram.mock_verifier(b"of another", "nobody-here")
    salt = b"0123456789abcdef"
    assert len(server(mock).first(PLAIN, CLIENT_FIRST)) == len(
        server(scram.make_verifier("pw", salt)).first(PLAIN, CLIENT_FIRST)
    )
    with pytest.raises(ProtocolError, match="password authentication failed") as caught:
        converse(client(), server(mock))
    assert caught.value.sqlstate == "28P01"


def test_cached_keys_are_used_and_bounded() -> None:
    cache = KeyCache(entries_max=2)
    prepared = scram.prepare_password(PASSWORD)
    converse(client(cache=cache), server())
    keys = cache.get(prepared, SALT, 4096)
    assert keys == scram.derive_keys(prepared, SALT, 4096)
    converse(client(cache=cache), server())  # from the cache: same result
    for number in range(2):
        converse(client(cache=cache), server(scram.make_verifier(PASSWORD, bytes([number]), 1)))
    assert cache.get(prepared, SALT, 4096) is None
    assert cache.get(prepared, bytes([1]), 1) is not None


def test_a_false_server_fills_no_cache() -> None:
    cache = KeyCache(entries_max=2)
    with pytest.raises(ProtocolError):
        converse(client("wrong", cache=cache), server())
    assert cache.get(b"wrong", SALT, 4096) is None


# --- SASLprep ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013: soft hyphen maps to nothing
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0031", "\u0627\u0031"),  # RFC 4013: bad bidi is an error; taken as it is
        ("a\u0007", "a\u0007"),  # ASCII is never touched
        ("é\u0007", "é\u0007"),  # forbidden: taken as it is, not normalised either
        ("e\u0301\u0007", "e\u0301\u0007"),
        ("e\u0301", "é"),
        ("\u00ad", "\u00ad"),  # would be empty
    ],
)
def test_saslprep(password: str, prepared: str) -> None:
    assert scram.prepare_password(password) == prepared.encode()


def test_passwords_that_are_not_utf8_are_taken_as_they_are() -> None:
    raw = b"p\xe4ss\xff"
    assert scram.prepare_password(raw.decode("utf-8", "surrogateescape")) == raw


@given(st.text(alphabet=st.characters(), max_size=10))
def test_prepare_accepted_or_protocol_error(password: str) -> None:
    with suppress(ProtocolError):
        assert isinstance(scram.prepare_password(password), bytes)


def test_md5_response_of_a_known_case() -> None:
    """Worked out with md5sum: md5(hex of md5("secret" + "ada"), then the salt)."""
    assert scram.md5_response("ada", "secret", b"\1\2\3\4") == (
        b"md5164dbcd37c01a78e869e72965960a754"
    )
