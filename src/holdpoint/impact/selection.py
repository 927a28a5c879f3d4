"""The rows that an UPDATE or DELETE picks, as queries that only read.

``DELETE FROM t USING u WHERE …`` becomes ``SELECT … FROM t WHERE EXISTS (SELECT FROM u WHERE …)``:
a row of ``t`` that several rows of ``u`` fit is changed once, and so it is counted once. The parts
are cut out of the statement's own text, then the grammar reads the new query and its trees must be
those of the statement: what was cut wrongly is not counted rather than counted wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from holdpoint.sql import grammar

Node = dict[str, Any]

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+ | --[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<opaque>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>\$?[0-9][A-Za-z0-9_.]*)
    | (?P<open>[(\[])
    | (?P<close>[)\]])
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_CLAUSES: Final = frozenset({"with", "delete", "update", "set", "from", "using", "where"})
_ENDS: Final = frozenset({"returning"})
# Built-ins that answer anew each time: what they pick now is not what they pick later.
_RANDOM: Final = frozenset(
    {"array_sample", "array_shuffle", "gen_random_uuid", "random", "random_normal", "uuidv4"}
)
_MODIFYING: Final = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# Where things stand in the text; two trees that differ in nothing else mean the same.
_PLACES: Final = frozenset(
    {"location", "stmt_location", "stmt_len", "list_start", "list_end"}
    | {"rexpr_list_start", "rexpr_list_end", "arg_location"}
)


class NotSelectable(Exception):
    """The rows cannot be picked by a query that only reads; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What an UPDATE or DELETE picks. All parts are texts of SQL.

    ``ctes`` is the statement's WITH clause or empty, ``table`` its target as written, ``alias`` the
    quoted name of the target in ``condition``. ``parameters`` are the numbers that occur.
    ``random`` is True when it picks other rows each time: then a count says little.
    """

    verb: str
    schema: str
    name: str
    ctes: str
    table: str
    alias: str
    condition: str
    parameters: frozenset[int]
    random: bool

    def query(self, targets: str) -> str:
        """``SELECT targets`` over the rows picked; what ``targets`` names is the table's."""
        return f"{self.ctes}\nSELECT {targets} FROM {self.table}\nWHERE {self.condition}\n"

    def keys(self, columns: Iterable[str]) -> str:
        """The query of some of their columns."""
        return self.query(", ".join(f"{self.alias}.{quoted(column)}" for column in columns))


def quoted(name: str) -> str:
    """A name as SQL reads it exactly."""
    return '"' + name.replace('"', '""') + '"'


def selection_of(text: str) -> Selection:
    """What the UPDATE or DELETE in ``text`` picks. Raises ``NotSelectable``."""
    node = _parsed(text)
    verb, kind, sources = _kind_of(node)
    statement: Node = node[kind]
    random = _check(statement)
    parts = _parts(text, verb)
    listed = parts.get("using" if verb == "DELETE" else "from", "")
    where = parts.get("where", "")
    condition = f"WHERE {where}" if where else ""
    relation: Node = statement["relation"]
    alias = relation.get("alias", {}).get("aliasname") or relation["relname"]
    if listed:
        condition = f"EXISTS (SELECT FROM {listed}\n{condition}\n)"
    made = Selection(
        verb=verb,
        schema=relation.get("schemaname", ""),
        name=relation["relname"],
        ctes=parts.get("with", ""),
        table=parts["table"],
        alias=quoted(alias),
        condition=condition if listed else where or "true",
        parameters=frozenset(_parameters(statement, ("whereClause", sources, "withClause"))),
        random=random,
    )
    _prove(made, statement, statement.get(sources))
    return made


def _parsed(text: str) -> Node:
    """The one statement of a text."""
    try:
        found = grammar.parse(text, grammar.encode(text))
    except (grammar.Refused, grammar.Unreadable) as error:
        raise NotSelectable("its text cannot be read again") from error
    if len(found) != 1:
        raise NotSelectable("it is not one statement")
    node: Node = found[0]["stmt"]
    return node


def _kind_of(node: Node) -> tuple[str, str, str]:
    """Verb, node type, and the field with the other tables."""
    if "DeleteStmt" in node:
        return "DELETE", "DeleteStmt", "usingClause"
    if "UpdateStmt" in node:
        return "UPDATE", "UpdateStmt", "fromClause"
    raise NotSelectable("only UPDATE and DELETE can be counted")


