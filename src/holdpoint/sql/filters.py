"""Whether a filter bounds an UPDATE, DELETE or MERGE, or is one in name only.

A filter is effective when it compares a column of the target with something that is not itself.
What is not provably so counts as no filter: ``bulk_write`` is held or counted, never lost. Known
limits, by design: arithmetic identities (``id - id = 0``) and filters that every row happens to
meet (``id > -1``) look effective; the row count, asked before such a statement runs, sees those.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.limits import FILTER_DEPTH_MAX, NESTING_DEPTH_MAX
from holdpoint.sql.walk import Node, constant, strings


class Target:
    """The table that is changed: the name its columns are qualified with, and its own name.

    ``alone`` tells that no other relation is in scope, so that an unqualified column is its own.
    ``others`` are the column names that other relations in scope are known to export.
    """

    def __init__(self, relation: Node, sources: list[Any]) -> None:
        alias: Node = relation.get("alias", {})
        self.relname: str = relation.get("relname", "")
        self.schema: str = relation.get("schemaname", "")
        self.name: str = alias.get("aliasname", "") or self.relname
        self.alone = not sources
        # The table a second time: `a.id = b.id` is then true for every row.
        self.twice = self.relname in [_relname(source) for source in sources]
        self.others: set[str] = set()
        for source in sources:
            _exports(source, self.others)

    def inner(self, query: Node) -> Target:
        """The same target seen from inside a subquery: only qualified columns are its own."""
        copy = Target({"relname": self.relname, "schemaname": self.schema}, [])
        copy.name = self.name
        copy.alone = not query.get("fromClause")
        copy.twice = self.relname in [_relname(item) for item in query.get("fromClause", [])]
        if not copy.alone and self.name in _names(query):
            copy.name = ""  # hidden by an inner relation of that name
        return copy


def _relname(item: Any) -> str:
    """The table a FROM item is, or nothing when it is something else."""
    return str(item.get("RangeVar", {}).get("relname", "")) if isinstance(item, dict) else ""


def _exports(source: Any, names: set[str]) -> None:
    """Collect the column names a FROM item gives, as far as the text shows them."""
    if not isinstance(source, dict):
        return
    for node in source.values():
        if not isinstance(node, dict):
            continue
        alias: Node = node.get("alias", {})
        names.update(strings(alias.get("colnames", [])))
        query: Node = node.get("subquery", {})
        for item in query.get("SelectStmt", {}).get("targetList", []):
            result: Node = item.get("ResTarget", {})
            if "name" in result:
                names.add(result["name"])
            else:
                names.update(strings(result.get("val", {}).get("ColumnRef", {}).get("fields", [])))


def _names(query: Node) -> set[str]:
    """The names under which the relations of a query's FROM list are known, at its top level."""
    found: set[str] = set()
    for item in query.get("fromClause", []):
        for node in item.values():
            alias: Node = node.get("alias", {})
            found.add(alias.get("aliasname", node.get("relname", "")))
    return found


def bounds(condition: Any, target: Target, depth: int = 0) -> bool:
    """Whether ``condition`` (a node, or None) leaves out rows of ``target``."""
    return condition is not None and _effective(condition, target, False, depth)


def _effective(node: Node, target: Target, negated: bool, depth: int) -> bool:
    if depth > FILTER_DEPTH_MAX:
        return False
    for kind, value in node.items():
        if kind == "BoolExpr":
            return _boolean(value, target, negated, depth + 1)
        if kind == "A_Expr":
            return _comparison(value, target, negated, depth + 1)
        if kind == "ColumnRef":
            return _own(value, target) != ""
        if kind == "CurrentOfExpr":
            return not negated
        if kind == "NullTest":
            is_null = value["nulltesttype"] == "IS_NULL"
            return is_null != negated and bool(_columns(value["arg"], target))
        if kind == "BooleanTest":
            if value["booltesttype"] == "IS_NOT_UNKNOWN":
                return False
            return _effective(value["arg"], target, False, depth + 1)
        if kind == "SubLink":
            return _sub_link(value, target, depth + 1)
        if kind == "CoalesceExpr":
            return _all_or_false(value["args"], target, negated, depth + 1)
        if kind == "FuncCall":
            return _call(value, target)
        if kind == "TypeCast":
            return _effective(value["arg"], target, negated, depth + 1)
        if kind == "A_Const":
            return _is_false(node, negated)
    return False


def _is_false(node: Node, negated: bool) -> bool:
    """A constant that no row meets bounds best of all. NULL is met by no row, negated or not."""
    value: Node = node["A_Const"]
    if value.get("isnull", False):
        return True
    words = (constant(node) or "").strip().lower()
    if words in ("false", "f", "no", "n", "off", "0"):
        return not negated
    return negated and words in ("true", "t", "yes", "y", "on", "1")


