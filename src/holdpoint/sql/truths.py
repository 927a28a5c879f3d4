"""Constants as truths, and tests compared with truths: ``(id = 1) = true``, ``1 = 1``."""

from __future__ import annotations

from typing import Any, Final

from holdpoint.sql.tautologies import OPPOSITE, makes_null
from holdpoint.sql.walk import Node, constant, strings


def is_false(node: Node, negated: bool) -> bool:
    """A constant that no row meets bounds best of all. NULL is met by no row, negated or not."""
    value: Node = node["A_Const"]
    if value.get("isnull", False):
        return True
    words = (constant(node) or "").strip().lower()
    if words in ("false", "f", "no", "n", "off", "0"):
        return not negated
    return negated and words in ("true", "t", "yes", "y", "on", "1")


def against_truth(node: Node, negated: bool) -> tuple[Node, bool] | None:
    """``(x = 1) = true`` says what ``x = 1`` says; ``(x IS NULL) = false`` its opposite."""
    symbol: str = strings(node["name"])[-1]
    kind: str = node["kind"]
    if symbol not in ("=", "<>") or kind not in _COMPARES_TRUTH:
        return None
    turned = (symbol == "<>" and kind == "AEXPR_OP") or kind == "AEXPR_DISTINCT"
    for side, other in (("lexpr", "rexpr"), ("rexpr", "lexpr")):
        word = constant(node.get(side))
        test: Node = node.get(other, {})
        if word is None or not _is_test(test):
            continue
        if (kind == "AEXPR_DISTINCT") != negated and kind != "AEXPR_OP" and makes_null(test):
            return {}, False  # what is always NULL is always distinct from a truth
        says_no = word.strip().lower() in ("false", "f", "no", "n", "off", "0")
        return test, (turned != says_no) != negated
    return None


_COMPARES_TRUTH: Final = frozenset(("AEXPR_OP", "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"))
_TESTS: Final = frozenset(("BoolExpr", "NullTest", "BooleanTest"))


def _is_test(node: Node) -> bool:
    """Whether an expression is a test, as its form shows."""
    compared: Node = node.get("A_Expr", {})
    if compared and compared["kind"] == "AEXPR_OP":
        return strings(compared["name"])[-1] in OPPOSITE
    return bool(compared) or bool(_TESTS & set(node))


def is_null(*sides: Any) -> bool:
    """Whether one of the operands is NULL as it stands."""
    return any(
        isinstance(side, dict) and side.get("A_Const", {}).get("isnull", False) for side in sides
    )


def constants_differ(node: Node, symbol: str, negated: bool) -> bool:
    """``1 = 2`` bounds (no row meets it), ``1 = 1`` does not; what cannot be told does not."""
    left_node, right_node = node.get("lexpr", {}), node.get("rexpr", {})
    left, right = constant(left_node), constant(right_node)
    if left is None or right is None or node["kind"] != "AEXPR_OP":
        return False
    # `1 = 1.0`, `1 = '01'` and `true = 't'` are true, and a cast may shorten a text.
    kinds = [set(side.get("A_Const", {})) - {"location"} for side in (left_node, right_node)]
    if kinds[0] != kinds[1] or kinds[0] not in ({"ival"}, {"sval"}, {"boolval"}):
        return False
    if symbol == "=":
        return (left == right) == negated
    if symbol == "<>":
        return (left != right) == negated
    return False
