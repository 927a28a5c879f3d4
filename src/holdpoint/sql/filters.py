"""Whether a filter bounds an UPDATE, DELETE or MERGE, or is one in name only.

A filter is effective when it compares a column of the target with something that is not itself.
What is not provably so counts as no filter: ``bulk_write`` is held or counted, never lost. Known
limits, by design: arithmetic identities (``id - id = 0``) and filters that every row happens to
meet (``id > -1``) look effective; the row count, asked before such a statement runs, sees those.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.limits import FILTER_DEPTH_MAX
from holdpoint.sql.tautologies import (
    MIRRORED,
    OPPOSITE,
    Test,
    chooses,
    has_opposites,
    leaves_no_gap,
    list_items,
    makes_null,
    meets_everything,
)
from holdpoint.sql.walk import Node, constant, strings


class Target:
    """The table that is changed: the name its columns are qualified with, and its own name.

    ``alone`` tells that no other relation is in scope, so that an unqualified column is its own.
    ``others`` are the column names that other relations in scope are known to export.
    """

    def __init__(self, relation: Node, sources: list[Any], ctes: list[Any] | None = None) -> None:
        alias: Node = relation.get("alias", {})
        self.relname: str = relation.get("relname", "")
        self.schema: str = relation.get("schemaname", "")
        self.name: str = alias.get("aliasname", "") or self.relname
        self.alone = not sources
        # Names that give all rows of the table: its own, and CTEs that copy it.
        self.selves: set[str] = {self.relname}
        for item in ctes or []:
            cte: Node = item["CommonTableExpr"]
            if _unfiltered_self(cte.get("ctequery", {}), self, 0):
                self.selves.add(cte["ctename"])
        # The table a second time: `a.id = b.id` is then true for every row.
        self.twice = any(_copies(source, self, 0) for source in sources)
        self.others: set[str] = set()
        for source in sources:
            _exports(source, self.others)

    def inner(self, query: Node) -> Target:
        """The same target seen from inside a subquery: only qualified columns are its own."""
        copy = Target({"relname": self.relname, "schemaname": self.schema}, [])
        copy.name = self.name
        copy.selves = self.selves
        copy.alone = not query.get("fromClause")
        copy.twice = any(_copies(item, self, 0) for item in query.get("fromClause", []))
        if not copy.alone and self.name in _names(query):
            copy.name = ""  # hidden by an inner relation of that name
        return copy


def _copies(item: Any, target: Target, depth: int) -> bool:
    """Whether a FROM item is the target's table again, or a subquery that gives all its rows."""
    if not isinstance(item, dict):
        return False
    if "RangeVar" in item:
        return item["RangeVar"].get("relname", "") in target.selves
    if depth > FILTER_DEPTH_MAX:
        return True
    subquery: Node = item.get("RangeSubselect", {}).get("subquery", {})
    return bool(subquery) and _unfiltered_self(subquery, target, depth)


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
            own = _columns(value["arg"], target)
            return is_null != negated and bool(own) and not makes_null(value["arg"])
        if kind == "BooleanTest":
            return _truth_test(value, target, negated, depth + 1)
        if kind == "SubLink":
            return _sub_link(value, target, negated, depth + 1)
        if kind == "CoalesceExpr":
            return _all_or_false(value["args"], target, negated, depth + 1)
        if kind == "FuncCall":
            return _call(value, target)
        if kind == "TypeCast":
            return _cast(value, target, negated, depth + 1)
        if kind == "A_Const":
            return _is_false(node, negated)
    return False


