"""The three forms of a PostgreSQL server's log, as entries (manual, section 19.8)."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from holdpoint.access.suggest.server_logs import Entry, LogFlaws, moment_us
from holdpoint.model.limits import LOG_LINE_BYTES_MAX

_GZIP: Final = b"\x1f\x8b"
_SEVERITIES: Final = "DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC"
# Lines that belong to the entry before them (elog.c: send_message_to_server_log).
_DETAILS: Final = "DETAIL|HINT|QUERY|CONTEXT|LOCATION|BACKTRACE|STATEMENT"

# Columns of csvlog (manual, table in section 19.8.4).
_CSV_COLUMNS: Final = 23  # up to application_name, which every version has
_TIME, _USER, _DATABASE, _SESSION, _SEVERITY, _STATE, _MESSAGE, _QUERY = 0, 1, 2, 5, 11, 12, 13, 19

# What the escapes of log_line_prefix stand for (manual, log_line_prefix).
_ESCAPES: Final = {
    "a": r"[^\n]*?",
    "u": r"(?P<user>[^\n]*?)",
    "d": r"(?P<database>[^\n]*?)",
    "r": r"[^\n]*?",
    "h": r"[^\n]*?",
    "L": r"[^\n]*?",
    "b": r"[^\n]*?",
    "p": r"(?P<process>\d+)",
    "P": r"\d*",
    "t": r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+)",
    "m": r"(?P<milli>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \S+)",
    "n": r"(?P<epoch>\d+(?:\.\d+)?)",
    "i": r"[^\n]*?",
    "e": r"(?P<state>[0-9A-Z]{5})",
    "c": r"(?P<session>[0-9a-f.]+)",
    "l": r"\d+",
    "s": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+",
    "v": r"[0-9/]*",
    "x": r"\d+",
    "Q": r"-?\d+",
}
_ESCAPE: Final = re.compile(r"%(-?\d+)?(.)", re.DOTALL)

UNKNOWN: Final = "[unknown]"
"""What the server writes for a name that a connection has not given yet."""


class BadLog(Exception):
    """The file cannot be read as a log; the message says why."""


def entries_of(path: Path, prefix: str, flaws: LogFlaws) -> Iterator[Entry]:
    """Yield a log's entries; what form it has is seen from its first line.

    ``prefix`` is ``log_line_prefix``, for the form that needs it. Raises ``BadLog``, OSError.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP
    with gzip.open(path, "rb") if is_gzip else path.open("rb") as stream:
        try:
            first = stream.readline(LOG_LINE_BYTES_MAX)
            stream.seek(0)
            if first.startswith(b"{"):
                yield from _json(stream, path.name, flaws)
            elif path.name.removesuffix(".gz").endswith(".csv") or _is_csv(first):
                yield from _csv(stream, path.name, flaws)
            else:
                yield from _stderr(stream, path.name, prefix, flaws)
        except (EOFError, gzip.BadGzipFile) as error:
            raise BadLog(f"`{path}` is not whole: {error}") from error


def _is_csv(line: bytes) -> bool:
    return line.count(b",") >= _CSV_COLUMNS - 1 and re.match(rb"\d{4}-\d\d-\d\d ", line) is not None


def _lines(stream: Any, name: str, flaws: LogFlaws) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that is too long is passed over."""
    number = 0
    while line := stream.readline(LOG_LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LOG_LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LOG_LINE_BYTES_MAX)
            flaws.note(f"{name}:{number}")
            continue
        yield number, line.decode("utf-8", "replace").rstrip("\r\n")


# --- jsonlog --------------------------------------------------------------------------------------


def _json(stream: Any, name: str, flaws: LogFlaws) -> Iterator[Entry]:
    for number, line in _lines(stream, name, flaws):
        if not line:
            continue
        try:
            found = orjson.loads(line)
            yield Entry(
                at_us=moment_us(str(found["timestamp"])),
                session=str(found.get("session_id", found.get("pid", ""))),
                role=str(found.get("user", "")),
                database=str(found.get("dbname", "")),
                severity=str(found["error_severity"]),
                message=str(found.get("message", "")),
                sqlstate=str(found.get("state_code", "")),
                statement=str(found.get("statement", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            flaws.note(f"{name}:{number}")


# --- csvlog ---------------------------------------------------------------------------------------


def _csv(stream: Any, name: str, flaws: LogFlaws) -> Iterator[Entry]:
    before = csv.field_size_limit(LOG_LINE_BYTES_MAX)
    with io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="") as text:
        rows = csv.reader(text, strict=True)
        try:
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error:
                    row = []
                if _is_row(row):
                    yield _row(row)
                else:
                    flaws.note(f"{name}:{rows.line_num}")
        finally:
            csv.field_size_limit(before)


def _is_row(row: list[str]) -> bool:
    """Whether fields are an entry's: a log may begin in the middle of one."""
    if len(row) < _CSV_COLUMNS or re.match(r"\d{4}-\d\d-\d\d ", row[_TIME]) is None:
        return False
    return re.fullmatch(_SEVERITIES, row[_SEVERITY]) is not None


