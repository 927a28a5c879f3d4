"""PL/pgSQL, read statement by statement: every SQL text that a body could run.

The grammar is that of the PostgreSQL manual, chapter 41, in all versions from 13 to 18, cut into
tokens by the server's own lexer. Why not by libpg_query's PL/pgSQL parser: docs/decisions/0005.

Nothing is executed in mind: code after RETURN and branches that are never taken count. Whatever
does not follow the grammar ends the reading with a word of doubt, ``unknowns``; the server refuses
such a body as a whole, or Holdpoint does not know its version of the language.

Which names are variables is only followed where it matters for what a statement does: where SQL has
a column, a name that is a variable's, or a label's before it, becomes ``$1``. So ``DELETE FROM t
WHERE done`` has no filter where ``done`` is a variable, nor ``WHERE t.done`` in a block ``<<t>>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdpoint.model.limits import CODE_CHARS_MAX
from holdpoint.sql import grammar
from holdpoint.sql.code import Code, Collector, is_sql
from holdpoint.sql.plparts import ASSIGN, SEMICOLON, Reader, Unclear
from holdpoint.sql.tokens import END, OTHER, RESERVED, STRING, Tokens, is_word

_THEN: Final = frozenset(("then",))
_LOOP: Final = frozenset(("loop",))
_WHEN: Final = frozenset(("when",))
_ITEM: Final = frozenset((",", ";"))
_BRACKET: Final = frozenset(("]",))
_LEVELS: Final = frozenset(("exception", "warning", "notice", "info", "log", "debug"))
_DIRECTIONS: Final = frozenset(
    ("next", "prior", "first", "last", "absolute", "relative", "forward", "backward", "all")
)
_BLOCK: Final = "inline_code_block"  # what PL/pgSQL calls the code of DO
_ALWAYS: Final = ("found", "sqlstate", "sqlerrm")
_OF_TRIGGERS: Final = (
    "new old tg_name tg_when tg_level tg_op tg_relid tg_relname tg_table_name tg_table_schema "
    "tg_nargs tg_argv tg_event tg_tag"
)


def code_of(body: str, names: tuple[str, ...] = (), function: str = _BLOCK) -> Code:
    """Everything that ``body`` of ``function`` could run; ``names`` are those of its arguments.

    Never raises: what cannot be read is in ``unknowns``, and then ``statements`` may lack some.
    """
    if len(body) > CODE_CHARS_MAX:
        return Code(unknowns=(f"has a body of more than {CODE_CHARS_MAX:,} characters",))
    collected = Collector()
    collected.variables.update(_ALWAYS, names)
    collected.labels.add(function)
    try:
        _Statements(Tokens(body), collected).whole()
    except Unclear as unclear:
        collected.unknown(str(unclear))
    except (grammar.Refused, grammar.Unreadable) as error:
        collected.unknown(f"has a body that cannot be read: {error}")
    return collected.code()


def trigger_code_of(body: str, function: str = _BLOCK) -> Code:
    """Everything that the body of a trigger's function could run."""
    return code_of(body, tuple(_OF_TRIGGERS.split()), function)