def _boolean(node: Node, target: Target, negated: bool, depth: int) -> bool:
    args: list[Node] = node["args"]
    kind: str = node["boolop"]
    if kind == "NOT_EXPR":
        return _effective(args[0], target, not negated, depth)
    if (kind == "AND_EXPR") != negated:  # a negated OR is an AND of negations
        return any(_effective(arg, target, negated, depth) for arg in args)
    return all(_effective(arg, target, negated, depth) for arg in args) and not _covers_everything(
        args, target, negated
    )


def _all_or_false(args: list[Node], target: Target, negated: bool, depth: int) -> bool:
    found = False
    for arg in args:
        if "A_Const" in arg:
            if not _is_false(arg, negated):
                return False
        elif _effective(arg, target, negated, depth):
            found = True
        else:
            return False
    return found


_OPPOSITE: Final[dict[str, str]] = {
    "=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">",
    "~~": "!~~", "!~~": "~~", "~": "!~", "!~": "~", "~~*": "!~~*", "!~~*": "~~*",
}  # fmt: skip
_UP: Final = frozenset((">", ">="))
_DOWN: Final = frozenset(("<", "<="))


def _covers_everything(args: list[Node], target: Target, negated: bool) -> bool:
    """Whether alternatives together leave nothing out: ``a = 1 OR a <> 1``, ``a < 5 OR a > 3``."""
    tests: list[tuple[str, str, str]] = []  # (column, operator, the other side as text)
    for arg in args:
        test = _simple_test(arg, target, negated)
        if test is not None:
            tests.append(test)
    if len(tests) > NESTING_DEPTH_MAX:
        tests = tests[:NESTING_DEPTH_MAX]
    for at, (column, symbol, other) in enumerate(tests):
        for column2, symbol2, other2 in tests[at + 1 :]:
            if column != column2:
                continue
            if other == other2 and _OPPOSITE.get(symbol) == symbol2:
                return True
            if symbol == symbol2 == "<>" and other != other2:
                return True
            if (symbol in _UP and symbol2 in _DOWN) and not _less(other2, other):
                return True
            if (symbol in _DOWN and symbol2 in _UP) and not _less(other, other2):
                return True
    return False


def _less(low: str, high: str) -> bool:
    """Whether the gap between two bounds is visible: both numbers or both quoted texts."""
    try:
        return float(low) < float(high)
    except ValueError:
        return low[:1] == high[:1] == "'" and low < high


def _simple_test(node: Node, target: Target, negated: bool) -> tuple[str, str, str] | None:
    inner = node.get("BoolExpr")
    if inner is not None and inner["boolop"] == "NOT_EXPR":
        node = inner["args"][0]
        negated = not negated
    test = node.get("NullTest")
    if test is not None:
        columns = _columns(test["arg"], target)
        is_null = (test["nulltesttype"] == "IS_NULL") != negated
        # NOT NULL never counts as effective, so that an alternative of it is never asked here.
        return (columns.pop(), "=" if is_null else "<>", "NULL") if columns else None
    column = node.get("ColumnRef")
    if column is not None:
        name = _own(column, target)
        return (name, "<>" if negated else "=", "true") if name else None
    compared = node.get("A_Expr")
    if compared is None or compared["kind"] not in ("AEXPR_OP", "AEXPR_LIKE"):
        return None
    left = compared.get("lexpr", {}).get("ColumnRef")
    if left is None:
        return None
    name = _own(left, target)
    symbol: str = strings(compared["name"])[-1]
    if negated:
        symbol = _OPPOSITE.get(symbol, "")
    return (name, symbol, _text(compared.get("rexpr"))) if name and symbol else None


def _text(node: Any) -> str:
    """A comparable form of a simple operand; other operands are equal to nothing."""
    value = constant(node)
    if value is None:
        if isinstance(node, dict) and "ParamRef" in node:
            return f"${node['ParamRef'].get('number', 0)}"
        return f"?{id(node)}"
    is_text = isinstance(node, dict) and "sval" in node.get("A_Const", {})
    return f"'{value}" if is_text else value


def _own(reference: Node, target: Target) -> str:
    """The name of the target's column that a ColumnRef means; empty when it may be another's."""
    fields = strings(reference["fields"])
    if len(fields) == 1:
        name = fields[0]
        if not target.alone or name in target.others:
            return ""
        return name if name not in (target.name, "*") else ""  # the whole row
    return fields[-1] if fields[-2] == target.name and fields[-1] != "*" else ""


def _columns(node: Any, target: Target) -> set[str]:
    """The target's columns that an expression mentions, subqueries' qualified ones included."""
    own, _, _ = _mentions(node, target)
    return own


