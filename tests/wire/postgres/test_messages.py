"""Messages after the first packet: what we build is what we read, and nothing else is accepted."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.errors import ProtocolError, error_response, notice_response
from holdpoint.wire.postgres.frames import FrameReader
from holdpoint.wire.postgres.messages import PORTAL, STATEMENT

HEADER = frames.HEADER_BYTES

texts = st.binary(max_size=40).filter(lambda data: b"\x00" not in data)
formats = st.lists(st.integers(0, 1), max_size=1)


@given(texts)
def test_query_round_trip(text: bytes) -> None:
    assert messages.parse_query(messages.query(text)[HEADER:]) == text


@given(texts, texts, st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_parse_round_trip(name: bytes, text: bytes, oids: list[int]) -> None:
    payload = messages.parse(name, text, oids)[HEADER:]
    assert messages.parse_parse(payload) == (name, text, tuple(oids))


@given(texts, texts, st.lists(st.none() | st.binary(max_size=20), max_size=5), formats, formats)
def test_bind_round_trip(
    portal: bytes,
    statement: bytes,
    values: list[bytes | None],
    value_formats: list[int],
    result_formats: list[int],
) -> None:
    payload = messages.bind(portal, statement, values, value_formats, result_formats)[HEADER:]
    assert messages.parse_bind(payload) == messages.Bind(
        portal, statement, tuple(value_formats), tuple(values), tuple(result_formats)
    )


@given(texts, st.sampled_from([STATEMENT, PORTAL]))
def test_describe_and_close_round_trip(name: bytes, kind: int) -> None:
    assert messages.parse_describe(messages.describe(kind, name)[HEADER:]) == (kind, name)
    assert messages.parse_close(messages.close(kind, name)[HEADER:]) == (kind, name)


@given(texts, st.integers(-(2**31), 2**31 - 1))
def test_execute_round_trip(portal: bytes, rows_max: int) -> None:
    assert messages.parse_execute(messages.execute(portal, rows_max)[HEADER:]) == (portal, rows_max)


def test_bytes_of_known_messages() -> None:
    """Against bytes written down by hand from the manual, so that both sides cannot be wrong."""
    assert messages.query(b"SELECT 1") == b"Q\0\0\0\x0dSELECT 1\0"
    assert messages.parse(b"s", b"SELECT $1", [23]) == (
        b"P\0\0\0\x16s\0SELECT $1\0\0\x01\0\0\0\x17"
    )
    assert messages.bind(b"", b"s", [b"7", None], [], [1]) == (
        b"B\0\0\0\x18\0s\0\0\0\0\x02\0\0\0\x017\xff\xff\xff\xff\0\x01\0\x01"
    )
    assert messages.execute(b"", 5) == b"E\0\0\0\x09\0\0\0\0\x05"
    assert messages.SYNC == b"S\0\0\0\x04"
    assert messages.authentication_sasl(["SCRAM-SHA-256"]) == (
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
    )
    assert messages.ready_for_query() == b"Z\0\0\0\x05I"


@pytest.mark.parametrize(
    ("read", "payload"),
    [
        pytest.param(messages.parse_query, b"", id="query-without-end"),
        pytest.param(messages.parse_query, b"SELECT 1", id="query-without-nul"),
        pytest.param(messages.parse_query, b"SELECT 1\0DROP TABLE t\0", id="query-after-nul"),
        pytest.param(messages.parse_parse, b"s\0SELECT 1\0", id="parse-without-count"),
        pytest.param(messages.parse_parse, b"s\0q\0\0\x02\0\0\0\x17", id="parse-oid-missing"),
        pytest.param(messages.parse_parse, b"s\0q\0\0\0x", id="parse-trailing"),
        pytest.param(messages.parse_bind, b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", id="bind-minus-2"),
        pytest.param(messages.parse_bind, b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0", id="bind-2-GiB"),
        pytest.param(messages.parse_bind, b"\0\0\0\0\0\0\0\0\0", id="bind-trailing"),
        pytest.param(messages.parse_bind, b"\0\0\0\x01\0\x02\0\0\0\0", id="bind-format-2"),
        pytest.param(
            messages.parse_bind, b"\0\0\0\x02\0\0\0\0\0\0\0\0", id="bind-two-formats-no-value"
        ),
        pytest.param(messages.parse_describe, b"Xname\0", id="describe-neither"),
        pytest.param(messages.parse_describe, b"", id="describe-empty"),
        pytest.param(messages.parse_close, b"Sname", id="close-without-nul"),
        pytest.param(messages.parse_execute, b"p\0\0\0\0", id="execute-short"),
        pytest.param(messages.parse_password, b"a\0b\0", id="password-after-nul"),
        pytest.param(messages.parse_sasl_initial, b"M\0\0\0\0\x05abc", id="sasl-short"),
        pytest.param(messages.parse_sasl_initial, b"\xff\0\xff\xff\xff\xff", id="sasl-not-ascii"),
        pytest.param(messages.parse_backend_key_data, b"\0\0\0\x01abc", id="key-of-3"),
        pytest.param(messages.parse_backend_key_data, bytes(4 + 257), id="key-of-257"),
        pytest.param(messages.parse_ready_for_query, b"X", id="ready-unknown"),
        pytest.param(messages.parse_ready_for_query, b"II", id="ready-trailing"),
        pytest.param(messages.parse_authentication, b"\0\0\0\0x", id="ok-trailing"),
        pytest.param(messages.parse_authentication, b"\0\0\0\x05abc", id="md5-salt-of-3"),
        pytest.param(messages.parse_authentication, b"\0\0\0\x0aSCRAM\0", id="sasl-without-end"),
        pytest.param(messages.parse_fields, b"Mtext\0", id="fields-without-end"),
    ],
)
def test_refused(read: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(payload)
    assert caught.value.sqlstate == "08P01"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (b"INSERT 0 5", ("INSERT", 5)),
        (b"UPDATE 0", ("UPDATE", 0)),
        (b"SELECT 18446744073709551615", ("SELECT", 2**64 - 1)),
        (b"CREATE TABLE", ("CREATE TABLE", -1)),
        (b"BEGIN", ("BEGIN", -1)),
        (b"REFRESH MATERIALIZED VIEW", ("REFRESH MATERIALIZED VIEW", -1)),
        (b"", ("", -1)),
        (b"7", ("7", -1)),
        (b"SELECT " + b"9" * 5000, ("SELECT " + "9" * 5000, -1)),
    ],
)
def test_command_tags(tag: bytes, expected: tuple[str, int]) -> None:
    assert messages.parse_command_complete(tag + b"\0") == expected


def test_backend_messages_round_trip() -> None:
    key = bytes(range(32))
    assert messages.parse_backend_key_data(messages.backend_key_data(-7, key)[HEADER:]) == (-7, key)
    status = messages.parameter_status("TimeZone", "Europe/Zürich")[HEADER:]
    assert messages.parse_parameter_status(status) == ("TimeZone", "Europe/Zürich")
    offer = messages.authentication_sasl(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])[HEADER:]
    assert messages.parse_authentication(offer).mechanisms == (
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
    )
    challenge = messages.authentication_sasl_continue(b"r=x")[HEADER:]
    assert messages.parse_authentication(challenge) == (messages.AUTH_SASL_CONTINUE, b"r=x", ())


def test_error_response_carries_its_fields() -> None:
    data = error_response("ERROR", "42501", "no", "rule `r`", "ask", 7)
    assert data[0] == frames.ERROR_RESPONSE
    assert messages.parse_fields(data[HEADER:]) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "no",
        "D": "rule `r`",
        "H": "ask",
        "P": "7",
    }
    assert messages.fields_response(frames.ERROR_RESPONSE, messages.parse_fields(data[5:])) == data


@given(st.text(), st.text(), st.text(), st.text())
def test_error_response_never_breaks_its_frame(
    sqlstate: str, message: str, detail: str, hint: str
) -> None:
    reader = FrameReader(30_000)
    reader.feed(error_response("ERROR", sqlstate, message, detail, hint))
    reader.feed(notice_response("NOTICE", sqlstate, message, detail, hint))
    for _ in range(2):
        frame = reader.next_frame()
        assert frame is not None
        fields = messages.parse_fields(frame.payload)
        assert set(fields) <= set("SVCMDHP")
        assert len(fields["C"]) == 5
    assert reader.buffered() == 0


def test_a_text_cannot_start_a_field_of_its_own() -> None:
    fields = messages.parse_fields(error_response("ERROR", "42501", "no\0C00000\0")[HEADER:])
    assert fields["C"] == "42501"
    assert fields["M"] == "no�C00000�"


def test_long_texts_fit_a_client_that_is_still_connecting() -> None:
    data = error_response("FATAL", "28000", "ä" * 50_000, "x" * 50_000, "y" * 50_000)
    assert len(data) < 30_000
    assert messages.parse_fields(data[HEADER:])["M"].endswith("ä…")


def test_builders_refuse_a_nul_that_would_end_the_field_early() -> None:
    with pytest.raises(ProtocolError):
        messages.query(b"SELECT 1\0")
    with pytest.raises(ProtocolError):
        messages.parse(b"s\0", b"SELECT 1")


PARSERS = [
    messages.parse_authentication,
    messages.parse_backend_key_data,
    messages.parse_bind,
    messages.parse_close,
    messages.parse_command_complete,
    messages.parse_describe,
    messages.parse_execute,
    messages.parse_fields,
    messages.parse_negotiate_protocol_version,
    messages.parse_parameter_status,
    messages.parse_parse,
    messages.parse_password,
    messages.parse_query,
    messages.parse_ready_for_query,
    messages.parse_sasl_initial,
]


def test_every_parser_is_fuzzed() -> None:
    public = {name for name in dir(messages) if name.startswith("parse_")}
    assert public == {read.__name__ for read in PARSERS}


@pytest.mark.parametrize("read", PARSERS, ids=lambda read: read.__name__)
def test_accepted_or_protocol_error(read: Callable[[bytes], object]) -> None:
    """Garbage, and garbage made of the pieces that real messages are made of."""
    pieces = st.sampled_from(
        [b"\0", b"\0\0\0\x0a", b"\0\0\0\x05", b"\0\x01", b"\xff\xff\xff\xff", b"S", b"P", b"name\0"]
    )

    @given(st.binary(max_size=60) | st.lists(pieces, max_size=12).map(b"".join))
    def accepted_or_protocol_error(payload: bytes) -> None:
        with suppress(ProtocolError):
            read(payload)

    accepted_or_protocol_error()
