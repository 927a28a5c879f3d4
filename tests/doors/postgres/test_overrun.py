"""The end of a result that is over its budget, in each order of what the server may still say.

Against a real server these are races (``test_door_budgets.py``); here the order is given. Sent to
the server: ``q`` the Query and ``p`` the Parse that it cannot accept, else the frame's own letter.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_client import B, E, P, Q, S, run

from holdpoint.doors.postgres.pending import Known, Operation, Own
from holdpoint.doors.postgres.refusing import REFUSED_PARSE, REFUSED_QUERY
from holdpoint.doors.postgres.relay import Relay
from holdpoint.model.budget import Budget
from holdpoint.wire.postgres import errors, frames, messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import FrameReader, frame

ROWS = 3
ROW = frame(frames.DATA_ROW, b"\0\1\0\0\0\1x")
HEAD = frame(frames.ROW_DESCRIPTION, b"\0\0")
DONE = frame(frames.COMMAND_COMPLETE, b"SELECT 9\0")
READY = {state: frame(frames.READY_FOR_QUERY, state.encode()) for state in "ITE"}
PARSED, BOUND = frame(frames.PARSE_COMPLETE, b""), frame(frames.BIND_COMPLETE, b"")
CANCELED = errors.error_response("ERROR", "57014", "canceling statement due to user request")
SYNTAX = errors.error_response("ERROR", "42601", "syntax error")
NOTICE = errors.notice_response("NOTICE", "00000", "by the way")
SEVERAL = ROW * (ROWS + 2)


class House:
    """A relay whose client and server are lists; what passes at once is every text."""

    def __init__(self) -> None:
        self.to_client = FrameReader(1 << 20)
        self.to_server = FrameReader(1 << 20)
        self.ended = ""
        self.cancels = 0
        self.numbers: dict[int, tuple[int, str]] = {}
        self.relay = Relay(self, self, "s-1", self.to_client.feed, self.to_server.feed)  # type: ignore[arg-type]
        self.relay.meter.apply(Budget(rows=ROWS))

    def known(self, query: bytes) -> Known:
        return Known(query.decode(), commits=query == b"COMMIT")

    def cancel_running(self) -> None:
        self.cancels += 1

    def broken(self, problem: ProtocolError) -> None:
        self.ended = problem.message

    def read_started(self, session: str, text: str, parameters: bytes | None) -> int:
        return len(self.numbers) + 1

    def read_finished(self, number: int, rows: int, sqlstate: str) -> None:
        self.numbers[number] = (rows, sqlstate)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def client(self, *data: bytes) -> None:
        self.relay.client_data(b"".join(data))

    def server(self, *data: bytes) -> None:
        self.relay.server_data(b"".join(data))

    @property
    def shown(self) -> str:
        """What the client has got since it was looked at last."""
        words = []
        while (found := self.to_client.next_frame()) is not None:
            word = chr(found.kind)
            if found.kind == frames.ERROR_RESPONSE:
                word += messages.parse_fields(found.payload)["C"]
            elif found.kind == frames.READY_FOR_QUERY:
                word += found.payload.decode()
            words.append(word)
        return " ".join(words)

    @property
    def sent(self) -> str:
        """What the server has got since it was looked at last."""
        words = []
        while (found := self.to_server.next_frame()) is not None:
            whole = frame(found.kind, found.payload)
            ours = {REFUSED_QUERY: "q", REFUSED_PARSE: "p"}
            words.append(ours.get(whole, chr(found.kind)))
        return " ".join(words)


@pytest.fixture
def house() -> House:
    return House()


def test_a_query_that_is_cancelled_in_time(house: House) -> None:
    house.client(Q("SELECT many"))
    house.server(HEAD, SEVERAL)
    assert house.cancels == 1
    assert house.shown == "T D D D"
    house.server(ROW, NOTICE, ROW, CANCELED, READY["E"])
    assert house.shown == "N E53400 ZE"
    house.relay.cancelled()
    assert house.numbers[1][1] == "53400"
    assert house.sent == "Q"


def test_a_query_that_was_over_already(house: House) -> None:
    house.client(Q("SELECT many"))
    house.server(HEAD, SEVERAL, DONE, READY["I"])
    assert house.shown == "T D D D E53400 ZI"
    assert house.sent == "Q"
    assert house.numbers[1] == (9, "53400")


def test_inside_a_transaction_the_server_is_made_to_fail(house: House) -> None:
    house.client(Q("SELECT many"))
    house.server(HEAD, SEVERAL, DONE, READY["T"])
    assert house.shown == "T D D D"
    assert house.sent == "Q q"
    house.client(Q("SELECT next"))
    assert house.sent == ""
    house.relay.cancelled()
    assert house.sent == ""
    house.server(SYNTAX, READY["E"])
    assert house.shown == "E53400 ZE"
    assert house.sent == "Q"


def test_nothing_is_sent_while_a_request_to_cancel_is_on_its_way(house: House) -> None:
    house.client(run("SELECT many"), S)
    house.server(PARSED, BOUND, HEAD, SEVERAL, CANCELED, READY["I"])
    assert house.shown == "1 2 T D D D E53400 ZI"
    house.client(Q("SELECT next"))
    assert house.sent == "P B E S"
    house.relay.cancelled()
    assert house.sent == "Q"
    house.server(HEAD, ROW, DONE, READY["I"])
    assert house.shown == "T D C ZI"


def test_the_cancel_may_still_meet_the_frame_that_fails(house: House) -> None:
    house.client(Q("SELECT many"))
    house.server(HEAD, SEVERAL, DONE, READY["T"], CANCELED, READY["E"])
    assert house.shown == "T D D D E53400 ZE"


def test_without_a_sync_the_next_frame_fails(house: House) -> None:
    house.client(run("SELECT many"))
    house.server(PARSED, BOUND, SEVERAL)
    assert house.sent == "P B E p"
    house.client(run("SELECT next"))  # skipped, by the server too
    house.server(DONE, SYNTAX)
    assert house.shown == "1 2 D D D E53400"
    house.relay.cancelled()
    house.client(S)
    house.server(READY["I"])
    assert house.shown == "ZI"
    assert house.sent == "S"


def test_what_ran_behind_it_and_only_read_is_not_shown(house: House) -> None:
    house.client(run("SELECT many"), run("SELECT 2"), S, run("SELECT 3"), S)
    house.server(PARSED, BOUND, SEVERAL, DONE, PARSED, BOUND, ROW, DONE, READY["I"])
    assert house.shown == "1 2 D D D E53400 ZI"
    house.server(PARSED, BOUND, ROW, DONE, READY["I"])
    assert house.shown == "1 2 D C ZI"
    assert not house.ended


@pytest.mark.parametrize("behind", [P("SELECT 2", "name"), messages.close(0x53, b"name")])
def test_a_name_behind_it_ends_the_session(house: House, behind: bytes) -> None:
    house.client(P("SELECT 1", "name") if behind[0] == 0x43 else b"", run("SELECT many"), behind, S)
    house.server(PARSED if behind[0] == 0x43 else b"", PARSED, BOUND, SEVERAL, DONE)
    house.server(PARSED if behind[0] == 0x50 else frame(frames.CLOSE_COMPLETE, b""), READY["I"])
    assert "has run all the same" in house.ended
    assert "Z" not in house.shown


def test_a_commit_behind_it_ends_the_session(house: House) -> None:
    house.client(Q("BEGIN"))
    house.server(frame(frames.COMMAND_COMPLETE, b"BEGIN\0"), READY["T"])
    house.relay.statements[b"c"] = house.relay.statements.get(b"c") or _prepared(house)
    house.client(run("SELECT many"), B("c"), E(), S)
    house.relay.wrote = True  # an earlier statement of the transaction has
    house.server(PARSED, BOUND, SEVERAL, DONE, BOUND, DONE, READY["I"])
    assert "has run all the same" in house.ended


def _prepared(house: House) -> Any:
    house.client(P("COMMIT", "c"), S)
    house.server(PARSED, READY["T"])
    return house.relay.statements[b"c"]


def test_what_runs_behind_it_in_a_transaction_ends_the_session(house: House) -> None:
    house.client(Q("SELECT many"), Q("SELECT 2"))
    house.server(HEAD, SEVERAL, DONE, READY["T"])
    assert "has run all the same" in house.ended


def test_any_other_error_ends_it_too(house: House) -> None:
    house.client(Q("SELECT many"))
    zero = errors.error_response("ERROR", "22012", "division by zero")
    house.server(HEAD, SEVERAL, zero, READY["I"])
    assert house.shown == "T D D D E53400 ZI"


def test_what_runs_for_too_long_may_end_by_itself(house: House) -> None:
    words = errors.error_response("ERROR", "57014", "too long")
    house.client(Q("SELECT slow"))
    house.relay.cancel_head(words)
    house.relay.cancel_head(words)
    assert house.cancels == 1
    house.client(Q("SELECT next"))
    house.server(HEAD, ROW, DONE, READY["I"])
    assert house.shown == "T D C ZI"
    assert house.sent == "Q"
    house.relay.cancelled()
    assert house.sent == "Q"


@pytest.mark.parametrize("extended", [False, True])
def test_what_is_over_in_both_ways_keeps_no_question_back(house: House, extended: bool) -> None:
    """A counted statement goes on to the gate's own question, or its locks would stay."""
    operation = Operation(wrote=True, guarded=False, copies=False)
    operation.on_answer = lambda: None
    house.relay.halt()
    if extended:
        house.relay.send_execute(E(), operation)
    else:
        house.relay.send_query(b"UPDATE t RETURNING *", operation)
    house.relay.cancel_head(errors.error_response("ERROR", "57014", "too long"))
    house.server(HEAD, SEVERAL)
    house.relay.cancelled()  # too late: it had ended
    house.server(DONE, b"" if extended else READY["T"])
    assert house.sent == ("E H" if extended else "Q")
    house.relay.ask(REFUSED_QUERY, Own(0, lambda: None))
    assert house.sent == "q"


