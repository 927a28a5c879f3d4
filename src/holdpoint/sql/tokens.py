"""A body of code as tokens, cut by the server's own lexer.

PL/pgSQL reads with PostgreSQL's lexer and knows its reserved words from a list of its own
(PostgreSQL manual, section 41.2, and ``pl_reserved_kwlist.h``), so what a token is follows from its
text alone. Positions are bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from holdpoint.model.limits import NAME_CHARS_MAX
from holdpoint.sql import grammar

NAME: Final = '"'
"""The kind of a quoted name."""
STRING: Final = "'"
"""The kind of a string literal, dollar-quoted ones too."""
PARAMETER: Final = "$"
"""The kind of ``$1``, which names an argument."""
OTHER: Final = "0"
"""The kind of what PL/pgSQL has no use for: numbers, ``U&"..."``."""
END: Final = ""
"""The kind behind the last token."""

_RESERVED: Final = (
    "all begin by case declare else end execute for foreach from if in into loop not null or "
    "strict then to using when while"
)
RESERVED: Final = frozenset(_RESERVED.split())
"""Words that PL/pgSQL never takes for a name."""

_BREAK: Final = re.compile(b"\n")
_LETTERS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


class Tokens:
    """The tokens of a body, without comments.

    ``kinds`` has, for each, the word in lower case for an unquoted word, the text itself for an
    operator or a bracket, else one of the constants of this module; and ``END`` behind the last.
    """

    def __init__(self, body: str) -> None:
        """Raises what ``grammar.scan`` raises."""
        self.data: Final = grammar.encode(body)
        self.starts: Final[list[int]] = []
        self.ends: Final[list[int]] = []
        self.kinds: Final[list[str]] = []
        data = self.data
        self._breaks = [found.start() for found in _BREAK.finditer(data)]
        for start, end in grammar.scan(body, data):
            kind = _kind(data[start:end])
            if kind:
                self.starts.append(start)
                self.ends.append(end)
                self.kinds.append(kind)
        self.starts.append(len(data))
        self.ends.append(len(data))
        self.kinds.append(END)

    def text(self, first: int, behind: int) -> str:
        """The source from token ``first`` to the end of the last token before ``behind``."""
        if behind <= first:
            return ""
        return self.data[self.starts[first] : self.ends[behind - 1]].decode()

    def line(self, at: int) -> int:
        """The line of the body in which token ``at`` begins, from 1."""
        return bisect_left(self._breaks, self.starts[at]) + 1

    def is_name(self, at: int) -> bool:
        """Whether token ``at`` can name a variable, a label or a field."""
        kind = self.kinds[at]
        if kind in (NAME, PARAMETER):
            return True
        return is_word(kind) and kind not in RESERVED

    def name(self, at: int) -> str:
        """The name that token ``at`` gives, as the server folds it and cuts it off."""
        name = self.kinds[at]
        if name == NAME:
            name = self.text(at, at + 1)[1:-1].replace('""', '"')
        return name.encode()[:NAME_CHARS_MAX].decode("utf-8", "ignore")


def is_word(kind: str) -> bool:
    """Whether a kind is an unquoted word."""
    return kind[:1].isalpha() or kind[:1] == "_" or kind[:1] > "\x7f"


def _kind(token: bytes) -> str:
    """The kind of one token; empty for a comment."""
    first = token[0]
    if first in _LETTERS or first > 127:
        if token.endswith(b"'"):
            return STRING
        # Only ASCII is folded, as the server's keyword look-up does; U&"..." is no plain name.
        return OTHER if token.endswith(b'"') else token.lower().decode()
    if first == 0x27:  # '
        return STRING
    if first == 0x22:  # "
        return NAME
    if first == 0x24:  # $1 or $tag$...$tag$
        return STRING if token.endswith(b"$") else PARAMETER
    if 0x30 <= first <= 0x39:
        return OTHER
    if token.startswith((b"--", b"/*")):
        return END
    if first == 0x2E and len(token) > 1 and token != b"..":  # .5
        return OTHER
    return token.decode()
