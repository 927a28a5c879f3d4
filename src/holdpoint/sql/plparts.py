"""The parts that PL/pgSQL's statements are made of: names, expressions, declarations, blocks."""

from __future__ import annotations

from typing import Final

from holdpoint.sql.code import Collector
from holdpoint.sql.tokens import END, NAME, OTHER, RESERVED, STRING, Tokens, is_word

SEMICOLON: Final = frozenset((";",))
"""What ends most expressions."""
ASSIGN: Final = frozenset((":=", "="))
"""The signs between a variable and its value."""
_ARGUMENT: Final = frozenset((",", ")"))
_TYPE_SIGNS: Final = frozenset((".", "%", "[", "]", NAME, OTHER))
_LABELLED: Final = frozenset(("declare", "begin", "loop", "while", "for", "foreach"))


class Unclear(Exception):
    """The body is not as the grammar says; the message tells where."""


class Reader:
    """Goes through the tokens of a body.

    ``frames`` are the constructs that are open, outermost first: block, handlers (a block behind
    its EXCEPTION), if, loop, case.
    """

    def __init__(self, tokens: Tokens, found: Collector) -> None:
        self.tokens = tokens
        self.kinds = tokens.kinds
        self.found = found
        self.variables = found.variables
        self.frames: list[str] = []
        self.at = 0

    # --- small steps ------------------------------------------------------------------------------

    def unclear(self) -> Unclear:
        """What to raise where the grammar ends."""
        line = self.tokens.line(min(self.at, len(self.kinds) - 1))
        return Unclear(f"has code that is not understood, in line {line}")

    def is_next(self, kind: str) -> bool:
        """Whether the next token is ``kind``; a word with a dot behind it is a name, no keyword."""
        at = self.at
        if self.kinds[at] != kind:
            return False
        return kind in RESERVED or not is_word(kind) or self.kinds[at + 1] != "."

    def skip(self, kind: str) -> bool:
        """Go over the next token if it is ``kind``."""
        if not self.is_next(kind):
            return False
        self.at += 1
        return True

    def expect(self, *kinds: str) -> None:
        """Go over these tokens."""
        for kind in kinds:
            if not self.skip(kind):
                raise self.unclear()

    def one_name(self) -> str:
        """Go over a name without dots."""
        if not self.tokens.is_name(self.at):
            raise self.unclear()
        self.at += 1
        return self.tokens.name(self.at - 1)

    def target(self) -> str:
        """Go over the name of a variable, of up to three parts; give the first of them."""
        name = self.one_name()
        for _ in range(2):
            if self.kinds[self.at] != ".":
                break
            self.at += 1
            self.one_name()
        return name

    def targets(self) -> list[str]:
        """Go over a list of variables."""
        names = [self.target()]
        while self.skip(","):
            names.append(self.target())
        return names

    def until(self, ends: frozenset[str]) -> tuple[int, int]:
        """Go behind the next of ``ends`` outside brackets; tell which tokens lie before it."""
        first = self.at
        depth = 0
        while True:
            kind = self.kinds[self.at]
            if depth == 0 and kind in ends:
                break
            if kind in ("(", "["):
                depth += 1
            elif kind in (")", "]"):
                depth -= 1
            if depth < 0 or kind in (";", END):
                raise self.unclear()
            self.at += 1
        if self.at == first:
            raise self.unclear()
        self.at += 1
        return first, self.at - 1

    def expression(self, ends: frozenset[str]) -> str:
        """Collect an expression; give the token that ended it."""
        first, behind = self.until(ends)
        text = self.tokens.text(first, behind)
        self.found.expression(text, self.tokens.line(first))
        return self.kinds[behind]

    def query(self) -> None:
        """Collect a statement that ends at the semicolon and has no INTO of PL/pgSQL."""
        first, behind = self.until(SEMICOLON)
        self.found.sql(self.tokens.text(first, behind), self.tokens.line(first))

    def expressions(self, ends: frozenset[str]) -> str:
        """Collect a list of expressions with commas between them; give the token behind it."""
        ends = ends | {","}
        end = self.expression(ends)
        while end == ",":
            end = self.expression(ends)
        return end

    def dynamic(self, ends: frozenset[str]) -> str:
        """Collect what EXECUTE runs; give the token behind its text."""
        first, behind = self.until(ends)
        self.found.dynamic(self.tokens.text(first, behind), self.tokens.line(first))
        return self.kinds[behind]

    # --- blocks -----------------------------------------------------------------------------------

    def option(self) -> None:
        """``#variable_conflict use_column`` and its kin, a word and a value."""
        self.at += 1
        if self.kinds[self.at] not in ("option", "print_strict_params", "variable_conflict"):
            raise self.unclear()
        self.at += 1
        if self.one_name() == "use_column":
            self.found.columns_win = True

    def label(self) -> None:
        """``<<name>>`` before a block or a loop; variables can be named with it."""
        self.expect("<<")
        self.found.labels.add(self.one_name())
        self.expect(">>")
        if self.kinds[self.at] not in _LABELLED:
            raise self.unclear()

    def block(self) -> None:
        """DECLARE with its declarations, if any, and BEGIN."""
        if self.skip("declare"):
            while not self.is_next("begin"):
                if not self.skip("declare"):
                    self.declaration()
        self.expect("begin")
        self.frames.append("block")

    def declaration(self) -> None:
        """A variable, an alias or a cursor."""
        self.variables.add(self.one_name())
        if self.skip("alias"):
            self.expect("for")
            self.target()
            self.expect(";")
            return
        if self.is_next("no") or self.is_next("scroll") or self.is_next("cursor"):
            self.cursor()
            return
        self.skip("constant")
        self.data_type()
        if self.skip("collate"):
            self.target()
        if self.skip("not"):
            self.expect("null")
        if self.kinds[self.at] in ASSIGN or self.is_next("default"):
            self.at += 1
            self.expression(SEMICOLON)
        else:
            self.expect(";")

    def data_type(self) -> None:
        """A type, collected as a cast: a domain's checks run when a variable gets its value."""
        first = self.at
        depth = 0
        while depth or self.kinds[self.at] not in (";", ",", ")", ":=", "=", "not"):
            kind = self.kinds[self.at]
            if depth == 0 and (self.is_next("collate") or self.is_next("default")):
                break
            if kind in (";", END, STRING):
                raise self.unclear()
            depth += (kind == "(") - (kind == ")")
            self.at += 1
        if self.at == first:
            raise self.unclear()
        used = self.kinds[first : self.at]
        if "%" not in used:
            text = self.tokens.text(first, self.at)
            self.found.expression(f"CAST(NULL AS {text})", self.tokens.line(first))
        elif not all(kind in _TYPE_SIGNS or is_word(kind) for kind in used):
            raise self.unclear()

    def cursor(self) -> None:
        """``[NO SCROLL] CURSOR [(arguments)] FOR query``."""
        self.skip("no")
        self.skip("scroll")
        self.expect("cursor")
        if self.skip("("):
            while True:
                self.variables.add(self.one_name())
                self.data_type()
                if not self.skip(","):
                    break
            self.expect(")")
        if not self.skip("is"):
            self.expect("for")
        self.query()

    def end(self) -> None:
        """The end of what was opened last, with the label it may repeat."""
        frame = self.frames.pop()
        self.expect("end")
        if frame in ("if", "loop", "case"):
            self.expect(frame)
        if frame not in ("if", "case") and self.tokens.is_name(self.at):
            self.at += 1
        if self.frames:
            self.expect(";")

    def arguments(self) -> None:
        """``(value, name := value)`` behind a cursor's name."""
        self.expect("(")
        end = ","
        while end == ",":
            if self.tokens.is_name(self.at) and self.kinds[self.at + 1] in (":=", "=>"):
                self.at += 2
            end = self.expression(_ARGUMENT)