def _check(statement: Node) -> bool:
    """Refuse what would not be the same rows, or not only read; tell whether it is random."""
    random = False
    relation: Node = statement["relation"]
    ctes = [each["CommonTableExpr"] for each in statement.get("withClause", {}).get("ctes", [])]
    if not relation.get("schemaname") and any(
        each["ctename"] == relation["relname"] for each in ctes
    ):
        raise NotSelectable("a WITH query has the name of its table")
    fields = {key: value for key, value in statement.items() if key != "targetList"}
    fields.pop("returningClause", None)
    for key, value in _nodes(fields):
        if key in _MODIFYING:
            raise NotSelectable("a part of it changes rows by itself")
        if key == "CurrentOfExpr":
            raise NotSelectable("a cursor picks its row")
        if key == "lockingClause":
            raise NotSelectable("a part of it locks rows")
        if key == "RangeTableSample":
            random = True
        if key == "FuncCall" and value["funcname"][-1]["String"].get("sval") in _RANDOM:
            random = True
    return random


def _nodes(root: Any) -> Iterable[tuple[str, Any]]:
    """Every field below ``root`` with its name; without recursion, trees can be deep."""
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if isinstance(value, dict | list):
                    yield key, value
                    waiting.append(value)


def _parameters(statement: Node, fields: Iterable[str]) -> Iterable[int]:
    for key, value in _nodes([statement[field] for field in fields if field in statement]):
        if key == "ParamRef":
            yield int(value.get("number", 0))


def _parts(text: str, verb: str) -> dict[str, str]:
    """The clauses of the statement by the word that opens them; ``table`` is its target."""
    starts: list[tuple[str, int, int]] = []  # clause, where its word begins and ends
    end = len(text)
    before = ""
    for word, begin, behind in _words(text):
        low = word.lower()
        if low in _ENDS and before != "." and any(name == "table" for name, _, _ in starts):
            end = begin
            break
        if _opens(low, before, verb, [name for name, _, _ in starts]):
            name = "table" if low == ("from" if verb == "DELETE" else "update") else low
            already = any(known == "table" for known, _, _ in starts)
            starts.append((low if already else name, begin, behind))
        before = low
    parts: dict[str, str] = {}
    for at, (name, begin, behind) in enumerate(starts):
        stop = starts[at + 1][1] if at + 1 < len(starts) else end
        parts[name] = text[begin if name == "with" else behind : stop].strip()
    if "table" not in parts:
        raise NotSelectable("its clauses cannot be told apart")
    return {name: _ended(part) for name, part in parts.items()}


def _ended(part: str) -> str:
    """A comment to the end of its line must not swallow what follows."""
    return part + "\n" if "--" in part else part


def _opens(low: str, before: str, verb: str, seen: list[str]) -> bool:
    """Whether a word at depth 0 opens a clause that comes next."""
    if low not in _CLAUSES or before == ".":
        return False
    if "where" in seen or low in seen:  # JOIN ... USING is no clause of the statement
        return False
    if "table" not in seen:
        return low in ("with", "delete", "update") or (low == "from" and before == "delete")
    if low == "where":
        return True
    if verb == "DELETE":
        return low == "using"
    return low == "set" or (low == "from" and before != "distinct")


def _words(text: str) -> Iterable[tuple[str, int, int]]:
    """Words and signs outside brackets, quotes and comments, each with its place."""
    at = depth = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None, "the last alternative takes any character"
        kind, end = found.lastgroup, found.end()
        if kind == "comment":
            end = _behind_comment(text, at)
        elif kind == "dollar":
            close = text.find(found.group(), end)
            end = len(text) if close < 0 else close + len(found.group())
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        if depth == 0 and kind in ("word", "sign", "opaque", "number", "close", "dollar"):
            yield found.group(), at, end
        at = end


def _behind_comment(text: str, at: int) -> int:
    """Behind a comment that starts here; comments nest."""
    depth = 0
    while True:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
        if not depth:
            return at


def _prove(made: Selection, statement: Node, sources: Any) -> None:
    """The query's trees must be the statement's own."""
    select: Node = _parsed(made.query("true")).get("SelectStmt", {})
    where = statement.get("whereClause")
    found = select.get("whereClause")
    if sources:
        inner: Node = (found or {}).get("SubLink", {}).get("subselect", {}).get("SelectStmt", {})
        same = _alike(inner.get("fromClause"), sources) and _alike(inner.get("whereClause"), where)
    elif where is None:
        same = found is not None and "A_Const" in found
    else:
        same = _alike(found, where)
    same = same and _alike(select.get("withClause"), statement.get("withClause"))
    same = same and _alike(select.get("fromClause"), [{"RangeVar": statement["relation"]}])
    if not same or "groupClause" in select or select.get("op", "SETOP_NONE") != "SETOP_NONE":
        raise NotSelectable("its clauses cannot be told apart")


def _alike(one: Any, other: Any) -> bool:
    """Whether two trees differ in nothing but places."""
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            keys = left.keys() | right.keys()
            waiting.extend((left.get(key), right.get(key)) for key in keys - _PLACES)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            waiting.extend(zip(left, right, strict=True))
        elif left != right:
            return False
    return True
