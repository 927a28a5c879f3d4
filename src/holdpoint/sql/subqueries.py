"""What the form of a subquery shows: the tests that must hold in it, whether it can be empty."""

from __future__ import annotations

from typing import Any

from holdpoint.model.catalog import Relation
from holdpoint.sql.keys import limit_of
from holdpoint.sql.targets import NOTHING_KNOWN, Target, column_of
from holdpoint.sql.truths import is_null
from holdpoint.sql.walk import Node, strings


def conjuncts(target: Target) -> list[Node]:
    """What must all hold: the parts of the condition and of inner joins beside the target."""
    found: list[Node] = []
    stack: list[Any] = [target.where]
    joins: list[Any] = list(target.sources)
    while joins:
        join: Node = joins.pop().get("JoinExpr", {})
        if join.get("jointype") == "JOIN_INNER":
            stack.append(join.get("quals"))
            joins.extend([join["larg"], join["rarg"]])
    while stack:
        part = stack.pop()
        inner: Node = part.get("BoolExpr", {}) if isinstance(part, dict) else {}
        if inner and inner["boolop"] == "AND_EXPR":
            stack.extend(inner["args"])
        elif part is not None:
            found.append(part)
    return found


def aggregates(query: Node) -> bool:
    """Whether a query may give a row although it found none: ``SELECT count(*) ...``."""
    for item in query.get("targetList", []):
        stack: list[Any] = [item]
        while stack:
            part = stack.pop()
            if isinstance(part, list):
                stack.extend(part)
            elif isinstance(part, dict):
                if "FuncCall" in part:
                    return True
                stack.extend(part.values())
    return "groupClause" in query or "havingClause" in query


def may_give(query: Node, inner: Target) -> bool:
    """Whether a subquery shows no sign of being empty: every part a plain test, no odd LIMIT."""
    limit = query.get("limitCount")
    if (limit is not None and not limit_of(query)) or "limitOffset" in query:
        return False
    if query.get("op", "SETOP_NONE") != "SETOP_NONE" or "havingClause" in query:
        return False
    parts = Target({}, query.get("fromClause", []), NOTHING_KNOWN)
    parts.where = query.get("whereClause")
    return all(_plain_test(part) for part in conjuncts(parts))


def _plain_test(node: Node) -> bool:
    """A test that some row may well meet: a column and something else."""
    if "NullTest" in node:
        return "ColumnRef" in node["NullTest"]["arg"]
    if "ColumnRef" in node:
        return True
    test: Node = node.get("A_Expr", {})
    if not test:
        return "BoolExpr" in node and all(_plain_test(arg) for arg in node["BoolExpr"]["args"])
    left, right = test.get("lexpr", {}), test.get("rexpr", {})
    references = [side["ColumnRef"] for side in (left, right) if "ColumnRef" in side]
    if not references or is_null(left, right):
        return False
    names = [tuple(strings(each["fields"])) for each in references]
    same = len(names) == 2 and (names[0] == names[1] or len(names[0]) != len(names[1]))
    return not same


def follows_key(target: Target, column: str, partner: Relation, other: str) -> bool:
    """Whether a foreign key gives each row of the target a partner where ``column = other``."""
    relation = target.relation
    if relation is None:
        return False
    stored = target.names.stored_name(partner, other)
    for key in relation.constraints:
        if key.kind != "f" or not key.valid or key.references != partner.oid:
            continue
        found = [column_of(relation, name) for name in key.columns]
        if any(each is None or not each.not_null for each in found):
            continue
        if (column, stored) in zip(key.columns, key.referenced_columns, strict=False):
            return True
    return False


def is_average(node: Any) -> bool:
    """``(SELECT avg(x) FROM ...)``: some values are below it and some above, or all are equal."""
    query: Node = node.get("SubLink", {}) if isinstance(node, dict) else {}
    targets = query.get("subselect", {}).get("SelectStmt", {}).get("targetList", [])
    if query.get("subLinkType") != "EXPR_SUBLINK" or len(targets) != 1:
        return False
    call: Node = targets[0]["ResTarget"]["val"].get("FuncCall", {})
    return strings(call.get("funcname", []))[-1:] == ["avg"]
