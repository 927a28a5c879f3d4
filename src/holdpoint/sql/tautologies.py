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
    if symbol in _CONTAINS and word in _EMPTY_SETS:
        return True
    if symbol in ("<@", "<<=", "<<", "&&") and word in _ALL_SETS:
        return True
    if symbol in _UP:
        no_less = ("", "false", "f", "(0,0)", "00000000-0000-0000-0000-000000000000")
        return word in ("-infinity", "-inf") or (symbol == ">=" and word in no_less)
    if symbol in _DOWN:
        no_more = ("true", "t", "nan", "ffffffff-ffff-ffff-ffff-ffffffffffff")
        return word in _INFINITY or (symbol == "<=" and word in no_more)
    return False


def list_values(node: Any) -> list[Any]:
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
    return signed_constant(node)


Range = tuple[float, float, bool]  # (lowest, highest, only whole numbers)
# Of a column whose type nobody knows: nobody filters by the least integer; sizes up to the
# greatest one of four bytes are asked for.
_ANY_INTEGER: Final[Range] = (-(2.0**31), 2.0**63 - 1, False)
_EMPTY_SETS: Final = frozenset(("{}", "[]", "empty"))
_ALL_SETS: Final = frozenset(("(,)", "0.0.0.0/0", "::/0"))


def _keeps_all(symbol: str, value: str | None, known: Range | None) -> bool:
    """Whether ``x symbol value`` holds for every x within ``known``."""
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return False
    if number is None or number != number:
        return False
    low, high, whole = known or _ANY_INTEGER
    if symbol in _UP:
        return number < low or (number == low and symbol == ">=")
    if symbol in _DOWN:
        return number > high or (number == high and symbol == "<=")
    if symbol == "<>" and known is not None:
        return number < low or number > high or (whole and number != int(number))
    return False


def _between_everything(node: Node, negated: bool, known: Range | None) -> bool:
    """BETWEEN bounds that every value keeps; NOT BETWEEN bounds that no value is between."""
    low_node, high_node = node["rexpr"]["List"]["items"]
    low, high = signed_constant(low_node), signed_constant(high_node)
    if low is None or high is None:
        return False
    if node["kind"].startswith("AEXPR_NOT_") == negated:
        swapped = node["kind"].endswith("_SYM") and _below(high, low)
        low, high = (high, low) if swapped else (low, high)
        return all(
            _meets_all(symbol, value, False) or _keeps_all(symbol, value, known)
            for symbol, value in ((">=", low), ("<=", high))
        )
    if not node["kind"].endswith("_SYM"):
        return _below(high, low) or _keeps_all("<", low, known) or _keeps_all(">", high, known)
    return False


def _below(low: str, high: str) -> bool:
    try:
        return float(low) < float(high)
    except ValueError:
        return low < high


def signed_constant(node: Any) -> str | None:
    """The text of a constant, a minus before it included."""
    inner: Node = node.get("A_Expr", {}) if isinstance(node, dict) else {}
    if inner and "lexpr" not in inner and strings(inner["name"]) == ["-"]:
        text = constant(inner.get("rexpr"))
        return f"-{text}" if text is not None else None
    return constant(node)


def _says_both(values: list[str | None]) -> bool:
    """Whether a list has both truths in it."""
    words = {(value or "").lower() for value in values}
    return bool(words & {"true", "t"}) and bool(words & {"false", "f"})


