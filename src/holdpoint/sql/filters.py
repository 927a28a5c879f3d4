"""Whether a filter bounds an UPDATE, DELETE or MERGE, or is one in name only.

A filter is effective when it compares something that follows a column of the target with something
that does not come from the target itself. What is not provably so counts as no filter:
``bulk_write`` is held or counted, never lost. Known limit, by design: filters that every row
happens to meet (``id > -1``, ``status IN`` every status there is) look effective; the row count,
asked before such a statement runs, and the bound, enforced while it runs, see those.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import RelationKind
from holdpoint.model.limits import FILTER_DEPTH_MAX, PARTNER_HOPS_MAX, SUBQUERY_LIMIT_ROWS_MAX
from holdpoint.sql.keys import limit_of
from holdpoint.sql.operands import follows, range_of, tests_by_call
from holdpoint.sql.regions import always_true, unqualified
from holdpoint.sql.subqueries import aggregates, conjuncts, follows_key, is_average, may_give
from holdpoint.sql.targets import (
    NOTHING_KNOWN,
    Relations,
    Target,
    alias_of,
    column_of,
    leaves,
    mentions,
    own_columns,
)
from holdpoint.sql.tautologies import (
    has_parameter,
    has_query,
    leaves_no_gap,
    list_items,
    makes_null,
    meets_everything,
    simple_test,
)
from holdpoint.sql.truths import against_truth, constants_differ, is_false, is_null
from holdpoint.sql.walk import Node, strings


def target_of(
    relation: Node, sources: list[Any], ctes: list[Any], names: Relations = NOTHING_KNOWN
) -> Target:
    """The table that is changed, beside ``sources``, under the CTEs of its statement."""
    target = Target(relation, sources, names)
    _find_copies(target, ctes, 0)
    return target


def _find_copies(target: Target, ctes: list[Any], depth: int) -> None:
    """Note which CTEs and FROM items give the target's rows again, all of them."""
    for item in ctes:
        cte: Node = item["CommonTableExpr"]
        if gives_all(cte.get("ctequery", {}).get("SelectStmt", {}), target, depth):
            target.selves.add(cte["ctename"])
    for kind, node in leaves(target.sources):
        if _copies(kind, node, target, depth):
            target.copies.add(alias_of(node))


def _copies(kind: str, node: Node, target: Target, depth: int) -> bool:
    """Whether a FROM item is the target's table again, or gives all its rows."""
    if depth > FILTER_DEPTH_MAX:
        return True
    if kind == "RangeSubselect":
        return gives_all(node.get("subquery", {}).get("SelectStmt", {}), target, depth + 1)
    if kind != "RangeVar":
        return False
    if node.get("relname", "") in target.selves:
        return True
    found = target.names.of(node)
    views = (RelationKind.VIEW, RelationKind.MATERIALIZED_VIEW)
    return found is not None and found.kind in views and target.relname in found.definition


def gives_all(query: Node, target: Target, depth: int) -> bool:
    """Whether a query may give every row of the target's table again.

    It does when it reads the table (or a copy) without a filter and without a LIMIT that bounds.
    """
    if depth > FILTER_DEPTH_MAX:
        return True
    limit = limit_of(query)
    if limit is not None and limit <= SUBQUERY_LIMIT_ROWS_MAX:
        return False
    operation: str = query.get("op", "SETOP_NONE")
    if operation != "SETOP_NONE":
        left = gives_all(query.get("larg", {}), target, depth + 1)
        if operation == "SETOP_EXCEPT":
            return left
        right = gives_all(query.get("rarg", {}), target, depth + 1)
        return (left and right) if operation == "SETOP_INTERSECT" else (left or right)
    sources: list[Any] = query.get("fromClause", [])
    inner = target.inner(query)
    ctes: list[Any] = query.get("withClause", {}).get("ctes", [])
    inner.selves = set(target.selves)
    inner.copies = set()
    _find_copies(inner, ctes, depth + 1)
    if not inner.copies:
        return False
    return not any(
        bounds(query.get("whereClause"), again, depth + 1) for again in _readers(sources, inner)
    )


def _readers(sources: list[Any], inner: Target) -> list[Target]:
    """Each FROM item that copies the target, as a target of the subquery's own filter."""
    found: list[Target] = []
    items = leaves(sources)
    for kind, node in items:
        if alias_of(node) not in inner.copies:
            continue
        others: list[Any] = [{k: n} for k, n in items if n is not node]
        is_table = kind == "RangeVar" and node.get("relname", "") == inner.relname
        relation = node if is_table else {"alias": {"aliasname": alias_of(node)}}
        reader = Target(relation, others, inner.names)
        if not is_table:
            reader.relation = None
            reader.relname = inner.relname
        reader.selves = inner.selves
        found.append(reader)
    return found


