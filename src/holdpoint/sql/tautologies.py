"""Comparisons and alternatives that every row meets: what ``filters`` asks about single tests.

Only what the text alone shows: a pattern that matches every text, a bound that every value keeps,
an alternative together with its opposite. Doubt about a pattern means that it bounds: the row
count, asked before such a statement runs, sees the rest.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from holdpoint.model.limits import NESTING_DEPTH_MAX
from holdpoint.sql.walk import Node, constant, strings

Test = tuple[str, str, str]  # (column, operator, the other side as text)

OPPOSITE: Final[dict[str, str]] = {
    "=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">",
    "~~": "!~~", "!~~": "~~", "~": "!~", "!~": "~", "~~*": "!~~*", "!~~*": "~~*",
    "~*": "!~*", "!~*": "~*",
}  # fmt: skip
"""Operators to what ``NOT`` makes of them."""

MIRRORED: Final[dict[str, str]] = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""Operators to the one that says the same with the sides exchanged."""

_LIKE: Final = frozenset(("~~", "~~*"))
_REGEX: Final = frozenset(("~", "~*"))
_UP: Final = frozenset((">", ">="))
_DOWN: Final = frozenset(("<", "<="))
_INFINITY: Final = frozenset(("infinity", "+infinity", "inf", "+inf"))
_PATTERN_CALLS: Final = frozenset(("like_escape", "similar_to_escape"))
_PATTERN_MAX: Final = 200  # characters; longer expressions are taken to bound

# A sequence of pieces that may all be empty: it matches at the start of every text.
_EMPTY_PIECES: Final = re.compile(
    r"\^?+(?:(?:\\.|\[[^\]]++\]|\([^()|]*+\)|[^\\\[\](){}*+?|^$])(?:\*|\?|\{0[^}]*+\})\??+)*+\$?+",
    re.DOTALL,
)


def _any_text(pattern: str) -> bool:
    """Whether a regular expression matches every text, where that is easy to see."""
    if len(pattern) > _PATTERN_MAX:
        return False
    if pattern.startswith("(") and pattern.endswith(")") and "(" not in pattern[1:]:
        pattern = pattern[1:-1].removeprefix("?:")
    if "(" not in pattern and "[" not in pattern and "\\" not in pattern and "|" in pattern:
        return any(_any_text(part) for part in pattern.split("|"))
    if not _EMPTY_PIECES.fullmatch(pattern):
        return False
    is_closed = pattern.startswith("^") and pattern.endswith("$") and len(pattern) > 1
    return not is_closed or ".*" in pattern


def _meets_all(symbol: str, value: str, is_similar: bool) -> bool:
    """Whether ``x symbol value`` holds for every x that is not NULL."""
    if is_similar or symbol in _LIKE:
        return value != "" and value.strip("%") == ""
    if symbol in _REGEX:
        return _any_text(value)
    if symbol == "^@":
        return value == ""
    word = value.strip().lower()
    if symbol in _UP:
        return word in ("-infinity", "-inf") or (symbol == ">=" and value == "")
    return symbol in _DOWN and word in _INFINITY


def _values(node: Any) -> list[Any]:
    """The operands a list compares with: ``ARRAY[...]``, ``'{...}'`` or ``(...)``."""
    inner = node
    while isinstance(inner, dict) and "TypeCast" in inner:
        inner = inner["TypeCast"].get("arg")
    if isinstance(inner, list):
        return inner
    if isinstance(inner, dict):
        for kind, field in (("A_ArrayExpr", "elements"), ("List", "items")):
            if kind in inner:
                found: list[Any] = inner[kind].get(field, [])
                return found
    text = constant(inner)
    if text is None or not text.startswith("{"):
        return [node]
    body = text.strip().strip("{}").strip()
    parts = [part.strip().strip('"') for part in body.split(",")] if body else []
    return [{"A_Const": {"sval": {"sval": part}}} for part in parts]


def _pattern(node: Any) -> str | None:
    """The constant a test compares with, also inside ``ESCAPE`` and ``SIMILAR TO``."""
    call: Node = node.get("FuncCall", {}) if isinstance(node, dict) else {}
    if call and strings(call["funcname"])[-1] in _PATTERN_CALLS:
        return constant(call["args"][0])
    return constant(node)