def meets_everything(node: Node, negated: bool, known: Range | None = None) -> bool:
    """Whether the comparison ``node`` (an A_Expr) holds for every value that is not NULL.

    ``known`` is the range that the compared expression cannot leave.
    """
    kind: str = node["kind"]
    symbol: str = strings(node["name"])[-1]
    other = node.get("rexpr")
    if "BETWEEN" in kind:
        return _between_everything(node, negated, known)
    if _pattern(node.get("lexpr")) is not None and kind == "AEXPR_OP":
        symbol, other = MIRRORED.get(symbol, _SET_MIRRORED.get(symbol, "")), node.get("lexpr")
    if negated:
        symbol = OPPOSITE.get(symbol, "")
    if kind == "AEXPR_IN":
        found = [_pattern(value) for value in list_values(other)]
        if symbol == "=":
            return _says_both(found)
        return all(_keeps_all("<>", value, known) for value in found)
    if kind in ("AEXPR_OP_ANY", "AEXPR_OP_ALL"):
        every = (kind == "AEXPR_OP_ALL") != negated
        found = [_pattern(value) for value in list_values(other)]
        if symbol == "<>" and not every:
            return len(found) != 1 or found[0] is None  # different from one of several
        met = [
            value is not None
            and (_meets_all(symbol, value, False) or _keeps_all(symbol, value, known))
            for value in found
        ]
        return all(met) if every else any(met) or (symbol == "=" and _says_both(found))
    if kind not in ("AEXPR_OP", "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
        return False
    value = _pattern(other)
    is_similar = kind == "AEXPR_SIMILAR" and not symbol.startswith("!")
    if value is None:
        while isinstance(other, dict) and "TypeCast" in other:
            other = other["TypeCast"].get("arg")
        array: Node | None = other.get("A_ArrayExpr") if isinstance(other, dict) else None
        is_empty = array is not None and not array.get("elements")
        return is_empty and symbol in _CONTAINS
    return _meets_all(symbol, value, is_similar) or _keeps_all(symbol, value, known)


_SET_MIRRORED: Final[dict[str, str]] = {"@>": "<@", "<@": "@>", "&&": "&&", ">>=": "<<="}
_CONTAINS: Final = frozenset(("@>", "?&"))


def list_items(node: Node) -> list[Any]:
    """The operands of ``IN`` and ``ANY`` lists; nothing for other comparisons."""
    if node["kind"] in ("AEXPR_IN", "AEXPR_OP_ANY"):
        return list_values(node.get("rexpr"))
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


def signed(node: Node, negated: bool) -> tuple[bytes, bool]:
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
        left, right = compared.get("lexpr"), compared.get("rexpr")
        if kind == "AEXPR_OP" and symbol in MIRRORED and node_text(left) > node_text(right):
            compared = {**compared, "lexpr": right, "rexpr": left}
            symbol = MIRRORED[symbol]
            if symbol > OPPOSITE[symbol]:
                symbol, turned = OPPOSITE[symbol], not turned
        name = [{"String": {"sval": symbol}}]
        node = {"A_Expr": {**compared, "kind": kind, "name": name}}
        negated = negated != turned
    return node_text(node), negated


def node_text(node: Any) -> bytes:
    """A node as text, without where it stood."""
    try:
        return _LOCATION.sub(b"", orjson.dumps(node, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError:  # too deep to be written: equal to nothing
        return str(id(node)).encode()


def simple_test(node: Node, negated: bool) -> Test | None:
    """``(what is compared, operator, the other side)`` as texts; None for other tests."""
    test = node.get("NullTest")
    if test is not None:
        is_null = (test["nulltesttype"] == "IS_NULL") != negated
        return node_text(test["arg"]).decode(), "=" if is_null else "<>", "NULL"
    column = node.get("ColumnRef")
    if column is not None:
        return node_text(node).decode(), "<>" if negated else "=", "true"
    compared = node.get("A_Expr")
    if compared is None or compared["kind"] not in ("AEXPR_OP", "AEXPR_LIKE", "AEXPR_IN"):
        return None
    left, right = compared.get("lexpr"), compared.get("rexpr")
    symbol: str = strings(compared["name"])[-1]
    if compared["kind"] == "AEXPR_IN":
        items: list[Any] = right["List"].get("items", [])
        symbol = OPPOSITE[symbol] if negated else symbol
        if symbol == "=" and len(items) != 1:
            return None
        other = _other_text(items[0]) if len(items) == 1 else node_text(right).decode()
        return node_text(left).decode(), symbol, other
    if symbol in MIRRORED and _swapped(left, right):
        left, right, symbol = right, left, MIRRORED[symbol]
    if negated:
        symbol = OPPOSITE.get(symbol, "")
    return (node_text(left).decode(), symbol, _other_text(right)) if symbol else None


def _swapped(left: Any, right: Any) -> bool:
    """Whether a comparison has its constant on the left, or two columns out of order."""
    if signed_constant(left) is not None or "ParamRef" in (left or {}):
        return True
    both = isinstance(left, dict) and isinstance(right, dict)
    if both and "ColumnRef" in left and "ColumnRef" in right:
        return node_text(left) > node_text(right)
    return False


def _other_text(node: Any) -> str:
    """A comparable form of an operand: numbers as numbers, quoted texts with a quote before."""
    value = signed_constant(node)
    if value is None:
        return f"?{node_text(node).decode()}"
    is_text = isinstance(node, dict) and "sval" in node.get("A_Const", {})
    return f"'{value}" if is_text else value


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
        if side == "=" and _says_both([other.removeprefix("'") for other in others]):
            return True
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


def has_parameter(node: Any) -> bool:
    """Whether a parameter, which may be NULL, stands in an expression."""
    return _has(node, "ParamRef")


def has_query(node: Any) -> bool:
    """Whether a subquery, which may give NULL, stands in an expression."""
    return _has(node, "SubLink")


def _has(node: Any, kind: str) -> bool:
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if kind in item:
                return True
            stack.extend(item.values())
    return False
