"""Whether an expression follows a column, so that a comparison of it can tell rows apart.

An allow-list: ``lower(name)`` and ``total - paid`` follow their columns; ``id * 0``, ``id - id``,
``left(name, 0)`` and ``CASE ... END`` may be one value for every row, and what is not on the list
is taken to be so. ``range_of`` gives the values an expression cannot leave.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.limits import FILTER_DEPTH_MAX
from holdpoint.sql.targets import Target, column_of, own_columns, words
from holdpoint.sql.tautologies import meets_everything
from holdpoint.sql.walk import Node, constant, strings

# Functions that give different results for different first arguments, more or less.
_FOLLOWING: Final = words(
    "lower upper btrim ltrim rtrim initcap reverse md5 sha224 sha256 sha384 sha512 hashtext "
    "length char_length character_length octet_length bit_length cardinality array_length abs "
    "round floor ceil ceiling trunc mod date date_trunc date_part extract date_bin age "
    "timezone to_char to_date to_timestamp to_number substring substr left right split_part "
    "replace translate regexp_replace strpos position encode decode concat host family "
    "masklen text jsonb_extract_path jsonb_extract_path_text json_extract_path "
    "json_extract_path_text jsonb_array_length json_array_length jsonb_typeof json_typeof "
    "unaccent similarity word_similarity to_tsvector array_to_string int4 int8 numeric "
    "isfinite"
)
_COUNTING: Final = words(
    "length char_length character_length octet_length bit_length cardinality array_length abs "
    "strpos position jsonb_array_length json_array_length"
)
_ROUNDING: Final = frozenset(("round", "trunc"))
# The column's argument where it is not the first.
_COLUMN_AT: Final[dict[str, int]] = {
    "date_trunc": 1, "date_part": 1, "extract": 1, "timezone": 1, "date_bin": 1
}  # fmt: skip
_ADDING: Final = frozenset(("+", "-", "||", "->", "->>", "#>", "#>>"))
_SCALING: Final = frozenset(("*", "/", "%", "&"))
_STEADY_NODES: Final = frozenset(("A_Const", "ParamRef", "SQLValueFunction"))
_STEADY_CALLS: Final = words(
    "now statement_timestamp transaction_timestamp clock_timestamp timezone date_trunc "
    "make_interval current_setting to_timestamp to_date md5 lower upper"
)
_SCALE_MAX: Final = 1_000_000  # chosen: a column divided by more than this is often 0

INTEGER_RANGES: Final[dict[int, tuple[int, int]]] = {
    # oid (pg_type.dat): range (manual, section 8.1)
    21: (-(2**15), 2**15 - 1),
    23: (-(2**31), 2**31 - 1),
    20: (-(2**63), 2**63 - 1),
}


def follows(node: Any, target: Target, depth: int = 0) -> bool:
    """Whether an expression follows one or more columns of ``target``; too deep a one does not."""
    if not isinstance(node, dict) or depth > FILTER_DEPTH_MAX:
        return False
    for kind, value in node.items():
        if kind == "ColumnRef":
            return target.own(value) != ""
        if kind in ("TypeCast", "CollateClause", "A_Indirection"):
            return follows(value.get("arg"), target, depth + 1)
        if kind == "A_Expr":
            return _operation_follows(value, target, depth + 1)
        if kind == "FuncCall":
            return _call_follows(value, target, depth + 1)
        if kind == "CoalesceExpr":
            args: list[Any] = value["args"]
            return follows(args[0], target, depth + 1) and all(is_steady(arg) for arg in args[1:])
    return False


def _operation_follows(node: Node, target: Target, depth: int) -> bool:
    if node["kind"] != "AEXPR_OP":
        return False
    symbol = strings(node["name"])[-1]
    left, right = node.get("lexpr"), node.get("rexpr")
    if left is None:
        return symbol in ("-", "+", "@") and follows(right, target, depth)
    on_left, on_right = own_columns(left, target), own_columns(right, target)
    if on_left and on_right:
        both = follows(left, target, depth) and follows(right, target, depth)
        return both and not on_left & on_right and symbol in ("+", "-", "||")
    column, other = (left, right) if on_left else (right, left)
    if not follows(column, target, depth) or not is_steady(other):
        return False
    if symbol in _ADDING:
        return True
    return symbol in _SCALING and bool(on_left) and _scales(symbol, other)


def _scales(symbol: str, other: Any) -> bool:
    """Whether a factor, divisor, modulus or mask leaves something of the column."""
    number = number_of(other)
    if number is None:
        return False
    least = 2 if symbol == "%" else 1
    return abs(number) >= least and (symbol in ("%", "&") or abs(number) <= _SCALE_MAX)


def _call_follows(node: Node, target: Target, depth: int) -> bool:
    name = strings(node["funcname"])[-1]
    args: list[Any] = node.get("args", [])
    at = _COLUMN_AT.get(name, 0)
    if name not in _FOLLOWING or len(args) <= at or not follows(args[at], target, depth):
        return False
    least = 0 if name in _ROUNDING else 2 if name == "mod" else 1
    for index, arg in enumerate(args):
        if index == at:
            continue
        number = number_of(arg)
        if not is_steady(arg) or (number is not None and number < least):
            return False
    return True


def is_steady(node: Any) -> bool:
    """A value that no row and no query gives: constants, parameters, the time, sums of those."""
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if not isinstance(item, dict):
            return False
        for kind, value in item.items():
            if kind in _STEADY_NODES:
                continue
            if kind == "TypeCast":
                stack.append(value.get("arg"))
            elif kind == "A_ArrayExpr":
                stack.extend(value.get("elements", []))
            elif kind == "A_Expr" and value["kind"] == "AEXPR_OP":
                stack.extend([value[side] for side in ("lexpr", "rexpr") if side in value])
            elif kind == "FuncCall" and strings(value["funcname"])[-1] in _STEADY_CALLS:
                stack.extend(value.get("args", []))
            else:
                return False
    return True


def number_of(node: Any) -> float | None:
    """The number that a constant is, with its sign; None for anything else."""
    sign = 1.0
    while isinstance(node, dict) and "A_Expr" in node:
        inner: Node = node["A_Expr"]
        if "lexpr" in inner or strings(inner["name"]) not in (["-"], ["+"]):
            return None
        sign = -sign if strings(inner["name"]) == ["-"] else sign
        node = inner.get("rexpr")
    text = constant(node)
    try:
        return sign * float(text) if text is not None else None
    except ValueError:
        return None


def range_of(node: Any, target: Target) -> tuple[float, float, bool] | None:
    """``(lowest, highest, only whole numbers)`` of an expression, as far as its form proves it."""
    if not isinstance(node, dict):
        return None
    reference: Node | None = node.get("ColumnRef")
    if reference is not None and target.relation is not None:
        column = column_of(target.relation, target.own(reference))
        known = INTEGER_RANGES.get(column.type_oid) if column is not None else None
        return (float(known[0]), float(known[1]), True) if known is not None else None
    call: Node | None = node.get("FuncCall")
    if call is not None and strings(call["funcname"])[-1] in _COUNTING:
        whole = strings(call["funcname"])[-1] != "abs"
        return 0.0, float(2**31 - 1) if whole else float("inf"), whole
    operation: Node | None = node.get("A_Expr")
    if operation is not None and operation["kind"] == "AEXPR_OP":
        symbol, number = strings(operation["name"])[-1], number_of(operation.get("rexpr"))
        if number is not None and symbol == "%":
            return 1 - abs(number), abs(number) - 1, False
        if number is not None and symbol == "&" and number >= 0:
            return 0.0, number, True
    return None


# Built-in functions that test a column, with what tells that they test nothing.
_TESTS_BY_CALL: Final = frozenset(("starts_with", "regexp_like", "jsonb_exists", "overlaps"))


def tests_by_call(node: Node, target: Target) -> bool:
    """A function as a filter: one that is known to compare its column with something else."""
    args: list[Any] = node.get("args", [])
    name = strings(node["funcname"])[-1]
    if len(args) < 2:
        return False
    value = constant(args[1])
    if name == "jsonb_path_exists":
        return "?" in (value or "") and follows(args[0], target)
    if name not in _TESTS_BY_CALL or (name == "starts_with" and value == ""):
        return False
    if name == "regexp_like":
        pattern = [{"String": {"sval": "~"}}]
        test: Node = {"kind": "AEXPR_OP", "name": pattern, "lexpr": args[0], "rexpr": args[1]}
        if meets_everything(test, False):
            return False
    own = [own_columns(arg, target) for arg in args]
    together: set[str] = set()
    for columns in own:
        if columns & together:
            return False
        together |= columns
    return any(follows(arg, target) for arg in args)
