"""What is wrong with a configuration, in words and with its place. All of it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdpoint.config.locate import Lines, Path

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``line`` counts from 1, 0 when the file has no such line."""

    file: str
    line: int
    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """``targets.app.tiers.main, line 7: unknown access `x`; did you mean `y`?``."""
        where = f"{self.place}, line {self.line}" if self.place else f"line {self.line}"
        where = where if self.line else self.place or self.file
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}: {self.message}{hint}"


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` holds every reason, never none."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems, "an error has a reason"
        self.problems = tuple(problems)
        super().__init__(self.report())

    def report(self) -> str:
        """All problems as people read them."""
        lines = [f"{self.problems[0].file} is not valid"]
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


class Notes:
    """Collects problems and advice while a file is read; knows the line of every path."""

    def __init__(self, file: str, lines: Lines) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []
        self.advice: list[Problem] = []

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        """Note what makes the file unusable."""
        self.problems.append(self._made(path, message, hint))

    def advise(self, path: Path, message: str, hint: str = "") -> None:
        """Note what works but should not stay."""
        self.advice.append(self._made(path, message, hint))

    def _made(self, path: Path, message: str, hint: str) -> Problem:
        return Problem(self.file, self.lines.of(path), place_of(path), message, hint)

    def raise_any(self) -> None:
        """Raise ``ConfigError`` with all problems in the order of the file, if there are any."""
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise ConfigError(sorted(unique, key=lambda problem: (problem.line, problem.place)))


def place_of(path: Path) -> str:
    """``rules[2].when.effect``; list members count from 1, as people do."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part + 1}]"
            continue
        name = part if _BARE.fullmatch(part) else '"' + part.replace('"', '\\"') + '"'
        words += f".{name}" if words else name
    return words