def test_what_nobody_has_asked_for_is_bounded_too(house: House) -> None:
    house.relay.meter.apply(Budget(bytes=250))
    told = frame(frames.NOTIFICATION_RESPONSE, b"x" * 95)
    house.server(told, told)
    assert house.shown == "A A"
    assert not house.ended
    house.server(told)
    assert "without being asked" in house.ended
    assert house.shown == ""


def test_going_on_with_a_cursor_is_a_statement(house: House) -> None:
    house.relay.meter.apply(Budget(statements_per_minute=2))
    for _ in range(2):
        house.client(E("cursor", 1), S)
        house.server(ROW, frame(frames.PORTAL_SUSPENDED, b""), READY["T"])
    assert house.shown == "D s ZT D s ZT"
    house.client(E("cursor", 1), S)
    assert house.sent.endswith("p S")
    house.server(SYNTAX, READY["E"])
    assert house.shown == "E53400 ZE"


@given(st.data())
def test_it_does_not_matter_how_the_bytes_come(draw: st.DataObject) -> None:
    house = House()
    rows = draw.draw(st.integers(0, 6))
    house.client(Q("SELECT many"))
    data = HEAD + ROW * rows + DONE + READY["I"]
    at = 0
    while at < len(data):
        size = draw.draw(st.integers(1, 40))
        house.server(data[at : at + size])
        at += size
    end = "C ZI" if rows <= ROWS else "E53400 ZI"
    assert house.shown == " ".join(["T", *["D"] * min(rows, ROWS), end])
    assert house.cancels == (rows > ROWS)
