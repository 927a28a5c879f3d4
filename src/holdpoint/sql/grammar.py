"""PostgreSQL's own grammar: the one module that touches libpg_query.

The library is the shared object inside the ``postgast`` wheel, called through ctypes. Its Python
package is never imported: that would build protobuf classes for every node of the grammar, which
costs more start-up time than the whole command line has. Trees come as JSON bytes and are walked
as plain dictionaries, for the reason given in the design, section 2.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson

from holdpoint.model.effects import SyntaxProblem
from holdpoint.model.limits import PARSE_MESSAGE_CHARS_MAX
from holdpoint.sql.prescan import obstacle

GRAMMAR_MAJOR: Final = 18
"""The major version whose node types and fields were reviewed; others are not understood."""

_FILE_NAMES: Final = {"linux": "libpg_query.so", "darwin": "libpg_query.dylib"}


class Unreadable(Exception):
    """The text may be valid, but reading it is beyond a limit. The message says which, in words."""


class Refused(Exception):
    """The grammar refuses the text; ``problem`` says why and where."""

    def __init__(self, problem: SyntaxProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


# Built by calling the metaclass, not with class statements: mypyc cannot compile the latter.
_Structure: Any = type(ctypes.Structure)
_Error: Any = _Structure(
    "PgQueryError",
    (ctypes.Structure,),
    {
        "_fields_": [
            ("message", ctypes.c_char_p),
            ("funcname", ctypes.c_char_p),
            ("filename", ctypes.c_char_p),
            ("lineno", ctypes.c_int),
            ("cursorpos", ctypes.c_int),
            ("context", ctypes.c_char_p),
        ]
    },
)
_ParseResult: Any = _Structure(
    "PgQueryParseResult",
    (ctypes.Structure,),
    {
        "_fields_": [
            ("parse_tree", ctypes.c_char_p),
            ("stderr_buffer", ctypes.c_char_p),
            ("error", ctypes.POINTER(_Error)),
        ]
    },
)
_Bytes: Any = _Structure(
    "PgQueryProtobuf",
    (ctypes.Structure,),
    {"_fields_": [("len", ctypes.c_size_t), ("data", ctypes.c_void_p)]},
)
_ScanResult: Any = _Structure(
    "PgQueryScanResult",
    (ctypes.Structure,),
    {
        "_fields_": [
            ("pbuf", _Bytes),
            ("stderr_buffer", ctypes.c_char_p),
            ("error", ctypes.POINTER(_Error)),
        ]
    },
)


def _load() -> Any:
    """Load the library beside the ``postgast`` package. Raises ImportError when it is missing."""
    spec = find_spec("postgast")
    name = _FILE_NAMES.get(sys.platform)
    if spec is None or spec.origin is None or name is None:
        raise ImportError("PostgreSQL's grammar is missing: install `postgast` from a wheel")
    path = Path(spec.origin).with_name(name)
    if not path.is_file():
        raise ImportError(f"PostgreSQL's grammar is missing: no `{name}` in `{path.parent}`")
    return ctypes.CDLL(str(path))


_library: Final[Any] = _load()
_parse: Final[Any] = _library.pg_query_parse
_parse.argtypes = [ctypes.c_char_p]
_parse.restype = _ParseResult
_free: Final[Any] = _library.pg_query_free_parse_result
_free.argtypes = [_ParseResult]
_free.restype = None
_scan: Final[Any] = _library.pg_query_scan
_scan.argtypes = [ctypes.c_char_p]
_scan.restype = _ScanResult
_free_scan: Final[Any] = _library.pg_query_free_scan_result
_free_scan.argtypes = [_ScanResult]
_free_scan.restype = None


def encode(text: str) -> bytes:
    """The bytes the grammar reads. Raises Refused where the text cannot reach a server at all."""
    at = text.find("\x00")
    if at >= 0:
        raise Refused(SyntaxProblem("the text contains a NUL character", at + 1))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = "the text contains half a surrogate pair, which is not a character"
        raise Refused(SyntaxProblem(message, error.start + 1)) from error


def parse(text: str, data: bytes) -> list[dict[str, Any]]:
    """The statements of ``text``, as libpg_query's JSON; ``data`` is ``encode(text)``.

    Each item has ``stmt`` (one node) and, unless zero, ``stmt_location`` and ``stmt_len`` in bytes.
    Raises Refused for a syntax error and Unreadable where a limit is passed.
    """
    reason = obstacle(text, len(data))
    if reason:
        raise Unreadable(reason)
    result = _parse(data)
    try:
        if result.error:
            raise Refused(_problem(result.error.contents))
        tree: bytes = result.parse_tree
    finally:
        _free(result)
    try:
        root: dict[str, Any] = orjson.loads(tree)
    except orjson.JSONDecodeError as error:
        raise Unreadable("the statement is nested too deeply to be read") from error
    version: int = root["version"]
    if version // 10_000 != GRAMMAR_MAJOR:
        raise Unreadable(f"the installed grammar is of PostgreSQL {version // 10_000}")
    statements: list[dict[str, Any]] = root["stmts"]
    return statements


def scan(text: str, data: bytes) -> list[tuple[int, int]]:
    """Where the tokens of ``text`` begin and end in ``data``, comments among them.

    The server's own lexer, which PL/pgSQL reads with too. ``data`` is ``encode(text)``. Raises as
    ``parse`` does.
    """
    reason = obstacle(text, len(data))
    if reason:
        raise Unreadable(reason)
    result = _scan(data)
    try:
        if result.error:
            raise Refused(_problem(result.error.contents))
        answer: bytes = ctypes.string_at(result.pbuf.data, result.pbuf.len)
    finally:
        _free_scan(result)
    return _spans(answer)


def _varint(answer: bytes, at: int) -> tuple[int, int]:
    """A protobuf integer at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = answer[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _spans(answer: bytes) -> list[tuple[int, int]]:
    """Read libpg_query's ``ScanResult``: field 1 is its version, each field 2 one token.

    A token's fields are numbers: 1 where it begins (left out when 0), 2 where it ends, 4 and 5 what
    it is.
    """
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(answer):
        key, at = _varint(answer, at)
        value, at = _varint(answer, at)
        if key != (2 << 3 | 2):
            continue
        stop = at + value
        start = end = 0
        while at < stop:
            key, at = _varint(answer, at)
            value, at = _varint(answer, at)
            if key == 1 << 3:
                start = value
            elif key == 2 << 3:
                end = value
        found.append((start, end))
    return found


def _problem(error: Any) -> SyntaxProblem:
    message = error.message.decode("utf-8", "replace")
    if len(message) > PARSE_MESSAGE_CHARS_MAX:  # it quotes the rest of the token, however long
        message = message[:PARSE_MESSAGE_CHARS_MAX] + "..."
    return SyntaxProblem(message, max(0, error.cursorpos))