def _mentions(node: Any, target: Target) -> tuple[set[str], set[str], set[str]]:
    """``(columns of the target, columns of anything, unqualified ones)`` in an expression."""
    own: set[str] = set()
    any_name: set[str] = set()
    loose: set[str] = set()
    stack: list[tuple[Any, Target]] = [(node, target)]
    while stack:
        item, seen_by = stack.pop()
        if isinstance(item, list):
            stack.extend([(part, seen_by) for part in item])
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "ColumnRef":
                    name = _own(value, seen_by)
                    if name:
                        own.add(name)
                    fields = strings(value["fields"])
                    any_name.add(fields[-1])
                    if len(fields) == 1:
                        loose.add(fields[0])
                elif key == "SelectStmt":
                    stack.append((value, seen_by.inner(value)))
                else:
                    stack.append((value, seen_by))
    return own, any_name, loose


# Patterns that match every text there is.
_MATCH_ALL: Final = frozenset(("", ".*", "^", "$", "^.*$", "^.*", ".*$", ".*?"))


def _comparison(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """A comparison of the target's column with something that mentions no such column."""
    left, left_names, left_loose = _mentions(node.get("lexpr"), target)
    right, right_names, right_loose = _mentions(node.get("rexpr"), target)
    kind: str = node["kind"]
    symbol: str = strings(node["name"])[-1]
    if not left_names and not right_names and not _queries(node):
        return _constants_differ(node, symbol, negated)
    common = left_names & right_names
    if left & right or (common and (target.twice or common & (left_loose | right_loose))):
        return False
    if not left and not right:
        return _join(left_names, right_names, node, target)
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        is_not_null = (kind == "AEXPR_DISTINCT") != negated
        return not (is_not_null and _is_null(node.get("rexpr"), node.get("lexpr")))
    pattern = constant(node.get("rexpr"))
    if pattern is not None and not negated:
        if kind in ("AEXPR_LIKE", "AEXPR_ILIKE") and not symbol.startswith("!"):
            return pattern.strip("%") != "" or pattern == ""
        if symbol in ("~", "~*"):
            return pattern not in _MATCH_ALL
    return not _same_table(node.get("rexpr"), target, symbol, depth)


def _is_null(*sides: Any) -> bool:
    return any(
        isinstance(side, dict) and side.get("A_Const", {}).get("isnull", False) for side in sides
    )


def _queries(node: Node) -> bool:
    return any("SubLink" in side for side in (node.get("lexpr", {}), node.get("rexpr", {})))


def _join(left: set[str], right: set[str], node: Node, target: Target) -> bool:
    """An unqualified column against another relation's: taken for a join with the target."""
    for side, other in (("lexpr", right), ("rexpr", left)):
        reference = node.get(side, {}).get("ColumnRef")
        if reference is None or not other or not target.name:
            continue
        fields = strings(reference["fields"])
        if len(fields) == 1 and fields[0] not in target.others and not target.alone:
            return True
    return False


def _constants_differ(node: Node, symbol: str, negated: bool) -> bool:
    """``1 = 2`` bounds (no row meets it), ``1 = 1`` does not; what cannot be told does not."""
    left = constant(node.get("lexpr"))
    right = constant(node.get("rexpr"))
    if left is None or right is None or node["kind"] != "AEXPR_OP":
        return False
    if symbol == "=":
        return (left == right) == negated
    if symbol == "<>":
        return (left != right) == negated
    return False


def _same_table(node: Any, target: Target, symbol: str, depth: int) -> bool:
    """Whether the other side is an unfiltered subquery on the target's own table."""
    if symbol == "=" or not isinstance(node, dict):
        return False
    link = node.get("SubLink")
    return link is not None and _unfiltered_self(link.get("subselect", {}), target, depth)


def _unfiltered_self(subselect: Node, target: Target, depth: int) -> bool:
    query: Node = subselect.get("SelectStmt", {})
    if query.get("limitCount") is not None:
        return False
    names = {
        node.get("relname", "") for item in query.get("fromClause", []) for node in item.values()
    }
    if target.relname not in names:
        return False
    inner = Target({"relname": target.relname}, [])
    return not bounds(query.get("whereClause"), inner, depth + 1)


def _sub_link(node: Node, target: Target, depth: int) -> bool:
    subselect: Node = node.get("subselect", {})
    query: Node = subselect.get("SelectStmt", {})
    test = node.get("testexpr")
    if test is not None:  # column IN (SELECT ...), column > ALL (SELECT ...)
        own, names, _ = _mentions(test, target)
        inside, _, _ = _mentions(subselect, target)
        if own & inside or _unfiltered_self(subselect, target, depth):
            return False
        return bool(own) or (bool(names) and not target.alone)
    if node.get("subLinkType") != "EXISTS_SUBLINK" or "whereClause" not in query:
        return False
    inner = target.inner(query)
    if inner.name == "" or inner.alone:
        return False
    return _effective(query["whereClause"], inner, False, depth)


def _call(node: Node, target: Target) -> bool:
    """A function as a filter: effective when it is given a column and something else to compare."""
    args: list[Any] = node.get("args", [])
    return len(args) > 1 and any(_columns(arg, target) for arg in args)