def meets_everything(node: Node, negated: bool) -> bool:
    """Whether the comparison ``node`` (an A_Expr) holds for every value that is not NULL."""
    kind: str = node["kind"]
    symbol: str = strings(node["name"])[-1]
    other = node.get("rexpr")
    if _pattern(node.get("lexpr")) is not None and kind == "AEXPR_OP":
        symbol, other = MIRRORED.get(symbol, ""), node.get("lexpr")
    if negated:
        symbol = OPPOSITE.get(symbol, "")
    if kind in ("AEXPR_OP_ANY", "AEXPR_OP_ALL"):
        every = (kind == "AEXPR_OP_ALL") != negated
        found = [_pattern(value) for value in _values(other)]
        met = [value is not None and _meets_all(symbol, value, False) for value in found]
        return all(met) if every else any(met)
    if kind not in ("AEXPR_OP", "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
        return False
    value = _pattern(other)
    is_similar = kind == "AEXPR_SIMILAR" and not symbol.startswith("!")
    return value is not None and _meets_all(symbol, value, is_similar)


def list_items(node: Node) -> list[Any]:
    """The operands of ``IN`` and ``ANY`` lists; nothing for other comparisons."""
    if node["kind"] in ("AEXPR_IN", "AEXPR_OP_ANY"):
        return _values(node.get("rexpr"))
    return []


_LOCATION: Final = re.compile(rb'"\w*(?:location|list_start|list_end)":-?\d+,?')
_KINDS: Final[dict[str, tuple[str, bool]]] = {
    # kind of comparison: (kind it is the opposite of or is itself, whether it is the opposite)
    "AEXPR_NOT_BETWEEN": ("AEXPR_BETWEEN", True),
    "AEXPR_NOT_BETWEEN_SYM": ("AEXPR_BETWEEN_SYM", True),
    "AEXPR_NOT_DISTINCT": ("AEXPR_DISTINCT", True),
    "AEXPR_OP_ALL": ("AEXPR_OP_ANY", False),  # with the opposite operator, which turns it
}
_SAME_AS_INSIDE: Final[dict[str, bool]] = {
    # kind of truth test: whether it is the opposite of what is inside (NULL aside)
    "IS_TRUE": False,
    "IS_NOT_FALSE": False,
    "IS_FALSE": True,
    "IS_NOT_TRUE": True,
}


def _signed(node: Node, negated: bool) -> tuple[bytes, bool]:
    """A test as text without its NOT, and whether it had one."""
    test: Node = node.get("BooleanTest", {})
    if test and test["booltesttype"] in _SAME_AS_INSIDE:
        node, negated = test["arg"], negated != _SAME_AS_INSIDE[test["booltesttype"]]
    null: Node = node.get("NullTest", {})
    compared: Node = node.get("A_Expr", {})
    if null and null["nulltesttype"] == "IS_NOT_NULL":
        node = {"NullTest": {**null, "nulltesttype": "IS_NULL"}}
        negated = not negated
    elif compared:
        kind, turned = _KINDS.get(compared["kind"], (compared["kind"], False))
        symbol: str = strings(compared["name"])[-1]
        opposite = OPPOSITE.get(symbol, symbol)
        # `= ANY` is the opposite of `<> ALL`, but not of `<> ANY`.
        is_all = compared["kind"] == "AEXPR_OP_ALL" and symbol in OPPOSITE
        if is_all or (symbol > opposite and kind != "AEXPR_OP_ANY"):
            symbol, turned = opposite, not turned
        symbol = symbol.removeprefix("NOT ")
        name = [{"String": {"sval": symbol}}]
        node = {"A_Expr": {**compared, "kind": kind, "name": name}}
        negated = negated != turned
    try:
        return _LOCATION.sub(b"", orjson.dumps(node, option=orjson.OPT_SORT_KEYS)), negated
    except orjson.JSONEncodeError:  # too deep to be written: equal to nothing
        return str(id(node)).encode(), negated


def has_opposites(alternatives: list[tuple[Node, bool]]) -> bool:
    """Whether a test stands beside its own negation, however either is written."""
    seen: set[tuple[bytes, bool]] = set()
    for node, negated in alternatives:
        text, sign = _signed(node, negated)
        if (text, not sign) in seen:
            return True
        seen.add((text, sign))
    return False


def _number(text: str) -> str:
    """``1``, ``1.0`` and ``'01'`` are one number."""
    try:
        return str(float(text.removeprefix("'")))
    except ValueError:
        return text


def _less(low: str, high: str) -> bool:
    """Whether the gap between two bounds is visible: both numbers or both quoted texts."""
    try:
        return float(low) < float(high)
    except ValueError:
        return low[:1] == high[:1] == "'" and low < high


def leaves_no_gap(tests: list[Test]) -> bool:
    """Whether tests of one column leave nothing out: ``a = 1 OR a <> 1``, ``a < 5 OR a > 3``."""
    sides: dict[tuple[str, str], set[str]] = {}
    for column, symbol, other in tests:
        side = ">" if symbol in _UP else "<" if symbol in _DOWN else symbol
        known = _number(other) if symbol in ("=", "<>") else other
        sides.setdefault((column, side), set()).add(known)
    for (column, side), others in sides.items():
        if side == "<>" and (len(others) > 1 or others & sides.get((column, "="), set())):
            return True
        downs = sides.get((column, "<"), set())
        if side == ">" and downs:
            if len(others) > NESTING_DEPTH_MAX or len(downs) > NESTING_DEPTH_MAX:
                return True
            if any(not _less(low, high) for low in downs for high in others):
                return True
    return False


_MAY_BE_NULL: Final = frozenset(("CaseExpr", "AEXPR_NULLIF"))


def makes_null(node: Any) -> bool:
    """Whether an expression may be NULL by its own making, whatever the column holds."""
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if "CaseExpr" in item or item.get("isnull", False):
                return True
            if item.get("kind") in _MAY_BE_NULL:
                return True
            stack.extend(item.values())
    return False


def chooses(node: Any) -> bool:
    """CASE, GREATEST and LEAST may give one value for every row."""
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"].get("arg")
    return isinstance(node, dict) and ("CaseExpr" in node or "MinMaxExpr" in node)
