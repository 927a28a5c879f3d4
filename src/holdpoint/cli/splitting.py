"""Cuts a file of statements where psql would: at semicolons outside quotes, comments and bodies.

Only places are decided here. What a piece means is for the grammar; a wrong cut leaves pieces that
the grammar refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# One token of the lexer: what may hold a semicolon or counts towards depth, else one character.
_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line_comment>--[^\n\r]*)
    | (?P<guard>(?m:^)\\(?:un)?restrict\b[^\n\r]*)  # pg_dump's, for psql alone
    | (?P<block_comment>/\*)
    | (?P<escape_string>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<string>'(?:[^']|'')*(?:'|\Z))
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>[0-9][A-Za-z0-9_.$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_END: Final = re.compile(r"/\*|\*/")
_ROUTINE: Final = re.compile(r"create(or replace)?(function|procedure)")


# What psql and pg_dump send data behind (manual, COPY): until a line with only a backslash and dot.
_COPY_IN: Final = re.compile(r"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_DATA_END: Final = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement's text without its semicolon; ``line`` counts from 1."""

    text: str
    line: int


class _Depth:
    """How deep a statement's brackets and SQL-standard routine bodies are open, as psql counts."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.brackets = 0
        self.bodies = 0

    def word(self, text: str) -> None:
        """A keyword: bodies open with BEGIN, and CASE closes with END as well."""
        low = text.lower()
        if len(self.words) < 4:
            self.words.append(low)
        first = "".join(self.words).replace("orreplace", "or replace")
        if self.brackets or not _ROUTINE.match(first):
            return
        if low == "begin" or (low == "case" and self.bodies):
            self.bodies += 1
        elif low == "end" and self.bodies:
            self.bodies -= 1

    def other(self, char: str) -> None:
        """A bracket, or nothing of interest."""
        if char == "(":
            self.brackets += 1
        elif char == ")" and self.brackets:
            self.brackets -= 1

    @property
    def is_open(self) -> bool:
        """Whether a semicolon here belongs to the statement."""
        return bool(self.brackets or self.bodies)


def split(text: str) -> Iterator[Piece]:
    """The statements of a text; pieces of white space and comments alone are left out."""
    at = start = 0
    first = -1  # where the first token of the statement is, behind white space and comments
    line, counted = 1, 0
    depth = _Depth()
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None, "the last alternative takes any character"
        kind, end = found.lastgroup, found.end()
        if kind == "block_comment":
            end = _behind_comment(text, at)
        elif kind == "dollar":
            end = _behind_dollars(text, found.group(), end)
        elif kind == "guard" and first < 0:
            start = end
        elif kind == "word":
            depth.word(found.group())
        elif kind == "other" and found.group() != ";":
            depth.other(found.group())
        if kind == "other" and found.group() == ";" and not depth.is_open:
            if first >= 0:
                line, counted = line + text.count("\n", counted, first), first
                piece = text[start:at].strip()
                yield Piece(piece, line)
                if _COPY_IN.match(piece):
                    end = _behind_data(text, end)
            start, first, depth = end, -1, _Depth()
        elif first < 0 and kind not in ("space", "line_comment", "block_comment", "guard"):
            first = at
        at = end
    if first >= 0:
        line += text.count("\n", counted, first)
        yield Piece(text[start:].strip(), line)


def _behind_comment(text: str, at: int) -> int:
    """Behind a comment that starts here; comments nest."""
    depth = 0
    while True:
        found = _COMMENT_END.search(text, at)
        if found is None:
            return len(text)
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
        if not depth:
            return at


def _behind_dollars(text: str, quote: str, at: int) -> int:
    """Behind a dollar-quoted string whose opening quote ends here."""
    close = text.find(quote, at)
    return len(text) if close < 0 else close + len(quote)


def _behind_data(text: str, at: int) -> int:
    """Behind the data lines of a COPY FROM STDIN whose semicolon is before ``at``.

    Data begins on the next line; what else stands on this one is SQL, and then nothing is skipped.
    """
    if text[at : text.find("\n", at) + 1 or None].strip():
        return at
    found = _DATA_END.search(text, at)
    return found.end() if found is not None else len(text)
