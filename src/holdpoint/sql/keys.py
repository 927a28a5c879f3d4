"""How many rows a condition can choose at most, as the unique keys of the table prove.

A condition fixes a column when it compares it, by the equality its index knows, with a value that
is one for the whole statement. Where all columns of a unique key are fixed, at most one row per
combination of values is met. Everything here is a proof or no answer: an operator, a cast or a type
that might not agree with the index's own equality gives none (``int8 = float8`` compares rounded
values; a ``timestamp`` beside a ``timestamptz`` has two that are equal when clocks go back).

Known limits: a parameter is taken to be of its column's type, and an index to have the collation
of its column; the row bound that is enforced at execution covers both.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import Index, Relation, RelationKind
from holdpoint.model.limits import FILTER_DEPTH_MAX
from holdpoint.sql.names import Catalog
from holdpoint.sql.targets import TID_OID, Target, alias_of, column_of, leaves, words
from holdpoint.sql.walk import Node, constant, strings

_WHOLE: Final = frozenset(("int2", "int4", "int8", "numeric"))
_TEXT: Final = frozenset(("text", "varchar"))
_FITS: Final[dict[int, frozenset[str]]] = {
    # oid of a column's type (pg_type.dat): casts whose values compare with it exactly
    21: _WHOLE, 23: _WHOLE, 20: _WHOLE, 1700: _WHOLE,
    26: frozenset(("oid", "int4")),
    16: frozenset(("bool",)),
    25: _TEXT, 1043: _TEXT, 1042: _TEXT | {"bpchar"}, 19: frozenset(("name", "text")),
    2950: frozenset(("uuid",)),
    1082: frozenset(("date",)),
    1114: frozenset(("timestamp", "date")),
    1184: frozenset(("timestamptz", "timestamp", "date")),
    700: frozenset(), 701: frozenset(), TID_OID: frozenset(),
}  # fmt: skip
_STORED: Final = (RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.MATERIALIZED_VIEW)
_STEADY: Final = frozenset(("now", "lower", "upper", "date_trunc", "min", "max"))
_PLAIN_QUERY: Final = words(
    "targetList fromClause whereClause sortClause limitCount limitOffset limitOption op"
)


def unique_keys(relation: Relation, catalog: Catalog | None, alone: bool) -> list[tuple[str, ...]]:
    """The column lists of which every value stands at most once in the table.

    ``alone`` is ONLY: without it, rows of inheriting tables come in, which share no key. Partial,
    invalid, deferrable and expression indexes prove nothing.
    """
    children = catalog is not None and bool(catalog.children(relation.oid))
    if relation.kind not in (RelationKind.TABLE, RelationKind.PARTITIONED):
        return []
    if relation.kind is RelationKind.TABLE and children and not alone:
        return []
    deferrable = {each.name for each in relation.constraints if each.deferrable}
    keys = [index.columns for index in relation.indexes if _proves(index, deferrable)]
    if relation.kind is RelationKind.TABLE:
        keys.append(("ctid",))
    return keys


def _proves(index: Index, deferrable: set[str]) -> bool:
    return (
        index.unique
        and index.valid
        and not index.predicate
        and bool(index.columns)
        and "" not in index.columns
        and index.name not in deferrable
    )


def has_rules(relation: Relation, event: str) -> bool:
    """Whether rewrite rules may turn an ``event`` into something else."""
    return any(rule.event == event and rule.enabled != "D" for rule in relation.rules)


class Sources:
    """A VALUES list beside the target: alias to (column names, rows).

    ``one_by_one`` counts for one row of the list instead of for all of them.
    """

    def __init__(self, items: list[Any], one_by_one: bool = False) -> None:
        self.one_by_one = one_by_one
        self.lists: dict[str, tuple[list[str], list[Any]]] = {}
        for kind, node in leaves(items):
            if kind == "RangeSubselect" and len(items) == 1 and "RangeSubselect" in items[0]:
                rows = values_of(node.get("subquery", {}).get("SelectStmt", {}))
                names = strings(node.get("alias", {}).get("colnames", []))
                if rows:
                    self.lists[alias_of(node)] = (names, rows)


def values_of(query: Node) -> list[Any]:
    """The rows of a VALUES list (each a list of nodes); empty for any other query."""
    rows: list[Any] = query.get("valuesLists", [])
    return [row["List"]["items"] for row in rows]


class _Fixed:
    """Columns that a condition fixes, each with its number of values; groups fixed together."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.groups: list[tuple[set[str], int]] = []

    def note(self, column: str, count: int) -> None:
        self.counts[column] = min(count, self.counts.get(column, count))

    def most(self, key: tuple[str, ...]) -> int | None:
        """The number of combinations that the columns of ``key`` can have."""
        best = self._product(set(key), 1)
        for columns, count in self.groups:
            found = self._product(set(key) - columns, count)
            if found is not None and (best is None or found < best):
                best = found
        return best

    def _product(self, columns: set[str], count: int) -> int | None:
        for column in columns:
            if column not in self.counts:
                return None
            count *= self.counts[column]
        return count