def _row(row: list[str]) -> Entry:
    return Entry(
        at_us=moment_us(row[_TIME]),
        session=row[_SESSION],
        role=row[_USER],
        database=row[_DATABASE],
        severity=row[_SEVERITY],
        message=row[_MESSAGE],
        sqlstate=row[_STATE],
        statement=row[_QUERY],
    )


# --- stderr ---------------------------------------------------------------------------------------


def pattern_of(prefix: str) -> re.Pattern[str]:
    """Return what a line with this ``log_line_prefix`` looks like, up to its severity.

    Raises ``BadLog`` for an escape that is not known.
    """
    parts: list[str] = []
    at, seen = 0, set[str]()
    optional = False
    for found in _ESCAPE.finditer(prefix):
        parts.append(re.escape(prefix[at : found.start()]))
        at = found.end()
        letter = found[2]
        if letter == "q":
            parts.append("(?:")  # processes without a session stop here
            optional = True
        elif letter == "%":
            parts.append("%")
        elif letter not in _ESCAPES:
            raise BadLog(f"`log_line_prefix` has `%{letter}`, which is not known")
        else:
            part = _ESCAPES[letter] if letter not in seen else r"[^\n]*?"
            seen.add(letter)
            parts.append(rf" *{part} *" if found[1] else part)
    parts.append(re.escape(prefix[at:]))
    if optional:
        parts.append(")?")
    return re.compile("".join(parts) + rf"(?P<severity>{_SEVERITIES}|{_DETAILS}):  (?P<rest>.*)")


def _stderr(stream: Any, name: str, prefix: str, flaws: LogFlaws) -> Iterator[Entry]:
    pattern = pattern_of(prefix)
    waiting: _Lines | None = None
    for number, line in _lines(stream, name, flaws):
        found = pattern.match(line)
        if found is None:
            # Further lines of a message begin with a tab (elog.c: append_with_tabs).
            if waiting is not None and line.startswith("\t"):
                waiting.go_on(line[1:])
            elif line:
                flaws.note(f"{name}:{number}")
            continue
        if re.fullmatch(_DETAILS, found["severity"]):
            if waiting is not None:
                waiting.detail(found["severity"], found["rest"])
            continue
        if waiting is not None:
            yield waiting.entry()
        waiting = _Lines(found)
    if waiting is not None:
        yield waiting.entry()


class _Lines:
    """An entry of the stderr form, line by line."""

    def __init__(self, found: re.Match[str]) -> None:
        self._found = found.groupdict()
        self._message = [str(found["rest"])]
        self._statement: list[str] = []
        self._at = self._message

    def go_on(self, line: str) -> None:
        """A further line of what came last."""
        self._at.append(line)

    def detail(self, kind: str, rest: str) -> None:
        """A line that tells more of the entry; of those only STATEMENT counts."""
        self._at = self._statement if kind == "STATEMENT" else []
        self._at.append(rest)

    def entry(self) -> Entry:
        """The entry, whole."""
        found = {name: value or "" for name, value in self._found.items()}
        epoch = found.get("epoch", "")
        at_us = int(float(epoch) * 1_000_000) if epoch else 0
        names = {
            key: "" if found.get(key, "") == UNKNOWN else found.get(key, "")
            for key in ("user", "database")
        }
        return Entry(
            at_us=at_us or moment_us(found.get("milli", "") or found.get("time", "")),
            session=found.get("session", "") or found.get("process", ""),
            role=names["user"],
            database=names["database"],
            severity=found["severity"],
            message="\n".join(self._message),
            sqlstate=found.get("state", ""),
            statement="\n".join(self._statement),
        )