class _Statements(Reader):
    """Goes through a body once, statement by statement."""

    def whole(self) -> None:
        """The body: options, one block, maybe a semicolon."""
        while self.kinds[self.at] == "#":
            self.option()
        if self.kinds[self.at] == "<<":
            self.label()
        self.block()
        while self.frames:
            self.statement()
        self.skip(";")
        if self.kinds[self.at] != END:
            raise self.unclear()

    def statement(self) -> None:
        """One statement, or the word that ends or goes on with what is open."""
        kind = self.kinds[self.at]
        if kind == "<<":
            self.label()
            kind = self.kinds[self.at]
        elif self.tokens.is_name(self.at) and self.kinds[self.at + 1] in (":=", "=", "[", "."):
            self.assignment()
            return
        handler = _STATEMENTS.get(kind)
        if handler is not None:
            handler(self)
        elif is_word(kind) and kind not in RESERVED:
            self.sql()
        else:
            raise self.unclear()

    def assignment(self) -> None:
        """``name := expression``; subscripts on the way are expressions too."""
        first = self.at
        self.at += 1
        subscripts = False
        while self.kinds[self.at] in (".", "["):
            if self.skip("["):
                subscripts = True
                self.until(_BRACKET)
            elif self.kinds[self.at + 1] == END:
                raise self.unclear()
            else:
                self.at += 2
        if self.kinds[self.at] not in ASSIGN:
            raise self.unclear()
        if subscripts:
            text = self.tokens.text(first, self.at)
            self.found.expression(text, self.tokens.line(first))
        self.at += 1
        self.expression(SEMICOLON)

    def sql(self) -> None:
        """A statement of SQL, without the ``INTO target`` that PL/pgSQL takes out of it.

        INTO behind INSERT or MERGE, and anywhere in IMPORT FOREIGN SCHEMA, belongs to SQL.
        """
        first = at = self.at
        parts: list[str] = []
        into = False
        while self.kinds[self.at] != ";":
            kind = self.kinds[self.at]
            before = self.kinds[self.at - 1] if self.at > first else ""
            if kind == END:
                raise self.unclear()
            if kind != "into" or self.kinds[first] == "import":
                self.at += 1
                continue
            if before in ("insert", "merge"):
                if self.at > first + 1 and self.kinds[self.at - 2] == ".":
                    raise self.unclear()  # the server's lexer decides whose INTO this is
                self.at += 1
                continue
            if into:
                raise self.unclear()
            into = True
            parts.append(self.tokens.text(at, self.at))
            self.into()
            at = self.at
        parts.append(self.tokens.text(at, self.at))
        self.found.sql(" ".join(parts), self.tokens.line(first))
        self.at += 1

    def into(self) -> None:
        """``INTO [STRICT] targets``."""
        self.expect("into")
        self.skip("strict")
        self.targets()

    def plain(self) -> None:
        """CALL and DO: statements of SQL; an INTO in them is none of PL/pgSQL's."""
        self.query()

    def perform(self) -> None:
        """PERFORM is SELECT by another name."""
        self.at += 1
        self.expression(SEMICOLON)

    def if_then(self) -> None:
        """IF, and ELSIF with its other spelling."""
        if self.kinds[self.at] == "if":
            self.frames.append("if")
        elif self.frames[-1] != "if":
            raise self.unclear()
        self.at += 1
        self.expression(_THEN)

    def otherwise(self) -> None:
        """ELSE, of IF or CASE."""
        if self.frames[-1] not in ("if", "case"):
            raise self.unclear()
        self.at += 1

    def case(self) -> None:
        """CASE, with or without an expression."""
        self.at += 1
        if not self.is_next("when"):
            self.expression(_WHEN)
            self.at -= 1
        self.frames.append("case")

    def when(self) -> None:
        """WHEN, of CASE or of a block's handlers."""
        self.at += 1
        if self.frames[-1] == "case":
            self.expressions(_THEN)
            return
        if self.frames[-1] != "handlers":
            raise self.unclear()
        while True:
            if self.one_name() == "sqlstate":
                self.expect(STRING)
            if self.skip("then"):
                return
            self.expect("or")

    def exception(self) -> None:
        """EXCEPTION: from here on the block has handlers only."""
        if self.frames[-1] != "block":
            raise self.unclear()
        self.frames[-1] = "handlers"
        self.at += 1
        if not self.is_next("when"):
            raise self.unclear()

    def loop(self) -> None:
        """LOOP."""
        self.at += 1
        self.frames.append("loop")

    def while_loop(self) -> None:
        """WHILE condition LOOP."""
        self.at += 1
        self.expression(_LOOP)
        self.frames.append("loop")

    def for_loop(self) -> None:
        """FOR over whole numbers, a cursor, a query or dynamic SQL."""
        self.at += 1
        self.variables.update(self.targets())
        self.expect("in")
        if self.skip("execute"):
            if self.dynamic(frozenset(("loop", "using"))) == "using":
                self.expressions(_LOOP)
        else:
            self.skip("reverse")
            first, behind = self.until(frozenset(("..", "loop")))
            text = self.tokens.text(first, behind)
            if self.kinds[behind] == "..":
                self.found.expression(text, self.tokens.line(first))
                if self.expression(frozenset(("loop", "by"))) == "by":
                    self.expression(_LOOP)
            elif is_sql(text):
                self.found.sql(text, self.tokens.line(first))
            else:
                self.bound_cursor(first, behind)
        self.frames.append("loop")

    def bound_cursor(self, first: int, behind: int) -> None:
        """``FOR row IN cursor(arguments) LOOP``; the cursor's query was read where it is declared.

        A cursor whose name makes this a query as well (``values (f())``) was read as that query.
        """
        self.at = first
        self.target()
        if self.is_next("("):
            self.arguments()
        if self.at != behind:
            raise self.unclear()
        self.at += 1

    def for_each(self) -> None:
        """FOREACH over the elements or slices of an array."""
        self.at += 1
        self.variables.update(self.targets())
        if self.skip("slice"):
            self.expect(OTHER)
        self.expect("in", "array")
        self.expression(_LOOP)
        self.frames.append("loop")

    def leave(self) -> None:
        """EXIT and CONTINUE."""
        self.at += 1
        if self.tokens.is_name(self.at):
            self.at += 1
        if self.skip("when"):
            self.expression(SEMICOLON)
        else:
            self.expect(";")

    def give_back(self) -> None:
        """RETURN, RETURN NEXT, RETURN QUERY."""
        self.at += 1
        if self.skip("query"):
            if not self.skip("execute"):
                self.query()
            elif self.dynamic(frozenset((";", "using"))) == "using":
                self.expressions(SEMICOLON)
            return
        self.skip("next")
        if not self.skip(";"):
            self.expression(SEMICOLON)

    def say(self) -> None:
        """RAISE: a message with its parameters, or a condition; then options."""
        self.at += 1
        for level in _LEVELS:
            if self.skip(level):
                break
        end = ";"
        if self.skip(STRING):
            end = self.kinds[self.at]
            self.at += 1
            if end == ",":
                end = self.expressions(frozenset((";", "using")))
        elif not self.is_next(";"):
            if not self.is_next("using") and self.one_name() == "sqlstate":
                self.expect(STRING)
            end = self.kinds[self.at]
            self.at += 1
        else:
            self.at += 1
        while end in ("using", ","):
            self.one_name()
            if self.kinds[self.at] not in ASSIGN:
                raise self.unclear()
            self.at += 1
            end = self.expression(_ITEM)
        if end != ";":
            raise self.unclear()

    def claim(self) -> None:
        """ASSERT."""
        self.at += 1
        self.expressions(SEMICOLON)

    def execute(self) -> None:
        """EXECUTE, with INTO and USING in either order."""
        self.at += 1
        end = self.dynamic(frozenset(("into", "using", ";")))
        while end != ";":
            if end == "into":
                self.at -= 1
                self.into()
                end = self.kinds[self.at]
                self.at += 1
            elif end == "using":
                end = self.expressions(frozenset(("into", ";")))
            else:
                raise self.unclear()

    def diagnostics(self) -> None:
        """GET DIAGNOSTICS puts facts about the last statement into variables."""
        self.at += 1
        if not self.skip("current"):
            self.skip("stacked")
        self.expect("diagnostics")
        while True:
            self.target()
            if self.kinds[self.at] not in ASSIGN:
                raise self.unclear()
            self.at += 1
            self.one_name()
            if not self.skip(","):
                break
        self.expect(";")

    def open_cursor(self) -> None:
        """OPEN, of a declared cursor or with a query of its own."""
        self.at += 1
        self.target()
        if self.is_next("("):
            self.arguments()
        self.skip("no")
        self.skip("scroll")
        if self.skip(";"):
            return
        self.expect("for")
        if not self.skip("execute"):
            self.query()
        elif self.dynamic(frozenset((";", "using"))) == "using":
            self.expressions(SEMICOLON)

    def fetch(self) -> None:
        """FETCH and MOVE: how far may be an expression; the cursor's query was read already."""
        self.found.moves_cursors = True
        is_fetch = self.kinds[self.at] == "fetch"
        self.at += 1
        first = self.at
        _, behind = self.until(frozenset(("from", "in", "into", ";")))
        if self.kinds[behind] in ("from", "in"):
            if self.kinds[first] in _DIRECTIONS:
                first += 1
            if self.kinds[first] == "all":
                first += 1
            if first < behind:
                text = self.tokens.text(first, behind)
                self.found.expression(text, self.tokens.line(first))
        else:
            self.at = first
        self.target()
        if is_fetch:
            self.into()
        self.expect(";")

    def close(self) -> None:
        """CLOSE."""
        self.at += 1
        self.target()
        self.expect(";")

    def nothing(self) -> None:
        """NULL."""
        self.expect("null", ";")

    def end_transaction(self) -> None:
        """COMMIT and ROLLBACK: what was held together no longer is."""
        self.at += 1
        if self.skip("and"):
            self.skip("no")
            self.expect("chain")
        self.expect(";")
        self.found.ends_transactions = True


_STATEMENTS: Final[dict[str, Callable[[_Statements], None]]] = {
    "assert": _Statements.claim,
    "begin": _Statements.block,
    "call": _Statements.plain,
    "case": _Statements.case,
    "close": _Statements.close,
    "commit": _Statements.end_transaction,
    "continue": _Statements.leave,
    "declare": _Statements.block,
    "do": _Statements.plain,
    "else": _Statements.otherwise,
    "elseif": _Statements.if_then,
    "elsif": _Statements.if_then,
    "end": _Statements.end,
    "exception": _Statements.exception,
    "execute": _Statements.execute,
    "exit": _Statements.leave,
    "fetch": _Statements.fetch,
    "for": _Statements.for_loop,
    "foreach": _Statements.for_each,
    "get": _Statements.diagnostics,
    "if": _Statements.if_then,
    "loop": _Statements.loop,
    "move": _Statements.fetch,
    "null": _Statements.nothing,
    "open": _Statements.open_cursor,
    "perform": _Statements.perform,
    "raise": _Statements.say,
    "return": _Statements.give_back,
    "rollback": _Statements.end_transaction,
    "when": _Statements.when,
    "while": _Statements.while_loop,
}
"""The words that begin a statement; all others begin one of SQL."""
