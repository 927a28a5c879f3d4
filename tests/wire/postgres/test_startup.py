"""The first packet: what is read, what is refused, and which settings get through."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.wire.postgres import messages, settings, startup
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.startup import Startup, parse_first_packet, parse_options

V30 = b"\0\3\0\0"


def sent(**parameters: str) -> Startup:
    return Startup(3, 0, {"user": "ada", **parameters}, ())


def checked(**parameters: str) -> dict[str, str]:
    return startup.check_parameters(sent(**parameters)).upstream


# --- the packet -------------------------------------------------------------------------------


def test_startup_round_trip() -> None:
    parameters = {"user": "ada", "database": "shop/write", "application_name": "Käse"}
    packet = startup.startup_message(parameters, minor=2)
    assert int.from_bytes(packet[:4], "big") == len(packet)
    assert parse_first_packet(packet[4:]) == Startup(3, 2, parameters, ())


def test_requests_without_parameters() -> None:
    assert startup.ssl_request() == b"\0\0\0\x08\x04\xd2\x16\x2f"
    assert parse_first_packet(b"\x04\xd2\x16\x2f") == startup.SslRequest()
    assert isinstance(parse_first_packet(b"\x04\xd2\x16\x30"), startup.GssEncRequest)


@pytest.mark.parametrize("length", [4, 32, 256])
def test_cancel_request_round_trip(length: int) -> None:
    packet = startup.cancel_request(-5, bytes(length))
    assert parse_first_packet(packet[4:]) == startup.CancelRequest(-5, bytes(length))


def test_protocol_extensions_are_set_apart() -> None:
    first = parse_first_packet(V30 + b"user\0ada\0_pq_.sprockets\0on\0\0")
    assert first == Startup(3, 0, {"user": "ada"}, (("_pq_.sprockets", "on"),))


def test_a_newer_minor_version_is_negotiated_down() -> None:
    first = parse_first_packet(b"\0\3\x27\x0f" + b"user\0ada\0\0")
    assert isinstance(first, Startup)
    assert startup.negotiated_minor(first.minor) == 2
    answer = startup.negotiate_protocol_version(2, ["_pq_.sprockets"])
    assert answer == b"v\0\0\0\x1b\0\3\0\2\0\0\0\x01_pq_.sprockets\0"
    assert messages.parse_negotiate_protocol_version(answer[5:]) == (3, 2, ("_pq_.sprockets",))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\2\0\0user\0ada\0\0", id="version-2"),
        pytest.param(b"\0\4\0\0user\0ada\0\0", id="version-4"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(V30, id="no-parameters"),
        pytest.param(V30 + b"user\0ada\0", id="no-terminator"),
        pytest.param(V30 + b"user\0\0", id="no-value"),
        pytest.param(V30 + b"user\0ada\0\0x", id="after-terminator"),
        pytest.param(V30 + b"user\0ada\0user\0root\0\0", id="user-twice"),
        pytest.param(V30 + b"user\0ada\0USER\0root\0\0", id="user-twice-in-capitals"),
        pytest.param(V30 + b"user\0\xff\0\0", id="not-utf-8"),
        pytest.param(b"\x04\xd2\x16\x2fx", id="ssl-trailing"),
        pytest.param(b"\x04\xd2\x16\x2e\0\0\0\x01", id="cancel-without-key"),
        pytest.param(b"\x04\xd2\x16\x2e\0\0\0\x01" + bytes(257), id="cancel-key-of-257"),
    ],
)
def test_refused_packets(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_first_packet(payload)


parts = st.sampled_from(
    [V30, b"\x04\xd2\x16\x2e", b"user\0", b"\0", b"ada\0", b"_pq_.x\0", b"\xff"]
)


@given(st.binary(max_size=60) | st.lists(parts, max_size=10).map(b"".join))
def test_packet_accepted_or_protocol_error(payload: bytes) -> None:
    with suppress(ProtocolError):
        first = parse_first_packet(payload)
        if isinstance(first, Startup):
            startup.check_parameters(first)


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", []),
        ("  \t ", []),
        ("-c geqo=off", [("geqo", "off")]),
        ("-cgeqo=off --jit=on", [("geqo", "off"), ("jit", "on")]),
        ("--statement-timeout=5s", [("statement_timeout", "5s")]),
        ("-c statement-timeout=5s", [("statement_timeout", "5s")]),
        (r"-c application_name=a\ b\\c", [("application_name", r"a b\c")]),
        ("-c application_name=a=b", [("application_name", "a=b")]),
        ("-c geqo=", [("geqo", "")]),
        ("-c\\ geqo=off", [(" geqo", "off")]),
        ("-c geqo=off\\", [("geqo", "off")]),
        ("\\-c geqo=off", [("geqo", "off")]),
    ],
)
def test_options_are_split_as_the_server_does(
    options: str, expected: list[tuple[str, str]]
) -> None:
    assert parse_options(options) == expected


@pytest.mark.parametrize(
    "options", ["-d 5", "-fs", "-S 1GB", "-P", "-e", "--", "-", "geqo=off", "-c", "-c geqo", "--=x"]
)
def test_other_switches_are_refused(options: str) -> None:
    with pytest.raises(ProtocolError, match="options"):
        parse_options(options)


@given(st.text(alphabet="-c=\\ \tab_\x0b", max_size=30) | st.text(max_size=20))
def test_options_accepted_or_protocol_error(options: str) -> None:
    with suppress(ProtocolError):
        startup.check_parameters(sent(options=options))


def test_options_hide_nothing() -> None:
    """However a forbidden setting is written, the table sees it under its real name."""
    for options in (
        "-c role=postgres",
        "-crole=postgres",
        "--role=postgres",
        "--ROLE=postgres",
        "-c\trole=postgres",
        r"-c r\ole=postgres",
        "-c geqo=off\v-c role=postgres",
        "--session-authorization=postgres",
        "-c default-transaction-read-only=off",
    ):
        with pytest.raises(ProtocolError, match="not allowed at the start"):
            startup.check_parameters(sent(options=options))


# --- settings ---------------------------------------------------------------------------------


def test_what_drivers_send_gets_through() -> None:
    """The start of JDBC, asyncpg, psql with PG* variables, node-postgres."""
    assert checked(
        client_encoding="'utf-8'",
        DateStyle="ISO",
        TimeZone="Europe/Berlin",
        extra_float_digits="2",
        application_name="PostgreSQL JDBC Driver",
        jit="off",
        geqo="FALSE",
        statement_timeout="1500",
        options="-c lock_timeout=2s",
    ) == {
        "lock_timeout": "2000",
        "client_encoding": "UTF8",
        "DateStyle": "ISO",
        "TimeZone": "Europe/Berlin",
        "extra_float_digits": "2",
        "application_name": "PostgreSQL JDBC Driver",
        "jit": "off",
        "geqo": "off",
        "statement_timeout": "1500",
    }


def test_user_and_database_are_kept_for_the_gate() -> None:
    result = startup.check_parameters(sent(database="shop/write"))
    assert (result.user, result.database, result.upstream) == ("ada", "shop/write", {})
    assert startup.check_parameters(sent()).database == ""
    with pytest.raises(ProtocolError, match="no user name") as caught:
        startup.check_parameters(Startup(3, 0, {"database": "shop"}, ()))
    assert caught.value.sqlstate == "28000"


def test_the_packet_overrides_its_options_in_any_spelling() -> None:
    assert checked(options="-c TIMEZONE=UTC", TimeZone="Asia/Tokyo") == {"TimeZone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    "name",
    [
        "role",
        "Session_Authorization",
        "is_superuser",
        "search_path",
        "default_transaction_read_only",
        "transaction_read_only",
        "default_transaction_isolation",
        "row_security",
        "session_replication_role",
        "session_preload_libraries",
        "local_preload_libraries",
        "replication",
        "work_mem",
        "lc_messages",
        "log_statement",
        "USER",
        "shop.tenant",
        "loc\u212a_timeout",  # KELVIN SIGN, whose lower case is k
        "jıt",
        "",
        "no_such_setting",
    ],
)
def test_what_changes_rights_or_is_unknown_is_refused_by_name(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        settings.check(name, "on")
    assert f"`{name}`" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_encoding", "LATIN1"),
        ("client_encoding", "SJIS"),
        ("client_encoding", ""),
        ("standard_conforming_strings", "off"),
        ("standard_conforming_strings", "0"),
        ("statement_timeout", "0"),
        ("statement_timeout", "0s"),
        ("statement_timeout", "499us"),
        ("statement_timeout", "-1"),
        ("lock_timeout", "1e3"),
        ("lock_timeout", "99999d"),
        ("geqo", "maybe"),
        ("geqo", "o"),
        ("extra_float_digits", "4"),
        ("client_min_messages", "fatal"),
        ("intervalstyle", "roman"),
        ("application_name", "a\nb"),
        ("application_name", "a" * 1_001),
    ],
)
def test_refused_values(name: str, value: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        settings.check(name, value)
    assert name in caught.value.message
    assert caught.value.sqlstate == "22023"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("client_encoding", "UTF-8", "UTF8"),
        ("client_encoding", "Unicode", "UTF8"),
        ("client_encoding", "sql_ascii", "SQL_ASCII"),
        ("standard_conforming_strings", "yes", "on"),
        ("statement_timeout", " 1min ", "60000"),
        ("statement_timeout", "1500us", "1"),
        ("extra_float_digits", "-15", "-15"),
        ("client_min_messages", "WARNING", "warning"),
    ],
)
def test_values_are_normalised(name: str, value: str, expected: str) -> None:
    assert settings.check(name, value).value == expected


@given(st.sampled_from(sorted(settings.ALLOWED)) | st.text(max_size=20), st.text(max_size=30))
def test_settings_accepted_or_protocol_error(name: str, value: str) -> None:
    with suppress(ProtocolError):
        setting = settings.check(name, value)
        assert setting.name.lower() in settings.ALLOWED
        assert "\0" not in setting.value