def most_rows(where: Any, target: Target, one_by_one: bool = False) -> int | None:
    """The most rows of ``target`` that ``where`` can meet; None when no key proves a number.

    ``one_by_one`` asks for one row of the VALUES list that is joined.
    """
    if target.relation is None or where is None:
        return None
    keys = unique_keys(target.relation, target.names.catalog(), not target.node.get("inh", False))
    return _most(where, target, keys, Sources(target.sources, one_by_one), 0)


def _most(
    node: Node, target: Target, keys: list[tuple[str, ...]], sources: Sources, depth: int
) -> int | None:
    if depth > FILTER_DEPTH_MAX:
        return None
    parts = [node]
    boolean: Node | None = node.get("BoolExpr")
    if boolean is not None and boolean["boolop"] == "OR_EXPR":
        total = 0
        for arg in boolean["args"]:
            found = _most(arg, target, keys, sources, depth + 1)
            if found is None:
                return None
            total += found
        return total
    if boolean is not None and boolean["boolop"] == "AND_EXPR":
        parts = boolean["args"]
    fixed = _Fixed()
    best: list[int] = []
    for part in parts:
        if _never(part):
            return 0
        if "BoolExpr" in part:
            if part is not node:
                inner = _most(part, target, keys, sources, depth + 1)
                if inner is not None:
                    best.append(inner)
        else:
            _fix(part, target, sources, fixed)
    for key in keys:
        found = fixed.most(key)
        if found is not None:
            best.append(found)
    return min(best) if best else None


def _never(node: Node) -> bool:
    """``false`` and ``NULL`` as they stand."""
    value: Node | None = node.get("A_Const")
    if value is None:
        return False
    is_false = "boolval" in value and not value["boolval"].get("boolval", False)
    return is_false or bool(value.get("isnull", False))


def _fix(node: Node, target: Target, sources: Sources, fixed: _Fixed) -> None:
    """Note the columns that one test fixes."""
    link: Node | None = node.get("SubLink")
    if link is not None:
        _fix_by_query(link, target, fixed)
        return
    test: Node | None = node.get("A_Expr")
    if test is None or strings(test["name"]) not in (["="], ["pg_catalog", "="]):
        return
    kind: str = test["kind"]
    left: Node = test.get("lexpr", {})
    right: Node = test.get("rexpr", {})
    if kind == "AEXPR_OP":
        _fix_pairs(left, right, target, sources, fixed)
        _fix_pairs(right, left, target, sources, fixed)
    elif kind == "AEXPR_IN" and "RowExpr" in left:
        _fix_rows(left["RowExpr"].get("args", []), right["List"]["items"], target, fixed)
    elif kind == "AEXPR_IN":
        column = _key_column(left, target)
        items: list[Any] = right["List"]["items"]
        if column and all(_fits(item, column, target) for item in items):
            fixed.note(column, len(items))
    elif kind == "AEXPR_OP_ANY":
        column = _key_column(left, target)
        count = _elements(right, column, target) if column else None
        if count is not None:
            fixed.note(column, count)


def _key_column(node: Node, target: Target) -> str:
    """The target's column that a node is, cast by nothing; empty for anything else."""
    reference: Node | None = node.get("ColumnRef")
    if reference is None:
        return ""
    name = target.own(reference)
    return name if name and target.has(name) else ""


