"""Which line of a TOML text a key stands on.

``tomllib`` gives values without their places. This scanner walks the same text once and notes the
line of every key, table and array element. It reads valid TOML only: the caller parses first.
"""

from __future__ import annotations

import re
from typing import Final

Path = tuple[str | int, ...]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SKIP: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_PLAIN_VALUE: Final = re.compile(r"[^,\]}#\n]*")
_STRINGS: Final = (
    ('"""', re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL)),
    ("'''", re.compile(r"'''.*?'{3,5}", re.DOTALL)),
    ('"', re.compile(r'"(?:\\.|[^"\\\n])*"')),
    ("'", re.compile(r"'[^'\n]*'")),
)


class Lines:
    """The lines of a TOML text, by path: ``("rules", 0, "when", "effect")``."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {(): 1}
        _Scanner(text.replace("\r\n", "\n"), self._lines).run()

    def of(self, path: Path) -> int:
        """The line of the path, or of the nearest table around it. Counts from 1."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


class _Scanner:
    """One pass over the text; ``self.at`` is the place of the next character."""

    def __init__(self, text: str, lines: dict[Path, int]) -> None:
        self.text = text
        self.lines = lines
        self.at = 0
        self.counts: dict[Path, int] = {}  # how many elements each array of tables has so far
        self.seen = 0  # characters whose line ends are counted
        self.line = 1

    def run(self) -> None:
        """Note the line of everything in the text."""
        table: Path = ()
        self._skip(_SKIP)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
            self._skip(_SKIP)

    def _here(self) -> int:
        """The line of the next character."""
        self.line += self.text.count("\n", self.seen, self.at)
        self.seen = self.at
        return self.line

    def _note(self, path: Path) -> None:
        """Note the line of a path and of the tables it brings into being."""
        line = self._here()
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        """Go behind what the pattern matches here."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def _header(self, brackets: int) -> Path:
        """``[a.b]`` or ``[[a.b]]``: the path that the pairs below it belong to."""
        start = self.at
        self.at += brackets
        keys = self._key()
        self._skip(_BLANK)
        end, self.at = self.at + brackets, start
        path: Path = ()
        for nth, key in enumerate(keys):
            path += (key,)
            if brackets == 2 and nth == len(keys) - 1:
                self.counts[path] = self.counts.get(path, 0) + 1
                self._note(path)
            if path in self.counts:
                path += (self.counts[path] - 1,)
        self._note(path)
        self.at = end
        return path

    def _pair(self, table: Path) -> None:
        """``key = value``."""
        start = self.at
        keys = self._key()
        after, self.at = self.at, start
        path = (*table, *keys)
        self._note(path)
        self.at = after
        self._skip(_BLANK)
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        """A dotted key."""
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            quote = self.text[self.at : self.at + 1]
            if quote in ('"', "'") and quote:
                keys.append(_unquoted(self._string()))
            else:
                found = _BARE.match(self.text, self.at)
                keys.append(found.group() if found else "")
                self.at = found.end() if found else self.at + 1
            self._skip(_BLANK)
            if self.text[self.at : self.at + 1] != ".":
                return keys
            self.at += 1

    def _string(self) -> str:
        """A string of any of the four kinds, with its quotes."""
        for quote, pattern in _STRINGS:
            if self.text.startswith(quote, self.at):
                found = pattern.match(self.text, self.at)
                if found is not None:
                    self.at = found.end()
                    return found.group()
        self.at += 1
        return ""

    def _value(self, path: Path) -> None:
        """Any value; notes the lines of elements and of keys of inline tables."""
        self._skip(_SKIP)
        first = self.text[self.at : self.at + 1]
        if first in ('"', "'") and first:
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_PLAIN_VALUE)

    def _array(self, path: Path) -> None:
        """``[a, b]``, over one line or several."""
        self.at += 1
        nth = 0
        while True:
            self._skip(_SKIP)
            if self.at >= len(self.text) or self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._note((*path, nth))
            before = self.at
            self._value((*path, nth))
            self.at = max(self.at, before + 1)
            nth += 1

    def _inline_table(self, path: Path) -> None:
        """``{ a = 1, b.c = 2 }``."""
        self.at += 1
        while True:
            self._skip(_SKIP)
            if self.at >= len(self.text) or self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)


def _unquoted(text: str) -> str:
    """A quoted key's own text; the rare escapes in keys only cost a less exact line."""
    return text[1:-1]
