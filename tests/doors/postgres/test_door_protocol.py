"""The protocol through the gate, as transcripts, and what clients must not be able to do to it."""

from __future__ import annotations

import socket
import struct

import psycopg
import pytest
from door_support import AGENTS, SECRET, Gate, eventually, read_texts, statements
from wire_client import DEADLINE_S, PORTAL, B, C, D, E, H, P, Q, RefusedError, S, Wire, run

from holdpoint.model import limits
from holdpoint.wire.postgres import frames, messages, startup
from holdpoint.wire.postgres.frames import frame
from support.proxy import TcpProxy

# --- the ordinary flows ---------------------------------------------------------------------------


def test_simple_queries(gate: Gate) -> None:
    with gate.raw() as wire:
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        assert wire.query("") == "I ZI"
        assert wire.query("-- nothing") == "I ZI"
        assert wire.query("SELECT 1; SELECT 2") == "T D:1 C:SELECT 1 T D:2 C:SELECT 1 ZI"
        assert wire.query("SELECT 1; SELECT nothing") == "T D:1 C:SELECT 1 E:42703 ZI"
        assert wire.query("SELECT 1 FROMM x y") == "E:42601 ZI"
        assert wire.query("BEGIN; SELECT 1/0") == "C:BEGIN E:22012 ZE"
        assert wire.query("SELECT 1") == "E:25P02 ZE"
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"


def test_extended_queries_with_names(gate: Gate) -> None:
    with gate.raw() as wire:
        assert wire.ask(P("SELECT $1::int AS n", "a"), D("a"), S) == "1 t T ZI"
        assert wire.ask(B("a", "1"), D("", PORTAL), E(), S) == "2 T D:1 C:SELECT 1 ZI"
        assert wire.ask(B("a", "2", portal="p"), E("p"), S) == "2 D:2 C:SELECT 1 ZI"
        assert wire.ask(E("p"), S) == "E:34000 ZI"
        assert wire.ask(C("a"), S) == "3 ZI"
        assert wire.ask(B("a", "3"), E(), S) == "E:26000 ZI"
        assert wire.ask(P("INSERT INTO markers VALUES ('x')"), D(), S) == "1 t n ZI"
        assert wire.ask(P(""), B(), E(), S) == "1 2 I ZI"


