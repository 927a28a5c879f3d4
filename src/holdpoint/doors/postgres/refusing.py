"""What the relay itself refuses, in words; and what stands in the place of a refused frame."""

from __future__ import annotations

from typing import Final

from holdpoint.model import limits
from holdpoint.wire.postgres import errors, frames, messages
from holdpoint.wire.postgres.frames import frame
from holdpoint.wire.postgres.stream import OVER_ROWS

# What the server is made to fail on; it shows up in the server's log and says why.
REFUSED_TEXT: Final = b"holdpoint refused this statement"
# Stands before a Query among frames of the extended protocol. An error of those makes the server
# skip the Query; without the fence nobody could tell it from an error of the Query itself. To close
# what is not there changes nothing; its answer is kept from the client.
FENCE_FRAME: Final = messages.close(messages.PORTAL, b"holdpoint fence")
REFUSED_QUERY: Final = messages.query(REFUSED_TEXT)
OVER_BUDGET: Final = "53400"  # configuration_limit_exceeded (manual, appendix A)
QUERY_CANCELED: Final = "57014"
REFUSED_PARSE: Final = messages.parse(b"holdpoint_refused", REFUSED_TEXT)


def too_long() -> bytes:
    """Return the refusal of a message that is too long to be looked at."""
    limit = limits.MESSAGE_BYTES_MAX // (1024 * 1024)
    return _error("54000", f"refused: the message is longer than {limit} MiB", "send it in parts")


def no_such_frame(kind: int) -> bytes:
    """Return the refusal of a FunctionCall or of a type of message that nobody knows."""
    what = "FunctionCall" if kind == 0x46 else f"a message of type 0x{kind:02x}"
    return _error(
        "0A000",
        f"refused: {what} does not pass through Holdpoint",
        "use SQL: what a function call does must be readable",
    )


def not_synced() -> bytes:
    """Return the refusal of a bounded Query among frames of the extended protocol.

    Only ReadyForQuery tells whether the Query would run in a transaction of the agent's.
    """
    return _error(
        "0A000",
        "refused: a Query that changes rows came before the Sync of what was sent before it",
        "send Sync first: its rows are counted in a transaction whose state must be known",
    )


def trail_failed(problem: Exception) -> bytes:
    """Return the refusal of what cannot be recorded."""
    return _error(
        "58030",
        f"refused: the audit trail cannot be written: {problem}",
        "nothing ran; the operator must mend the trail, `holdpoint doctor` says how",
    )


def name_taken(name: bytes) -> bytes:
    """Return the refusal of a second statement under one name, in the server's words."""
    return _error("42P05", f"prepared statement `{_shown(name)}` already exists")


def name_long(name: bytes) -> bytes:
    """Return the refusal of a name that the server would cut: it would take two names for one."""
    return _error(
        "42622",
        f"refused: a name of {len(name):,} bytes is longer than {limits.NAME_CHARS_MAX}",
        "use a shorter one",
    )


def no_statement(name: bytes) -> bytes:
    """Return the refusal of a name that the gate has not seen."""
    return _error(
        "26000",
        f"prepared statement `{_shown(name)}` does not exist",
        "prepare it in this session, through Holdpoint",
    )


def portal_taken() -> bytes:
    """Return the refusal to bind a portal anew that has not run to its end.

    If that Bind failed, the server would keep the old one and the gate would not know it.
    """
    return _error(
        "42P03",
        "refused: the portal is bound to a statement that has not run to its end",
        "close it first, or end the transaction",
    )


def doubtful_portal() -> bytes:
    """Return the refusal to run a portal whose Bind may have failed."""
    return _error(
        "34000",
        "refused: an error leaves open whether this portal is there",
        "bind it again, after the end of the transaction",
    )


def no_portal() -> bytes:
    """Return the refusal to run the unnamed portal when nothing is bound to it."""
    return _error("34000", 'portal "" does not exist')


def too_many(what: str) -> bytes:
    """Return the refusal of one name too many."""
    return _error(
        "53400",
        f"refused: {limits.STATEMENT_NAME_COUNT_MAX:,} {what} are open",
        "close those that are no longer needed",
    )


def over_result(over: int, rows_max: int, size_max: int) -> bytes:
    """Return the error of a result that is longer than its budget."""
    if over == OVER_ROWS:
        which, amount = "rows", f"{rows_max:,} rows"
    else:
        which, amount = "bytes", f"{size_max:,} bytes"
    return _error(
        OVER_BUDGET,
        f"the result is over the budget `{which}`: one statement may return {amount}",
        "narrow it: a filter, an aggregate, LIMIT; the people who run this gate can raise it",
        "HP8014; the rest was not sent: what has come is not the whole result",
    )


def over_rate(per_minute: int, seconds: int) -> bytes:
    """Return the refusal to go on with a cursor while there is no room for a statement."""
    return _error(
        OVER_BUDGET,
        f"refused: the budget `statements_per_minute` of {per_minute:,} is used up",
        f"nothing ran; there is room again in {seconds} s",
        "HP8014",
    )


def over_time(seconds: float) -> bytes:
    """Return the error of a statement that has run for longer than its budget."""
    return _error(
        QUERY_CANCELED,
        f"cancelled: the budget `statement_time` lets one statement run for {seconds:g} s",
        "narrow it, or split it; the people who run this gate can raise it",
        "HP8014; a longer `statement_timeout` of the session changes nothing about it",
    )


def with_time_budget(response: bytes, seconds: float) -> bytes:
    """Return the server's own error of a statement that was cancelled, with its budget named.

    The server does not say in any language-independent way that it was for the time it took.
    """
    if messages.parse_fields(response[5:]).get("H"):
        return response
    hint = f"the budget `statement_time` lets one statement run for {seconds:g} s (HP8014)"
    fields = response[5:-1] + b"H" + errors.clean_text(hint) + b"\x00\x00"
    return frame(frames.ERROR_RESPONSE, fields)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _error(sqlstate: str, message: str, hint: str = "", detail: str = "") -> bytes:
    return errors.error_response("ERROR", sqlstate, message, detail, hint)
