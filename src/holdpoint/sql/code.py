"""What a body of code could run, as texts of SQL; and how they are collected."""

from __future__ import annotations

import re
from typing import Any, Final

from holdpoint.model.limits import CODE_STATEMENTS_MAX
from holdpoint.sql import grammar
from holdpoint.sql.walk import Node, plain_text

# An identifier as the server's lexer reads it, at the place that the grammar gives.
_NAME: Final = re.compile(rb'(?:[uU]&)?"(?:[^"]|"")*+"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+')


class Code:
    """Everything that a body could run, in no order that would mean anything.

    ``statements`` are texts that the grammar accepts; an expression is one as ``SELECT
    expression``, and most are one statement. ``unknowns`` say in words what cannot be read; where
    there are any, ``statements`` may lack some. ``ends_transactions`` tells of COMMIT and ROLLBACK,
    ``moves_cursors`` of FETCH and MOVE, which may run any portal of the session. Loops repeat
    statements: a number of rows that one of them cannot pass is no bound on the body.
    """

    def __init__(
        self,
        statements: tuple[str, ...] = (),
        unknowns: tuple[str, ...] = (),
        ends_transactions: bool = False,
        moves_cursors: bool = False,
    ) -> None:
        self.statements: Final = statements
        self.unknowns: Final = unknowns
        self.ends_transactions: Final = ends_transactions
        self.moves_cursors: Final = moves_cursors


class Collector:
    """Takes what a reader finds in a body and makes ``Code`` of it. Lines are the body's, from 1.

    ``variables`` are the names under which the code around it hands values to SQL; ``labels`` are
    those of blocks, loops and the function, with which variables may be qualified. With
    ``columns_win`` a name that is also a column's means the column, so either may be meant.
    """

    def __init__(self) -> None:
        self.variables: set[str] = set()
        self.labels: set[str] = set()
        self.columns_win = False
        self.ends_transactions = False
        self.moves_cursors = False
        # Text to its line and whether the body's variables can be named in it.
        self._found: dict[tuple[str, bool], int] = {}
        self._unknowns: dict[str, None] = {}

    def unknown(self, words: str) -> None:
        """Say in ``words``, which follow the name of the code, what cannot be read."""
        self._unknowns[words] = None

    def sql(self, text: str, line: int, names_variables: bool = True) -> None:
        """One or more statements that the body runs."""
        if len(self._found) < CODE_STATEMENTS_MAX:
            self._found.setdefault((text, names_variables), line)
        else:
            self.unknown(f"runs more than {CODE_STATEMENTS_MAX:,} statements")

    def expression(self, text: str, line: int) -> None:
        """An expression, or what else may stand behind SELECT."""
        self.sql(f"SELECT {text}", line)

    def dynamic(self, text: str, line: int) -> None:
        """The expression whose value is run as SQL: a constant is known, nothing else is."""
        constant = constant_of(text)
        if constant is None:
            self.expression(text, line)
            self.unknown(f"builds SQL while it runs, in line {line}")
        else:
            self.sql(constant, line, False)

    def code(self) -> Code:
        """Check all texts with the grammar and give what was found."""
        statements: dict[str, None] = {}
        for (text, names_variables), line in self._found.items():
            try:
                nodes = grammar.parse(text, grammar.encode(text))
            except (grammar.Refused, grammar.Unreadable) as error:
                self.unknown(f"has SQL in line {line} that cannot be read: {error}")
                continue
            if names_variables:
                given = with_parameters(text, nodes, self.variables, self.labels)
                statements[given] = None
            if self.columns_win or not names_variables:
                statements[text] = None
        return Code(
            tuple(statements), tuple(self._unknowns), self.ends_transactions, self.moves_cursors
        )


def is_sql(text: str) -> bool:
    """Whether the grammar accepts ``text``; what is too long or too deep is not refused by it."""
    try:
        grammar.parse(text, grammar.encode(text))
    except grammar.Refused:
        return False
    except grammar.Unreadable:
        return True
    return True


def constant_of(expression: str) -> str | None:
    """The value of an expression that is one constant text; None for any other."""
    text = f"SELECT {expression}"
    try:
        nodes = grammar.parse(text, grammar.encode(text))
    except (grammar.Refused, grammar.Unreadable):
        return None
    query: Node | None = nodes[0]["stmt"].get("SelectStmt") if len(nodes) == 1 else None
    if query is None or not query.keys() <= {"targetList", "limitOption", "op"}:
        return None
    targets: list[Node] = query.get("targetList", [])
    return plain_text(targets[0]["ResTarget"].get("val")) if len(targets) == 1 else None


def with_parameters(text: str, nodes: list[Node], variables: set[str], labels: set[str]) -> str:
    """``text`` with ``$1`` for each column's name, or the first part of it, that is a variable's.

    ``nodes`` are its parse. ``labels`` stand before a variable's name, with a dot. Nothing is known
    of ``$1``, so this is the careful reading unless a column could be meant as well.
    """
    lower = text.lower()
    if '"' not in text and not any(name.lower() in lower for name in variables | labels):
        return text
    data = text.encode()
    parts: list[bytes] = []
    done = 0
    for place in sorted(_places(nodes, variables, labels)):
        match = _NAME.match(data, place)
        if match is not None and place >= done:
            parts.append(data[done:place])
            parts.append(b"$1")
            done = match.end()
    parts.append(data[done:])
    return b"".join(parts).decode()


def _places(nodes: list[Node], variables: set[str], labels: set[str]) -> set[int]:
    """Where, in bytes, columns are named that begin with a variable or a label."""
    places: set[int] = set()
    stack: list[Any] = [*nodes]
    while stack:
        item = stack.pop()
        if type(item) is list:
            stack.extend(item)
            continue
        node: Node = item
        for key, value in node.items():
            if key == "ColumnRef":
                fields: list[Node] = value["fields"]
                name: str = fields[0].get("String", {}).get("sval", "")
                if name in variables or (len(fields) > 1 and name in labels):
                    places.add(value.get("location", 0))
            elif type(value) is dict or type(value) is list:
                stack.append(value)
    return places