def bounds(condition: Any, target: Target, depth: int = 0) -> bool:
    """Whether ``condition`` (a node, or None) leaves out rows of ``target``."""
    if condition is None:
        return False
    if target.where is None:
        target.where = condition
    return _effective(condition, target, False, depth)


def _effective(node: Node, target: Target, negated: bool, depth: int) -> bool:
    if depth > FILTER_DEPTH_MAX:
        return False
    for kind, value in node.items():
        if kind == "BoolExpr":
            return _boolean(value, target, negated, depth + 1)
        if kind == "A_Expr":
            return _comparison(value, target, negated, depth + 1)
        if kind == "ColumnRef":
            return target.own(value) != ""
        if kind == "CurrentOfExpr":
            return not negated
        if kind == "NullTest":
            return _null_test(value, target, negated)
        if kind == "BooleanTest":
            return _truth_test(value, target, negated, depth + 1)
        if kind == "SubLink":
            return _sub_link(value, target, negated, depth + 1)
        if kind == "CoalesceExpr":
            return _all_or_false(value["args"], target, negated, depth + 1)
        if kind == "FuncCall":
            return tests_by_call(value, target)
        if kind == "TypeCast":
            return _cast(value, target, negated, depth + 1)
        if kind == "A_Const":
            return is_false(node, negated)
    return False


def _null_test(node: Node, target: Target, negated: bool) -> bool:
    """``x IS NULL`` where x is not made NULL; ``x IS NOT NULL`` where a catalog says it may be."""
    arg: Node = node["arg"]
    if (node["nulltesttype"] == "IS_NULL") != negated:
        own = bool(own_columns(arg, target))
        made = makes_null(arg) or has_parameter(arg) or has_query(arg)
        return own and not made
    reference: Node | None = arg.get("ColumnRef")
    if reference is None or target.relation is None:
        return False
    column = column_of(target.relation, target.own(reference))
    return column is not None and not column.not_null