def _fix_pairs(left: Node, right: Node, target: Target, sources: Sources, fixed: _Fixed) -> None:
    """``column = value``, or a row of them; ``column = source.column`` counts its rows."""
    columns: list[Any] = left["RowExpr"].get("args", []) if "RowExpr" in left else [left]
    values: list[Any] = right["RowExpr"].get("args", []) if "RowExpr" in right else [right]
    if len(columns) != len(values):
        return
    for node, value in zip(columns, values, strict=True):
        column = _key_column(node, target)
        if not column:
            continue
        if _fits(value, column, target):
            fixed.note(column, 1)
        else:
            count = _from_source(value, column, target, sources)
            if count is not None:
                fixed.note(column, count)


def _fix_rows(columns: list[Any], rows: list[Any], target: Target, fixed: _Fixed) -> None:
    """``(a, b) IN ((1, 2), (3, 4))``: as many combinations as rows."""
    names = [_key_column(column, target) for column in columns]
    if "" in names:
        return
    for row in rows:
        values: list[Any] = row.get("RowExpr", {}).get("args", [])
        if len(values) != len(names):
            return
        for name, value in zip(names, values, strict=True):
            if not _fits(value, name, target):
                return
    fixed.groups.append((set(names), len(rows)))
    for name in names:
        fixed.note(name, len(rows))


def _from_source(value: Node, column: str, target: Target, sources: Sources) -> int | None:
    """Rows of a VALUES list one of whose columns ``value`` is."""
    fields = strings(value.get("ColumnRef", {}).get("fields", []))
    if len(fields) != 2 or fields[0] not in sources.lists:
        return None
    names, rows = sources.lists[fields[0]]
    if fields[1] not in names:
        return None
    at = names.index(fields[1])
    if any(len(row) <= at or not _fits(row[at], column, target) for row in rows):
        return None
    # One row of VALUES may call a set-returning function in another column.
    if len(rows) == 1 and any(not _steady(item) for item in rows[0]):
        return None
    return 1 if sources.one_by_one else len(rows)


def _steady(node: Any) -> bool:
    """A constant or parameter, maybe cast: one value, whatever the row."""
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"].get("arg")
    return isinstance(node, dict) and ("A_Const" in node or "ParamRef" in node)


def _fits(node: Any, column: str, target: Target) -> bool:
    """Whether ``node`` is one value for all rows, compared as the index compares ``column``."""
    relation = target.relation
    found = column_of(relation, column) if relation is not None else None
    if found is None or not isinstance(node, dict) or _is_overloaded(found.type_oid, target):
        return False
    return _value_fits(node, found.type_oid, target)


def _is_overloaded(type_oid: int, target: Target) -> bool:
    """Whether a user has an ``=`` for two of that type that may come before the index's own."""
    walk = target.names.walk
    if walk is None or walk.catalog is None or not walk.catalog.has_operator("="):
        return False
    meant = walk.catalog.operators_meant("", "=", walk.paths)
    return any(each.left == each.right == type_oid and not each.extension for each in meant)


def _value_fits(node: Node, type_oid: int, target: Target) -> bool:
    casts = _FITS.get(type_oid)
    if "ParamRef" in node:
        return True
    value: Node | None = node.get("A_Const")
    if value is not None:
        return "sval" in value or value.get("isnull", False) or casts is not None
    cast: Node | None = node.get("TypeCast")
    if cast is not None:
        kind: Node = cast.get("typeName", {})
        names = strings(kind.get("names", []))
        if casts is None or "arrayBounds" in kind or not names or names[-1] not in casts:
            return False
        return names[:-1] in ([], ["pg_catalog"]) and _steady(cast.get("arg"))
    link: Node | None = node.get("SubLink")
    if link is not None and link.get("subLinkType") == "EXPR_SUBLINK":
        query: Node = link.get("subselect", {}).get("SelectStmt", {})
        return type_oid != 0 and _query_type(query, target) == type_oid
    return False


