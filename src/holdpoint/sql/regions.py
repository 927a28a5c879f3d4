"""Whether a condition holds whatever the values: tried with one value from each region.

The constants that something is compared with cut its values into regions: each constant, what lies
between two, what lies beyond. A condition made of such comparisons holds for all values when it
holds for one of each region. What is no such comparison (a pattern, a question for NULL, a
subquery) is true or false, as it likes, but always the same for the same text. NULL is left aside:
rows that a condition leaves out only because something is NULL do not make it a filter.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import orjson

from holdpoint.model.limits import FILTER_DEPTH_MAX, REGIONS_MAX
from holdpoint.sql.tautologies import (
    MIRRORED,
    OPPOSITE,
    list_values,
    node_text,
    signed,
    signed_constant,
)
from holdpoint.sql.walk import Node, strings

# A number comes as (0, number, ""), a text as (1, 0, text), a truth as (2, 0 or 1, "").
Value = tuple[int, float, str]
_FALSE: Final[Value] = (2, 0.0, "")
_TRUE: Final[Value] = (2, 1.0, "")
_TRUTH_TESTS: Final[dict[str, bool]] = {
    # kind of truth test: whether it is the opposite of what is inside, NULL aside
    "IS_TRUE": False, "IS_NOT_FALSE": False, "IS_FALSE": True, "IS_NOT_TRUE": True,
}  # fmt: skip
_ORDERED: Final = frozenset(("=", "<>", "<", "<=", ">", ">="))


class Formula:
    """``and``/``or`` over ``parts``, or a test: variable ``subject`` compared with ``value``."""

    def __init__(
        self, kind: str, parts: list[Formula], subject: int = 0, value: Value = _TRUE
    ) -> None:
        self.kind: Final = kind
        self.parts: Final = parts
        self.subject: Final = subject
        self.value: Final = value


class Variables:
    """What is compared, by its text, with the constants it is compared with."""

    def __init__(self, texts_are_numbers: bool) -> None:
        self.texts_are_numbers = texts_are_numbers
        self.numbers: dict[bytes, int] = {}
        self.constants: list[set[Value]] = []

    def test(self, text: bytes, symbol: str, value: Value) -> Formula:
        """A comparison, noted."""
        number = self.numbers.setdefault(text, len(self.numbers))
        if number == len(self.constants):
            self.constants.append(set())
        self.constants[number].add(value)
        return Formula(symbol, [], number, value)

    def value_of(self, node: Any) -> Value | None:
        """A constant as something to compare with; None for anything else."""
        text = signed_constant(node)
        if text is None:
            return None
        is_text = isinstance(node, dict) and "sval" in node.get("A_Const", {})
        if is_text and not self.texts_are_numbers:
            return 1, 0.0, text
        try:
            return 0, float(text), ""
        except ValueError:
            return 1, 0.0, text


def always_true(node: Node, negated: bool) -> bool:
    """Whether a condition holds whatever the values it speaks of, NULL aside.

    Quoted constants are tried as texts and as numbers. What has too many regions to try counts as
    always true when one alternative is the opposite of another.
    """
    for texts_are_numbers in (False, True):
        variables = Variables(texts_are_numbers)
        formula = _formula(node, negated, variables, 0)
        if formula is None:
            return True
        if any(len(constants) > REGIONS_MAX for constants in variables.constants):
            return _has_opposites(formula)
        samples = [_samples(constants) for constants in variables.constants]
        size = 1
        for each in samples:
            size = min(size * len(each), REGIONS_MAX + 1)
        if size > REGIONS_MAX:
            return _has_opposites(formula)
        if all(_holds(formula, values) for values in product(*samples)):
            return True
    return False


def unqualified(node: Node, schema: str, name: str) -> Node:
    """``node`` with ``name.column`` written as ``column``, so that both have one text."""
    try:
        text = orjson.dumps(node)
    except orjson.JSONEncodeError:  # too deep to be written
        return node
    plain = text
    for parts in ((schema, name), (name,)):
        fields = b",".join([b'{"String":{"sval":' + orjson.dumps(part) + b"}}" for part in parts])
        plain = plain.replace(b'"fields":[' + fields + b",", b'"fields":[')
    if plain == text:
        return node
    found: Node = orjson.loads(plain)
    return found


def _samples(constants: set[Value]) -> list[Value]:
    """One value of each region. Between neighbouring whole numbers there is none."""
    found: list[Value] = []
    ordered = sorted(constants)
    if ordered[0][0] == 2:
        return [_FALSE, _TRUE]
    kind, number, text = ordered[0]
    if kind == 0:
        found.append((0, number - 1, ""))
    elif text:
        found.append((1, 0.0, ""))
    for at, value in enumerate(ordered):
        found.append(value)
        kind, number, text = value
        following = ordered[at + 1] if at + 1 < len(ordered) else None
        if kind == 1:
            found.append((1, 0.0, text + "\x01"))
        elif following is None or following[0] != 0:
            found.append((0, number + 1, ""))
        elif following[1] - number > 1 or number % 1 or following[1] % 1:
            found.append((0, (number + following[1]) / 2, ""))
    return found


def _formula(node: Node, negated: bool, variables: Variables, depth: int) -> Formula | None:
    """A condition over numbered variables, its NOTs moved to the tests; None when too deep."""
    if depth > FILTER_DEPTH_MAX:
        return None
    inner: Node | None = node.get("BoolExpr")
    if inner is not None and inner["boolop"] == "NOT_EXPR":
        return _formula(inner["args"][0], not negated, variables, depth + 1)
    if inner is not None:
        is_and = (inner["boolop"] == "AND_EXPR") != negated
        parts: list[Formula] = []
        for arg in inner["args"]:
            if is_and and _taken_as_true(arg, negated):
                continue
            part = _formula(arg, negated, variables, depth + 1)
            if part is None:
                return None
            parts.append(part)
        return Formula("and" if is_and else "or", parts)
    truth: Node | None = node.get("BooleanTest")
    if truth is not None and truth["booltesttype"] in _TRUTH_TESTS:
        turned = _TRUTH_TESTS[truth["booltesttype"]] != negated
        return _formula(truth["arg"], turned, variables, depth + 1)
    test: Node | None = node.get("A_Expr")
    if test is not None:
        found = _comparison(test, negated, variables)
        if found is not None:
            return found
        word, other = _truth_beside(test)
        if word:
            turned = (strings(test["name"])[-1] == "<>") != (word == "false")
            return _formula(other, turned != negated, variables, depth + 1)
    text, sign = signed(node, negated)
    return variables.test(text, "=", _FALSE if sign else _TRUE)


def _truth_beside(test: Node) -> tuple[str, Node]:
    """``(true or false, the other side)`` of ``x = true``; an empty word for other comparisons."""
    if test["kind"] == "AEXPR_OP" and strings(test["name"])[-1] in ("=", "<>"):
        for side, other in (("lexpr", "rexpr"), ("rexpr", "lexpr")):
            value: Node = test.get(side, {}).get("A_Const", {})
            if "boolval" in value:
                word = "true" if value["boolval"].get("boolval", False) else "false"
                return word, test.get(other, {})
    return "", {}


def _comparison(test: Node, negated: bool, variables: Variables) -> Formula | None:
    """Comparisons with constants, and of two sides in one order; None for others."""
    kind: str = test["kind"]
    symbol: str = strings(test["name"])[-1]
    left: Any = test.get("lexpr", {})
    right: Any = test.get("rexpr", {})
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        symbol = "<>" if kind == "AEXPR_DISTINCT" else "="
        kind = "AEXPR_OP"
        if variables.value_of(right) is None:
            return None
    if kind == "AEXPR_LIKE" and not set(signed_constant(right) or "%") & set("%_\\"):
        symbol, kind = ("=" if symbol == "~~" else "<>"), "AEXPR_OP"  # a pattern of plain letters
    if kind in ("AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN"):
        low, high = [variables.value_of(item) for item in right["List"]["items"]]
        if low is None or high is None:
            return None
        text = node_text(left)
        if (kind == "AEXPR_BETWEEN") != negated:
            return Formula(
                "and", [variables.test(text, ">=", low), variables.test(text, "<=", high)]
            )
        return Formula("or", [variables.test(text, "<", low), variables.test(text, ">", high)])
    if kind in ("AEXPR_IN", "AEXPR_OP_ANY", "AEXPR_OP_ALL") and symbol in _ORDERED:
        return _list_comparison(test, negated, variables)
    if kind != "AEXPR_OP" or symbol not in _ORDERED or _truth_beside(test)[0]:
        return None
    if variables.value_of(right) is None and (
        variables.value_of(left) is not None or node_text(left) > node_text(right)
    ):
        left, right, symbol = right, left, MIRRORED[symbol]
    symbol = OPPOSITE[symbol] if negated else symbol
    value = variables.value_of(right)
    if value is not None:
        return variables.test(node_text(left), symbol, value)
    # Two sides nobody knows: less, equal or greater.
    return variables.test(node_text(left) + b"\x00" + node_text(right), symbol, (0, 0.0, ""))


def _list_comparison(test: Node, negated: bool, variables: Variables) -> Formula | None:
    """``IN (...)``, ``= ANY (ARRAY[...])`` and their kin as one test for each element."""
    symbol: str = strings(test["name"])[-1]
    items: Any = test["rexpr"]
    listed = list_values(items["List"].get("items", []) if "List" in items else items)
    values = [variables.value_of(item) for item in listed]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    is_any = test["kind"] == "AEXPR_OP_ANY" or (test["kind"] == "AEXPR_IN" and symbol == "=")
    symbol = OPPOSITE[symbol] if negated else symbol
    text = node_text(test["lexpr"])
    tests = [variables.test(text, symbol, value) for value in known]
    return Formula("or" if is_any != negated else "and", tests)


def _taken_as_true(node: Node, negated: bool) -> bool:
    """``1 = 1`` and ``id IS NOT NULL`` in an AND; nothing that names a column beside."""
    test: Node = node.get("NullTest", {})
    if test:
        is_not_null: bool = test["nulltesttype"] == "IS_NOT_NULL"
        return is_not_null != negated
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if "ColumnRef" in item or "SubLink" in item:
                return False
            stack.extend(item.values())
    return True


def _holds(formula: Formula, values: tuple[Value, ...]) -> bool:
    kind = formula.kind
    if kind == "and":
        return all(_holds(part, values) for part in formula.parts)
    if kind == "or":
        return any(_holds(part, values) for part in formula.parts)
    value = values[formula.subject]
    if kind == "=":
        return value == formula.value
    if kind == "<>":
        return value != formula.value
    if kind == "<":
        return value < formula.value
    if kind == "<=":
        return value <= formula.value
    return value > formula.value if kind == ">" else value >= formula.value


def _has_opposites(formula: Formula) -> bool:
    """Whether an OR has a test and its negation among its alternatives."""
    seen: set[tuple[int, str, Value]] = set()
    stack = [formula]
    while stack:
        part = stack.pop()
        if part.kind == "or" or (part.kind == "and" and len(part.parts) == 1):
            stack.extend(part.parts)
        elif part.kind != "and":
            opposite = (part.subject, OPPOSITE[part.kind], part.value)
            truth = part.value[0] == 2
            if opposite in seen or (
                truth and (part.subject, "=", _FALSE if part.value == _TRUE else _TRUE) in seen
            ):
                return True
            seen.add((part.subject, part.kind, part.value))
    return False