def _truth_test(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """``x IS TRUE`` and its kin, which turn an unknown x into a yes or a no."""
    kind: str = node["booltesttype"]
    positive = kind in ("IS_TRUE", "IS_FALSE", "IS_UNKNOWN")
    arg: Node = node["arg"]
    if kind in ("IS_UNKNOWN", "IS_NOT_UNKNOWN"):
        is_unknown = positive != negated
        made = makes_null(arg) or has_parameter(arg) or has_query(arg)
        return is_unknown and bool(own_columns(arg, target)) and not made
    turned = kind in ("IS_FALSE", "IS_NOT_TRUE")
    if positive == negated and (makes_null(arg) or has_parameter(arg) or has_query(arg)):
        return False  # an x that is always NULL is met here
    if turned and not own_columns(arg, target):
        return False
    return _effective(arg, target, turned != negated, depth)


def _cast(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """A cast to boolean of what is no boolean may be true for what reads as false."""
    arg: Node = node["arg"]
    if strings(node.get("typeName", {}).get("names", []))[-1:] != ["bool"]:
        return False
    if "TypeCast" in arg and own_columns(arg, target):
        return _cast(arg["TypeCast"], target, negated, depth)
    return "TypeCast" not in arg and _effective(arg, target, negated, depth)


def _boolean(node: Node, target: Target, negated: bool, depth: int) -> bool:
    args: list[Node] = node["args"]
    kind: str = node["boolop"]
    if kind == "NOT_EXPR":
        return _effective(args[0], target, not negated, depth)
    if (kind == "AND_EXPR") != negated:  # a negated OR is an AND of negations
        return any(_effective(arg, target, negated, depth) for arg in args)
    if not all(_effective(arg, target, negated, depth) for arg in args):
        return False
    whole = unqualified({"BoolExpr": node}, target.schema, target.name)
    if always_true(whole, negated):
        return False
    found = _alternatives(whole["BoolExpr"]["args"], negated)
    tests = [simple_test(arg, turned) for arg, turned in found]
    return not leaves_no_gap([test for test in tests if test is not None])


def _alternatives(args: list[Node], negated: bool) -> list[tuple[Node, bool]]:
    """The alternatives of an OR with the ORs and NOTs in it resolved: ``(test, negated)``."""
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
    return found


def _says_nothing(node: Node) -> bool:
    """A part of an AND that is a constant, compares constants, or asks for NULL."""
    if "NullTest" in node:
        return True
    return not any(mentions(node, Target({}, [], NOTHING_KNOWN)))


def _all_or_false(args: list[Node], target: Target, negated: bool, depth: int) -> bool:
    found = False
    for arg in args:
        if "A_Const" in arg:
            if not is_false(arg, negated):
                return False
        elif _effective(arg, target, negated, depth):
            found = True
        else:
            return False
    return found


def _comparison(node: Node, target: Target, negated: bool, depth: int) -> bool:
    """A comparison of what follows the target's column with what does not come from the target."""
    truth = against_truth(node, negated)
    if truth is not None:
        return _effective(truth[0], target, truth[1], depth)
    left_node, right_node = node.get("lexpr"), node.get("rexpr")
    left, left_qualifiers, left_loose = mentions(left_node, target)
    right, right_qualifiers, right_loose = mentions(right_node, target)
    kind: str = node["kind"]
    symbol: str = strings(node["name"])[-1]
    qualifiers, loose = left_qualifiers | right_qualifiers, left_loose | right_loose
    own = left | right
    if not own and not qualifiers and not loose and not _queries(node):
        return constants_differ(node, symbol, negated)
    if left & right or left & right_loose or right & left_loose:
        return False
    if target.copies & qualifiers or (target.copies and loose):
        return False  # the table a second time: `a.id = b.id` holds for every row
    if not own:
        return target.relation is None and _join(node, target)
    if target.name in loose:
        return False  # the whole row beside one of its columns
    if not _sides_follow(node, target, symbol, negated):
        return False
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        is_not_null = (kind == "AEXPR_DISTINCT") != negated
        return not (is_not_null and is_null(right_node, left_node))
    side = left_node if left else right_node
    if meets_everything(node, negated, range_of(side, target)):
        return False
    if kind == "AEXPR_OP" and symbol == "=" and not negated:
        return not _covers(left_node, right_node, target, depth)
    if kind == "AEXPR_OP_ANY" and symbol == "=" and not negated:
        link: Node = (right_node or {}).get("SubLink", {})
        query: Node = link.get("subselect", {}).get("SelectStmt", {})
        if query and _covered_by(left_node or {}, query, target, depth):
            return False
    return all(
        is_average(item) or not _reads_all(item, target, depth) for item in (left_node, right_node)
    )


def _sides_follow(node: Node, target: Target, symbol: str, negated: bool) -> bool:
    """Whether what mentions the target's columns follows them, on either side."""
    is_equality = (symbol == "=") != negated
    found = False
    for name in ("lexpr", "rexpr"):
        side = node.get(name)
        if not isinstance(side, dict) or not own_columns(side, target):
            continue
        items = _operands(node, name)
        telling = [follows(item, target) for item in items]
        if not any(telling):
            if not _looks_up(side, target):
                return False
            continue
        # Of two rows that must be equal one pair is enough. Else `(1, id) <> (2, 5)` and
        # `1 IN (id, 1)` hold for all; beside a column on the left a list may have constants.
        enough = all(telling) or (is_equality and "RowExpr" in side)
        if not enough and (not found or _own_unfollowed(items, target)):
            return False
        found = True
    return found


def _operands(node: Node, name: str) -> list[Any]:
    """One side of a comparison: the parts of a row or a list, or itself."""
    side: Node = node[name]
    for kind, field in (("RowExpr", "args"), ("List", "items")):
        if kind in side:
            parts: list[Any] = side[kind].get(field, [])
            return parts
    return (list_items(node) if name == "rexpr" else []) or [side]


def _own_unfollowed(items: list[Any], target: Target) -> bool:
    return any(own_columns(item, target) and not follows(item, target) for item in items)


def _looks_up(side: Any, target: Target) -> bool:
    """A correlated scalar subquery on another table, to compare a column with."""
    link: Node = side.get("SubLink", {}) if isinstance(side, dict) else {}
    if link.get("subLinkType") != "EXPR_SUBLINK":
        return False
    query: Node = link.get("subselect", {}).get("SelectStmt", {})
    inner = target.inner(query)
    inner.copies = set()
    _find_copies(inner, query.get("withClause", {}).get("ctes", []), 1)
    return not inner.copies and bool(query.get("fromClause")) and not has_query(query)


def _reads_all(node: Any, target: Target, depth: int) -> bool:
    """Whether a subquery somewhere within may give all rows of the target's own table."""
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict) and "A_Const" not in item:
            for key, value in item.items():
                if key == "SelectStmt":
                    if gives_all(value, target, depth + 1):
                        return True
                else:
                    stack.append(value)
    return False


def _covers(left: Any, right: Any, target: Target, depth: int) -> bool:
    """Whether ``left = right`` joins every row: along a NOT NULL foreign key, to all partners."""
    for own_side, other in ((left, right), (right, left)):
        own = own_side.get("ColumnRef") if isinstance(own_side, dict) else None
        reference = other.get("ColumnRef") if isinstance(other, dict) else None
        if own is None or reference is None or not target.own(own):
            continue
        alias = target.partner_of(reference)
        partner = target.partners.get(alias)
        column = strings(reference["fields"])[-1]
        if partner is not None and follows_key(target, target.own(own), partner, column):
            return not _partner_bounded(target, alias, depth)
    return False


def _partner_bounded(target: Target, alias: str, depth: int) -> bool:
    """Whether the rest of the condition leaves out rows of a partner, and so of the target."""
    if target.hops >= PARTNER_HOPS_MAX:
        return False
    others: list[Any] = [{"RangeVar": target.node}]
    node: Node = {}
    for kind, item in leaves(target.sources):
        if alias_of(item) == alias:
            node = item
        else:
            others.append({kind: item})
    partner = Target(node, others, target.names)
    partner.where, partner.hops = target.where, target.hops + 1
    return any(
        not own_columns(part, target) and _effective(part, partner, False, depth + 1)
        for part in conjuncts(target)
    )


def _queries(node: Node) -> bool:
    return any("SubLink" in side for side in (node.get("lexpr", {}), node.get("rexpr", {})))


def _join(node: Node, target: Target) -> bool:
    """An unqualified column against another relation's: taken for a join with the target."""
    for side, other in (("lexpr", "rexpr"), ("rexpr", "lexpr")):
        reference = node.get(side, {}).get("ColumnRef")
        if reference is None or not any(mentions(node.get(other), target)) or not target.name:
            continue
        fields = strings(reference["fields"])
        if len(fields) == 1 and fields[0] not in target.others and not target.alone:
            return True
    return False


# Different from one of several: `<> ANY (SELECT ...)` and `NOT (= ALL (SELECT ...))`.
_DIFFERS: Final = (("ANY_SUBLINK", ["<>"], False), ("ALL_SUBLINK", ["="], True))


def _sub_link(node: Node, target: Target, negated: bool, depth: int) -> bool:
    query: Node = node.get("subselect", {}).get("SelectStmt", {})
    test = node.get("testexpr")
    kind: str = node.get("subLinkType", "")
    symbol = strings(node.get("operName", []))[-1:] or ["="]
    # What holds when the subquery has no rows needs a subquery that shows no sign of that.
    for_none = negated != (kind == "ALL_SUBLINK")
    if for_none and not may_give(query, target.inner(query)):
        return False
    if test is not None:  # column IN (SELECT ...), column > ALL (SELECT ...)
        if (kind, symbol, negated) in _DIFFERS:
            return False
        own, qualifiers, loose = mentions(test, target)
        inside = own_columns(query, target.inner(query))
        if own & inside or gives_all(query, target, depth + 1) or target.name in loose:
            return False
        if inside and _reads_all({"SelectStmt": {**query, "whereClause": None}}, target, depth):
            return False
        if not own:
            return target.relation is None and not target.alone and bool(qualifiers | loose)
        parts: list[Any] = test["RowExpr"]["args"] if "RowExpr" in test else [test]
        if not any(follows(part, target) for part in parts) or _own_unfollowed(parts, target):
            return False
        return negated or not _covered_by(test, query, target, depth)
    if kind != "EXISTS_SUBLINK" or "whereClause" not in query or aggregates(query):
        return False
    inner = target.inner(query)
    if inner.name == "" or not query.get("fromClause"):
        return False
    inner.copies = set()
    _find_copies(inner, query.get("withClause", {}).get("ctes", []), depth + 1)
    return _effective(query["whereClause"], inner, False, depth)


def _covered_by(test: Node, query: Node, target: Target, depth: int) -> bool:
    """``column IN (SELECT key FROM partner)`` along a NOT NULL foreign key, all of it."""
    reference: Node | None = test.get("ColumnRef")
    items, columns = query.get("fromClause", []), query.get("targetList", [])
    if reference is None or len(items) != 1 or len(columns) != 1 or limit_of(query) is not None:
        return False
    node: Node = items[0].get("RangeVar", {})
    partner = target.names.seen_as(node) if node else None
    fields = strings(columns[0]["ResTarget"]["val"].get("ColumnRef", {}).get("fields", []))
    if partner is None or not fields:
        return False
    if not follows_key(target, target.own(reference), partner, fields[-1]):
        return False
    return not bounds(query.get("whereClause"), Target(node, [], target.names), depth + 1)