def _elements(node: Node, column: str, target: Target) -> int | None:
    """The most elements of an array that ``= ANY`` compares with; None when that is not sure."""
    inner = node
    cast: Node | None = node.get("TypeCast")
    relation = target.relation
    found = column_of(relation, column) if relation is not None else None
    if found is None or _is_overloaded(found.type_oid, target):
        return None
    if cast is not None:
        kind: Node = cast.get("typeName", {})
        names = strings(kind.get("names", []))
        fitting = _FITS.get(found.type_oid, frozenset())
        if not names or names[-1] not in fitting or names[:-1] not in ([], ["pg_catalog"]):
            return None
        inner = cast.get("arg", {})
    array: Node | None = inner.get("A_ArrayExpr")
    if array is not None:
        items: list[Any] = array.get("elements", [])
        # A parameter may be an array itself.
        if any("ParamRef" in item or not _fits(item, column, target) for item in items):
            return None
        return len(items)
    if "sval" in inner.get("A_Const", {}):
        return (constant(inner) or "").count(",") + 1  # with quotes fewer, never more
    return None


def _fix_by_query(link: Node, target: Target, fixed: _Fixed) -> None:
    """``column IN (SELECT ... LIMIT 5)``: at most five values.

    The query must say nothing of the target's row, lock nothing (rows another session has locked
    change what a second run of it gives) and call nothing that could answer differently.
    """
    if link.get("subLinkType") != "ANY_SUBLINK" or "operName" in link:
        return
    column = _key_column(link.get("testexpr", {}), target)
    query: Node = link.get("subselect", {}).get("SelectStmt", {})
    count = limit_of(query)
    found = column_of(target.relation, column) if column and target.relation else None
    if count is None or found is None or not found.type_oid:
        return
    if _query_type(query, target) == found.type_oid:
        fixed.note(column, count)


def limit_of(query: Node) -> int | None:
    """The constant of a query's LIMIT; None without one, for ALL, and WITH TIES."""
    if query.get("limitOption") == "LIMIT_OPTION_WITH_TIES":
        return None
    value: Node = query.get("limitCount", {}).get("A_Const", {})
    if "ival" in value:
        return max(0, int(value["ival"].get("ival", 0)))
    return None


def _query_type(query: Node, target: Target) -> int:
    """The type of a query's only column, where the query stands on its own; else 0."""
    if set(query) - _PLAIN_QUERY or query.get("op") != "SETOP_NONE":
        return 0
    relations: dict[str, Relation] = {}
    for item in query.get("fromClause", []):
        node: Node = item.get("RangeVar", {})
        relation = target.names.of(node) if node else None
        if relation is None or relation.kind not in _STORED or "colnames" in node.get("alias", {}):
            return 0
        relations[alias_of(node)] = relation
    targets: list[Any] = query.get("targetList", [])
    if len(targets) != 1 or not relations or not _stands_alone(query, relations):
        return 0
    catalog = target.names.catalog()
    if catalog is not None and any(catalog.has_function(name) for name in _STEADY):
        return 0
    value: Node = targets[0].get("ResTarget", {}).get("val", {})
    call: Node = value.get("FuncCall", {})
    if call and strings(call["funcname"])[-1] in ("min", "max") and len(call.get("args", [])) == 1:
        value = call["args"][0]
    reference: Node | None = value.get("ColumnRef")
    return _type_within(strings(reference["fields"]), relations) if reference is not None else 0


def _type_within(fields: list[str], relations: dict[str, Relation]) -> int:
    """The type of the column that a name means among ``relations``; 0 when it means none."""
    for alias, relation in relations.items():
        if len(fields) == 1 or (len(fields) == 2 and fields[0] == alias):
            column = column_of(relation, fields[-1])
            if column is not None:
                return column.type_oid
    return 0


def _stands_alone(query: Node, relations: dict[str, Relation]) -> bool:
    """Whether every name in a query is its own relations', and every function steady."""
    stack: list[Any] = [query]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "ColumnRef" and not _type_within(strings(value["fields"]), relations):
                    return False
                if key in ("SubLink", "A_Indirection"):
                    return False
                if key == "FuncCall" and strings(value["funcname"])[-1] not in _STEADY:
                    return False
                stack.append(value)
    return True