def _truth_test(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """``x IS TRUE`` and its kin, which turn an unknown x into a yes or a no."""
    kind: str = node["booltesttype"]
    positive = kind in ("IS_TRUE", "IS_FALSE", "IS_UNKNOWN")
    arg: Node = node["arg"]
    if kind in ("IS_UNKNOWN", "IS_NOT_UNKNOWN"):
        is_unknown = positive != negated
        return is_unknown and bool(_columns(arg, target)) and not makes_null(arg)
    turned = kind in ("IS_FALSE", "IS_NOT_TRUE")
    if positive == negated and makes_null(arg):  # an x that is always NULL is met here
        return False
    if turned and not _columns(arg, target):
        return False
    return _effective(arg, target, turned != negated, depth)


def _cast(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """A cast to boolean of what is no boolean may be true for what reads as false."""
    arg: Node = node["arg"]
    if strings(node.get("typeName", {}).get("names", []))[-1:] != ["bool"]:
        return False
    if "TypeCast" in arg and _columns(arg, target):
        return _cast(arg["TypeCast"], target, negated, depth)
    return "TypeCast" not in arg and _effective(arg, target, negated, depth)


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
    if not all(_effective(arg, target, negated, depth) for arg in args):
        return False
    found = _alternatives(args, negated)
    if has_opposites(found):
        return False
    tests = [_simple_test(arg, target, turned) for arg, turned in found]
    return not leaves_no_gap([test for test in tests if test is not None])


def _alternatives(args: list[Node], negated: bool) -> list[tuple[Node, bool]]:
    """The alternatives of an OR with the ORs and NOTs in it resolved: ``(test, negated)``.

    ``x AND true`` counts as x: what bounds nothing in an AND is left out.
    """
    found: list[tuple[Node, bool]] = []
    stack = [(arg, negated) for arg in args]
    while stack:
        node, turned = stack.pop()
        inner: Node | None = node.get("BoolExpr")
        if inner is None:
            found.append((node, turned))
            continue
        parts: list[Node] = inner["args"]
        if inner["boolop"] == "NOT_EXPR":
            stack.append((parts[0], not turned))
        elif (inner["boolop"] == "OR_EXPR") != turned:
            stack.extend([(part, turned) for part in parts])
        else:
            telling = [part for part in parts if not _says_nothing(part)]
            if len(telling) == 1:
                stack.append((telling[0], turned))
            else:
                found.append((node, turned))
    return found


def _says_nothing(node: Node) -> bool:
    """A part of an AND that is a constant, compares constants, or asks for NULL."""
    if "NullTest" in node:
        return True
    _, names, _ = _mentions(node, Target({}, []))
    return not names


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


def _simple_test(node: Node, target: Target, negated: bool) -> Test | None:
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
    left, other = compared.get("lexpr", {}).get("ColumnRef"), compared.get("rexpr")
    symbol: str = strings(compared["name"])[-1]
    if left is None:
        left, other = (other or {}).get("ColumnRef"), compared.get("lexpr")
        symbol = MIRRORED.get(symbol, "")
    if left is None:
        return None
    name = _own(left, target)
    if negated:
        symbol = OPPOSITE.get(symbol, "")
    return (name, symbol, _text(other)) if name and symbol else None


def _text(node: Any) -> str:
    """A comparable form of a simple operand; other operands are equal to nothing."""
    value = constant(node)
    if value is None:
        if isinstance(node, dict) and "ParamRef" in node:
            return f"${node['ParamRef'].get('number', 0)}"
        return f"?{id(node)}"
    is_text = isinstance(node, dict) and "sval" in node.get("A_Const", {})
    return f"'{value}" if is_text else value


# System columns (manual, section 5.6) that most often hold one value for the whole table.
_SAME_IN_EVERY_ROW: Final = frozenset(("tableoid", "cmin", "cmax", "xmax"))


def _own(reference: Node, target: Target) -> str:
    """The name of the target's column that a ColumnRef means; empty when it may be another's."""
    fields = strings(reference["fields"])
    if fields[-1] in _SAME_IN_EVERY_ROW:
        return ""
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


def _comparison(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """A comparison of the target's column with something that mentions no such column."""
    truth = _against_truth(node, negated)
    if truth is not None:
        return _effective(truth[0], target, truth[1], depth)
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
    if chooses(node.get("lexpr")) or chooses(node.get("rexpr")):
        return False
    if {target.name} & (left_loose | right_loose) and left | right:
        return False  # the whole row beside one of its columns
    if not left and any(not _columns(item, target) for item in list_items(node)):
        return False  # `1 IN (id, 1)`
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        is_not_null = (kind == "AEXPR_DISTINCT") != negated
        return not (is_not_null and _is_null(node.get("rexpr"), node.get("lexpr")))
    if meets_everything(node, negated):
        return False
    return not _same_table(node.get("rexpr"), target, symbol, depth)


def _against_truth(node: Node, negated: bool) -> tuple[Node, bool] | None:
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
        is_false = word.strip().lower() in ("false", "f", "no", "n", "off", "0")
        return test, (turned != is_false) != negated
    return None


_COMPARES_TRUTH: Final = frozenset(("AEXPR_OP", "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"))
_TESTS: Final = frozenset(("BoolExpr", "NullTest", "BooleanTest"))


def _is_test(node: Node) -> bool:
    """Whether an expression is a test, as its form shows."""
    compared: Node = node.get("A_Expr", {})
    if compared and compared["kind"] == "AEXPR_OP":
        return strings(compared["name"])[-1] in OPPOSITE
    return bool(compared) or bool(_TESTS & set(node))


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
    if not any(_copies(item, target, depth + 1) for item in query.get("fromClause", [])):
        return False
    inner = Target({"relname": target.relname}, [])
    return not bounds(query.get("whereClause"), inner, depth + 1)


def _gives_nothing(query: Node) -> bool:
    """Whether a subquery shows that it has no rows: ``WHERE false``, ``LIMIT 0``."""
    if constant(query.get("limitCount")) == "0":
        return True
    where: Node = query.get("whereClause", {})
    inner: Node = where.get("BoolExpr", {})
    parts = inner["args"] if inner and inner["boolop"] == "AND_EXPR" else [where]
    return any("A_Const" in part and _is_false(part, False) for part in parts)


def _sub_link(node: Node, target: Target, negated: bool, depth: int) -> bool:
    subselect: Node = node.get("subselect", {})
    query: Node = subselect.get("SelectStmt", {})
    test = node.get("testexpr")
    if _gives_nothing(query) and (negated or node.get("subLinkType") == "ALL_SUBLINK"):
        return False
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
    if strings(node["funcname"])[-1] == "starts_with" and constant(args[-1]) == "":
        return False
    return len(args) > 1 and any(_columns(arg, target) for arg in args)