def test_a_portal_is_fetched_in_pieces(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.query("BEGIN")
        assert wire.ask(P("SELECT generate_series(1, 5)"), B(portal="p"), E("p", 2), S) == (
            "1 2 D:1 D:2 s ZT"
        )
        assert wire.ask(E("p", 2), H, E("p", 2), S) == "D:3 D:4 s D:5 C:SELECT 1 ZT"
        assert wire.query("COMMIT") == "C:COMMIT ZI"


def test_a_writing_portal_in_pieces_ends_once_in_the_trail(gate: Gate) -> None:
    text = "INSERT INTO markers SELECT 'm' FROM generate_series(1, 3) RETURNING name"
    since = gate.length()
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        assert wire.ask(P(text), B(portal="p"), E("p", 2), S) == "1 2 D:m D:m s ZT"
        assert wire.ask(E("p"), S) == "D:m C:INSERT 0 1 ZT"
        assert wire.query("COMMIT") == "C:COMMIT ZI"
    gate.quiet()
    end = gate.outcome_of(text, since)
    assert (end["ran"], end["tag"], end["rows"], end["sqlstate"]) == (True, "INSERT 0 1", -1, "")


def test_a_pipeline_over_several_syncs(gate: Gate) -> None:
    with gate.raw("write") as wire:
        answer = wire.ask(
            run("SELECT 1"),
            S,
            run("INSERT INTO markers VALUES ('a')"),
            run("SELECT count(*) FROM markers"),
            S,
            run("SELECT 1/0"),
            run("SELECT 2"),
            S,
            run("SELECT 3"),
            S,
            ready=4,
        )
        assert answer == (
            "1 2 D:1 C:SELECT 1 ZI "
            "1 2 C:INSERT 0 1 1 2 D:1 C:SELECT 1 ZI "
            "1 E:22012 ZI "
            "1 2 D:3 C:SELECT 1 ZI"
        )


def test_a_refusal_in_a_pipeline_undoes_the_implicit_transaction(
    gate: Gate, direct: psycopg.Connection
) -> None:
    with gate.raw("write") as wire:
        answer = wire.ask(
            run("INSERT INTO markers VALUES ('before')"),
            run("DROP TABLE orders"),
            run("INSERT INTO markers VALUES ('skipped')"),
            S,
            run("INSERT INTO markers VALUES ('after')"),
            S,
            ready=2,
        )
        assert answer == "1 2 C:INSERT 0 1 1 E:42501 ZI 1 2 C:INSERT 0 1 ZI"
        assert "DROP TABLE" in wire.errors[0]["M"]
    assert direct.execute("SELECT name FROM markers").fetchall() == [("after",)]


def test_a_refusal_in_a_transaction_fails_it_as_any_error(gate: Gate) -> None:
    with gate.raw("write") as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query("DROP TABLE orders") == "E:42501 ZE"
        assert wire.query("SELECT 1") == "E:25P02 ZE"
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"


def test_refusals_name_what_to_do(gate: Gate) -> None:
    with gate.raw() as wire:
        assert wire.query("DELETE FROM orders") == "E:42501 ZI"
        error = wire.errors[-1]
        assert error["S"] == error["V"] == "ERROR"
        assert "DELETE" in error["M"]
        assert "write" in error["H"]
        assert wire.query("SELECT 1 FROMM orders o p") == "E:42601 ZI"
        assert wire.errors[-1]["P"] == "16"


# --- the same bytes as without the gate -----------------------------------------------------------

SAME = [
    Q("SELECT 1 AS a, 'x'::text AS b, NULL::int, now() IS NOT NULL"),
    Q("SELECT * FROM orders ORDER BY id LIMIT 3; SELECT 2"),
    Q("SELECT nothing"),
    Q("SHOW server_version"),
    Q("EXPLAIN (COSTS off) SELECT * FROM orders WHERE id = 1"),
    Q("BEGIN") + Q("SELECT 1") + Q("COMMIT"),
    Q("COPY (SELECT * FROM orders ORDER BY id LIMIT 5) TO STDOUT"),
    Q("SET application_name = 'same'"),
    Q("ROLLBACK"),
    P("SELECT $1::bytea", "s", 17) + D("s") + S,
    B("s", "\\x0001ff") + D("", PORTAL) + E() + S,
    messages.bind(b"", b"s", [b"\x00\xff"], [1], [1]) + E() + S,
    B("s") + S,
    C("s") + C("none") + S,
    P("SELECT generate_series(1, 9)") + B() + E("", 4) + E() + S,
    P("SELECT 'ä€😀'") + B() + E() + S,
    D("none") + S,
    H + S,
]


def test_bytes_pass_unchanged(gate: Gate, direct: psycopg.Connection) -> None:
    def conversation(wire: Wire) -> list[bytes]:
        found = []
        for data in SAME:
            wire.received.clear()
            wire.send(data)
            wire.words(data.count(S) if data.endswith(S) else data.count(b"Q\0\0"))
            found.append(bytes(wire.received))
        return found

    info = direct.info
    with (
        Wire.connect(info.port, info.user, info.password, info.dbname) as straight,
        gate.raw() as through,
    ):
        greeting = {k: v for k, v in straight.parameters.items() if k != "session_authorization"}
        # The tier is read-only, and a client may see that.
        changed = {"default_transaction_read_only": "on"}
        assert {k: v for k, v in through.parameters.items() if k in greeting} == greeting | changed
        for data, wanted, got in zip(
            SAME, conversation(straight), conversation(through), strict=True
        ):
            assert got == wanted, data


def test_notices_parameters_and_notifications_pass(gate: Gate, direct: psycopg.Connection) -> None:
    with gate.raw() as wire:
        assert wire.query("LISTEN news") == "C:LISTEN ZI"
        direct.execute("NOTIFY news, 'hello'")
        assert wire.until("A") == ["A"]
        assert wire.query("ROLLBACK") == "N:25P01 C:ROLLBACK ZI"
        wire.send(Q("SET TimeZone = 'Asia/Tokyo'"))
        assert wire.until("Z") == ["C:SET", "S", "ZI"]
        assert wire.query("SHOW timezone") == "T D:Asia/Tokyo C:SHOW ZI"


# --- refused frames, broken frames ----------------------------------------------------------------


def test_function_calls_and_unknown_frames_are_refused_and_the_session_goes_on(gate: Gate) -> None:
    call = frame(0x46, struct.pack("!IHHIH", 1598, 0, 0, 0, 0))
    with gate.raw("owner") as wire:
        assert wire.ask(call) == "E:0A000 ZI"
        assert "FunctionCall" in wire.errors[-1]["M"]
        assert wire.ask(frame(0x21, b"??")) == "E:0A000 ZI"
        assert wire.ask(frame(0x70, b"password\0")) == "E:0A000 ZI"
        answer = wire.ask(P("SELECT 1", "s"), call, B("s"), E(), S, ready=2)
        assert answer == "1 E:0A000 ZI 2 D:1 C:SELECT 1 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


@pytest.mark.parametrize(
    "data",
    [
        b"Q\0\0\0\0",
        b"Q\0\0\0\3",
        b"Q\x7f\xff\xff\xff",
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\4",
        frame(0x51, b"SELECT 1"),
        frame(0x51, b"SELECT 1\0; SELECT 2\0"),
        frame(0x50, b"name without an end"),
        frame(0x42, b""),
        frame(0x42, b"\0"),
        frame(0x45, b"\0"),
        frame(0x45, b"\0\0\0\0\0\0"),
        b"\0" * 64,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_broken_frames_end_this_session_with_words(gate: Gate, data: bytes) -> None:
    with gate.raw() as other, gate.raw() as wire:
        wire.send(data)
        assert "E:08P01" in wire.rest()
        assert wire.errors[-1]["V"] == "FATAL"
        assert other.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_broken_bind_values_end_the_session(gate: Gate) -> None:
    with gate.raw("write") as wire:
        wire.send(P("UPDATE orders SET status = $1 WHERE id = 1"), S)
        wire.words()
        wire.send(frame(0x42, b"\0\0" + b"\0\0" + b"\0\1" + b"\x7f\xff\xff\xff" + b"\0\0"), E(), S)
        assert "E:08P01" in wire.rest()


def test_half_a_message_waits_and_then_nothing_of_it_runs(
    gate: Gate, direct: psycopg.Connection
) -> None:
    whole = Q("INSERT INTO markers VALUES ('half')")
    with gate.raw("write") as wire:
        wire.send(whole[:-5])
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.rest() == ""
    gate.quiet()
    assert direct.execute("SELECT count(*) FROM markers").fetchone() == (0,)


def test_one_byte_at_a_time(gate: Gate) -> None:
    with TcpProxy(gate.port) as proxy:
        proxy.piece = 1
        with Wire.connect(proxy.port, AGENTS[0], SECRET, "shop/write") as wire:
            assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
            assert wire.ask(run("SELECT $1::int", "5"), S) == "1 2 D:5 C:SELECT 1 ZI"
            assert wire.query("INSERT INTO markers VALUES ('slow')") == "C:INSERT 0 1 ZI"
            assert wire.query("DROP TABLE orders") == "E:42501 ZI"


def test_invalid_utf8_is_judged_as_unreadable(gate: Gate) -> None:
    with gate.waiting(0.05), gate.raw() as wire:
        assert wire.ask(frame(0x51, b"SELECT '\xff'\0")) == "N:HP001 E:HP001 ZI"
        assert wire.ask(frame(0x50, b"\0SELECT '\xff'\0\0\0"), S) in ("E:22021 ZI", "1 ZI")
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_a_message_of_70_mib_is_refused_and_the_session_goes_on(gate: Gate) -> None:
    size = 70 * 1024 * 1024
    with gate.raw() as wire:
        wire.send(Q("SELECT '" + "x" * size + "'"))
        assert wire.words() == ["E:54000", "ZI"]
        wire.send(P("SELECT '" + "x" * size + "'"), B(), E(), S)
        assert wire.words() == ["E:54000", "ZI"]
        wire.send(D("none"), Q("SELECT '" + "x" * size + "'"), S)
        assert wire.words() == ["E:26000", "ZI"]
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_deep_nesting_is_refused_or_held_and_nobody_dies(gate: Gate) -> None:
    deep = 50_000
    with gate.waiting(0.05), gate.raw() as other, gate.raw() as wire:
        for text in (
            "SELECT " + "(" * deep + "1" + ")" * deep,
            "SELECT " + "-" * 2 + "\n" + "1" + "+1" * deep,
            "SELECT " + "NOT " * deep + "true",
            "(" * deep,
        ):
            answer = wire.query(text)
            assert "D:" not in answer
            assert answer.endswith("ZI")
            assert other.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_a_long_error_message_does_not_stall_the_others(gate: Gate) -> None:
    with gate.raw() as wire:
        answer = wire.query("SELECT ('x' || repeat('y', 40000000))::int")
        assert answer == "E:22P02 ZI"
        assert len(wire.errors[-1]["M"]) > 40_000_000


def test_a_read_with_large_parameters_is_recorded_as_a_statement(gate: Gate) -> None:
    since = gate.length()
    with gate.raw() as wire:
        value = "v" * (2 * limits.READ_BYTES_MAX)
        assert wire.ask(run("SELECT length($1)", value), S) == f"1 2 D:{len(value)} C:SELECT 1 ZI"
        text = f"SELECT length('{value}')"
        assert wire.query(text) == f"T D:{len(value)} C:SELECT 1 ZI"
    gate.quiet()
    assert [kind for kind, _ in statements(gate.trail(since))] == ["started", "finished"] * 2


# --- before the session ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        b"\0\0\0\7\0\0\0",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        struct.pack("!II", 8, 2 << 16),
        struct.pack("!II", 19, 3 << 16) + b"user\0nobody",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_garbage_instead_of_a_startup_packet(gate: Gate, data: bytes) -> None:
    with Wire.open(gate.port) as wire:
        wire.send(data)
        assert wire.rest() in ("E:08P01", "E:0A000")


def test_garbage_after_the_startup_packet(gate: Gate) -> None:
    with Wire.open(gate.port) as wire:
        wire.send(startup.startup_message({"user": "claude", "database": "shop"}))
        assert wire.word() == "R"
        wire.send(Q("SELECT 1"))
        assert wire.rest() == "E:08P01"


def test_a_slow_startup_is_ended(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STARTUP_TIMEOUT_S", 0.2)
    with Wire.open(gate.port) as silent, Wire.open(gate.port) as slow, Wire.open(gate.port) as half:
        slow.send(b"\0\0")
        half.send(startup.startup_message({"user": "claude", "database": "shop"}))
        assert silent.rest() == "E:08006"
        assert slow.rest() == "E:08006"
        assert half.rest() == "R E:08006"


def test_replication_and_other_databases_are_refused(gate: Gate) -> None:
    for more, sqlstate in (
        ({"replication": "database"}, "0A000"),
        ({"replication": "true"}, "0A000"),
    ):
        with pytest.raises(RefusedError) as refused, gate.raw(**more):
            pass
        assert refused.value.fields["C"] == sqlstate
        assert "replication" in refused.value.fields["M"]
    for database, words in (("nothing", "does not exist"), ("shop/none", "has no tier")):
        with (
            pytest.raises(RefusedError) as refused,
            Wire.connect(gate.port, AGENTS[0], SECRET, database),
        ):
            pass
        assert words in refused.value.fields["M"]


def test_an_unknown_agent_looks_like_a_wrong_password(gate: Gate) -> None:
    seen = []
    for user, secret in ((AGENTS[0], "wrong"), ("nobody", SECRET)):
        with (
            pytest.raises(RefusedError) as refused,
            Wire.connect(gate.port, user, secret, "shop"),
        ):
            pass
        fields = dict(refused.value.fields)
        fields["M"] = fields["M"].replace(user, "NAME")
        seen.append(fields)
    assert seen[0] == seen[1]
    assert seen[0]["C"] == "28P01"


def test_too_many_sessions(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_MAX", 1)
    with gate.raw() as wire:
        with pytest.raises(RefusedError) as refused, gate.raw():
            pass
        assert refused.value.fields["C"] == "53300"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_names_have_a_limit(gate: Gate) -> None:
    most = limits.STATEMENT_NAME_COUNT_MAX
    with gate.raw() as wire:
        wire.send(b"".join(P("SELECT 1", f"s{number}") for number in range(most)), S)
        assert wire.words() == ["1"] * most + ["ZI"]
        assert wire.ask(P("SELECT 1", "more"), S) == "E:53400 ZI"
        assert wire.ask(P("SELECT 1"), B(), E(), S) == "1 2 D:1 C:SELECT 1 ZI"


# --- versions, cancelling -------------------------------------------------------------------------


def test_protocol_3_2_has_a_long_key(gate: Gate) -> None:
    with gate.raw(minor=0) as old, gate.raw(minor=2) as new:
        assert (len(old.key), len(new.key)) == (4, 32)
        assert new.greeting[0].kind != frames.NEGOTIATE_PROTOCOL_VERSION


def test_newer_versions_and_options_are_negotiated(gate: Gate) -> None:
    with gate.raw(minor=9) as wire:
        said = messages.parse_negotiate_protocol_version(wire.greeting[0].payload)
        assert (said.major, said.minor, said.unsupported) == (3, 2, ())
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    with gate.raw(minor=0, **{"_pq_.magic": "on"}) as wire:
        said = messages.parse_negotiate_protocol_version(wire.greeting[0].payload)
        assert (said.major, said.minor, said.unsupported) == (3, 0, ("_pq_.magic",))


def cancel(gate: Gate, pid: int, key: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gate.port), timeout=DEADLINE_S) as line:
        line.sendall(startup.cancel_request(pid, key))
        assert line.recv(1) == b""  # no answer, whatever becomes of it


LONG = "SELECT count(*) FROM generate_series(1, (SELECT 1000000000))"


@pytest.mark.parametrize("minor", [0, 2])
def test_a_running_statement_is_cancelled(
    gate: Gate, direct: psycopg.Connection, minor: int
) -> None:
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s"
    with gate.raw(minor=minor) as wire:
        wire.send(Q(LONG))
        eventually(lambda: direct.execute(active, (LONG,)).fetchone() == (1,), "the query")
        cancel(gate, wire.pid, bytes(len(wire.key)))
        cancel(gate, wire.pid + 1, wire.key)
        assert direct.execute(active, (LONG,)).fetchone() == (1,), "a wrong key is ignored"
        cancel(gate, wire.pid, wire.key)
        assert wire.words()[-2:] == ["E:57014", "ZI"]
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_reads_of_one_message_are_one_read(gate: Gate) -> None:
    since = gate.length()
    with gate.raw() as wire:
        for _ in range(3):
            wire.query("SELECT 42")
        wire.query("SELECT 1/0")
    gate.quiet()
    trail = gate.trail(since)
    assert read_texts(trail) == ["SELECT 42"] * 3 + ["SELECT 1/0"]
    ends = [entry for kind, body in trail if kind == "reads" for entry in body["finished"]]
    assert [entry[2:] for entry in ends][:4] == [[1, ""]] * 3 + [[-1, "22012"]]


# --- when something inside breaks -----------------------------------------------------------------


def test_an_error_inside_the_gate_ends_the_session_and_nothing_passes(
    gate: Gate, direct: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that were being looked at when it happened are lost: the session cannot go on."""

    def breaks(*words: object) -> None:
        raise RuntimeError("a bug")

    with gate.raw() as other, gate.raw("write") as wire:
        assert other.query("SELECT 7") == "T D:7 C:SELECT 1 ZI"
        monkeypatch.setattr("holdpoint.doors.postgres.session.Session.slow_query", breaks)
        wire.send(Q("INSERT INTO markers VALUES ('x')"), Q("SELECT 1"))
        assert wire.rest() == ""
        assert other.query("SELECT 7") == "T D:7 C:SELECT 1 ZI"
    assert direct.execute("SELECT count(*) FROM markers").fetchone() == (0,)
