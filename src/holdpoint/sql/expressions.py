"""Expressions: functions, operators, names. What can act inside any statement."""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.effects import Access, Effect, MarkKind, ObjectKind, Verb
from holdpoint.model.limits import SERIES_ROWS_MAX
from holdpoint.sql.functions import (
    BASE_TYPES,
    DANGERS,
    HARMLESS,
    INFORMATION_SCHEMA,
    OPERATORS,
    TABLESAMPLE_METHODS,
    UNREVIEWED,
)
from holdpoint.sql.settings import judge_setting
from holdpoint.sql.walk import (
    Handler,
    Node,
    Walk,
    constant,
    descend,
    plain_text,
    qualified,
    skip,
    strings,
)

_BETWEEN: Final = frozenset(
    ("BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC")
)
_KNOWN_OPERATORS: Final = OPERATORS | _BETWEEN

# Relations of pg_catalog whose rows are secrets or files: (effect, mark, why).
_SENSITIVE: Final[dict[str, tuple[Effect, MarkKind, str]]] = {
    "pg_authid": (Effect.PRIVILEGE, MarkKind.PRIVILEGE, "reads password hashes"),
    "pg_shadow": (Effect.PRIVILEGE, MarkKind.PRIVILEGE, "reads password hashes"),
    "pg_hba_file_rules": (Effect.SERVER_SIDE, MarkKind.SERVER_FILE, "reads pg_hba.conf"),
    "pg_ident_file_mappings": (Effect.SERVER_SIDE, MarkKind.SERVER_FILE, "reads pg_ident.conf"),
    "pg_file_settings": (Effect.SERVER_SIDE, MarkKind.SERVER_FILE, "reads postgresql.conf"),
}


def range_var(walk: Walk, node: Node, key: str) -> None:
    """A relation that is read, unless its name is a CTE's in this scope."""
    name: str = node.get("relname", "")
    schema: str = node.get("schemaname", "")
    if name in walk.scope and not schema:
        return
    walk.objects[(name, schema, ObjectKind.RELATION, Access.READ)] = None
    walk.uses[(schema, name, Verb.SELECT, ())] = None
    if name in _SENSITIVE and schema in ("", "pg_catalog"):
        effect, mark, why = _SENSITIVE[name]
        walk.effects.add(effect)
        walk.mark(mark, name, why)


def operation(walk: Walk, node: Node, key: str) -> None:
    """An operator: built-in symbols pass, others call a function nobody knows."""
    name: list[Any] = node["name"]
    if len(name) != 1 or name[0]["String"]["sval"] not in _KNOWN_OPERATORS:
        check_operator(walk, name)
    elif walk.catalog is not None:
        _note_symbol(walk, name[0]["String"]["sval"])
    stack = walk.stack
    side = node.get("lexpr")
    if side is not None:
        stack.append(side)
    side = node.get("rexpr")
    if side is not None:
        stack.append(side)


BUILT_IN_TYPES: Final = ("pg_catalog", "*")
"""In ``Walk.types``: some built-in type, to which a user has defined casts."""

# They make values of the row type that their first argument has: a table's, when it is its row.
_MAKES_ROWS: Final = frozenset(
    (
        "json_populate_record",
        "json_populate_recordset",
        "jsonb_populate_record",
        "jsonb_populate_recordset",
    )
)

# What the grammar writes in one word and the server compares with these symbols.
_SPELT: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(_BETWEEN, ("<=", ">="))


def _note_symbol(walk: Walk, symbol: str) -> None:
    """An operator that users may have overloaded."""
    assert walk.catalog is not None
    for spelt in _SPELT.get(symbol, (symbol,)):
        if walk.catalog.has_operator(spelt):
            walk.symbols[("", spelt)] = None


def check_operator(walk: Walk, name: list[Any]) -> None:
    """Judge an operator's name, as written with or without ``OPERATOR(schema.symbol)``."""
    parts = strings(name)
    schema, symbol = qualified(parts)
    catalog = walk.catalog
    if catalog is not None and catalog.operators_meant(schema, symbol, walk.paths):
        walk.symbols[(schema, symbol)] = None
        return
    if symbol in _KNOWN_OPERATORS and schema in ("", "pg_catalog"):
        return
    written = ".".join(parts)
    walk.unknown(f"uses the operator `{written}`, which Holdpoint does not know")
    walk.mark(MarkKind.UNKNOWN_FUNCTION, written, "operator")


def call(walk: Walk, node: Node, key: str) -> None:
    """A function call: the name decides; arguments, filters and windows are walked."""
    name: list[Any] = node["funcname"]
    if len(name) == 1:
        function: str = name[0]["String"]["sval"]
        if function in HARMLESS:
            walk.functions[function] = None
            if walk.catalog is not None and walk.catalog.has_function(function):
                walk.calls[("", function, argument_count(node))] = None
            if function in BASE_TYPES:
                _note_type(walk, "pg_catalog", function)
            elif function in _NOTED:
                _note_special(walk, function, node)
        else:
            _other_call(walk, function, node)
    else:
        _qualified_call(walk, strings(name), node)
    stack = walk.stack
    for field, value in node.items():
        if field != "funcname":
            if type(value) is list:
                stack.extend(value)
            elif type(value) is dict:
                stack.append(value)


_NOTED: Final = _MAKES_ROWS | {"generate_series"}


def _note_special(walk: Walk, function: str, node: Node) -> None:
    """Built-ins that only read, and that the rest of the statement makes more of."""
    if function == "generate_series":
        _note_series(walk, node.get("args", []))
    else:
        walk.makes_rows = True


def _note_series(walk: Walk, args: list[Any]) -> None:
    """Rows out of nothing: more of them than a server makes in passing keep it busy.

    Series in one statement are taken to multiply. Only whole numbers are understood; a series of
    times, or between values of a table, is left to the server's statement_timeout.
    """
    bounds = [constant(arg) for arg in args]
    try:
        start, stop, step = (int(bound or "") for bound in (*bounds, "1")[:3])
    except ValueError:
        return
    if step:
        walk.series *= max(1, (stop - start) // step + 1)
    if walk.series > SERIES_ROWS_MAX:
        walk.effects.add(Effect.EXHAUSTION)
        walk.mark(MarkKind.UNBOUNDED, "generate_series", f"makes {walk.series:,} rows")


def argument_count(node: Node) -> int:
    """How many arguments a call has; -1 when names or VARIADIC make it unclear."""
    args: list[Any] = node.get("args", [])
    if node.get("func_variadic", False) or any("NamedArgExpr" in arg for arg in args):
        return -1
    return len(args)


def note_call(walk: Walk, schema: str, function: str, count: int) -> bool:
    """Note a call of a function that the catalog knows; False when it knows none."""
    catalog = walk.catalog
    if catalog is None or not catalog.functions_meant(schema, function, count, walk.paths):
        return False
    walk.calls[(schema, function, count)] = None
    return True


# Without the sampling methods' handlers: SQL cannot call them, and columns are called `system`.
_FUNCTIONS_THAT_ACT: Final = (frozenset(DANGERS) | UNREVIEWED) - TABLESAMPLE_METHODS

# What cannot be a row: a name behind it is a function's, never a field's.
_NO_ROW: Final = (
    "A_Const",
    "A_Expr",
    "A_ArrayExpr",
    "BoolExpr",
    "NullTest",
    "BooleanTest",
    "SQLValueFunction",
    "CollateClause",
)


def column(walk: Walk, node: Node, key: str) -> None:
    """``t.f`` is a column, or the function ``f`` called with t: PostgreSQL takes either."""
    fields: list[Any] = node["fields"]
    if len(fields) > 1:
        last: Node | None = fields[-1].get("String")
        if last is None:
            return
        if last["sval"] in _FUNCTIONS_THAT_ACT:
            _other_call(walk, last["sval"], {})
        elif walk.catalog is not None and walk.catalog.has_function(last["sval"]):
            note_call(walk, "", last["sval"], 1)


def indirection(walk: Walk, node: Node, key: str) -> None:
    """``(x).f`` is a field, or the function ``f`` called with x, whatever x is."""
    inner: Node = node["arg"]
    names = [item["String"]["sval"] for item in node["indirection"] if "String" in item]
    is_value = any(kind in inner for kind in _NO_ROW)
    cast = inner.get("TypeCast")
    if cast is not None:  # a cast to a base type makes no row
        parts = strings(cast.get("typeName", {}).get("names", []))
        is_value = bool(parts) and parts[-1] in BASE_TYPES
    for name in names:
        if name in _FUNCTIONS_THAT_ACT:
            _other_call(walk, name, {})
        elif not note_call(walk, "", name, 1) and is_value and name not in HARMLESS:
            walk.functions[name] = None
            _unknown_call(walk, name)
    walk.stack.append(node)


def _qualified_call(walk: Walk, parts: list[str], node: Node) -> None:
    schema, function = qualified(parts)
    if schema == "pg_catalog":
        if function in HARMLESS:
            walk.functions[function] = None
            if function in _NOTED:
                _note_special(walk, function, node)
        else:
            _other_call(walk, function, node)
        return
    written = ".".join(parts)
    if note_call(walk, schema, function, argument_count(node)) or _cast_call(
        walk, schema, function, node
    ):
        return
    walk.functions[written] = None
    if schema == "information_schema" and function in INFORMATION_SCHEMA:
        return
    danger = DANGERS.get(function)
    if danger is not None and danger.mark is MarkKind.FOREIGN:  # extensions live in any schema
        walk.effects.add(danger.effect)
        walk.mark(danger.mark, function, danger.why)
    _unknown_call(walk, written)


def _other_call(walk: Walk, function: str, node: Node) -> None:
    if function == "set_config":
        walk.functions[function] = None
        set_config(walk, node.get("args", []))
        return
    count = argument_count(node) if node else 1
    known = note_call(walk, "", function, count)
    danger = DANGERS.get(function)
    if danger is None:
        called = known or _cast_call(walk, "", function, node)
        if called and function not in UNREVIEWED:
            return
        walk.functions[function] = None
        if function in UNREVIEWED:
            walk.unknown(f"calls `{function}`, whose effects have not been reviewed")
            walk.mark(MarkKind.UNKNOWN_FUNCTION, function, "nobody has reviewed")
        else:
            _unknown_call(walk, function)
        return
    walk.functions[function] = None
    walk.effects.add(danger.effect)
    if function == "lo_import":  # it reads a file and writes a large object
        walk.effects.add(Effect.WRITE)
    if danger.effect is Effect.UNKNOWN:
        walk.unknown(f"calls `{function}`, which {danger.why}")
    if danger.mark is not None:
        walk.mark(danger.mark, function, danger.why)
    if function in ("nextval", "setval"):
        _note_sequence(walk, node)


def _cast_call(walk: Walk, schema: str, name: str, node: Node) -> bool:
    """``name(x)`` is a cast when a type, and no function, has that name."""
    catalog = walk.catalog
    if catalog is None or len(node.get("args", [])) != 1:
        return False
    if not catalog.types_meant(schema, name, walk.paths):
        return False
    _note_type(walk, schema, name)
    return True


def type_name(walk: Walk, node: Node, key: str) -> None:
    """A type: casting to a domain runs its checks, to others maybe a user's function."""
    schema, name = qualified(strings(node.get("names", [])))
    _note_type(walk, schema, name)


def _note_type(walk: Walk, schema: str, name: str) -> None:
    """A type that values are cast to, where a user may have a say in it."""
    catalog = walk.catalog
    if catalog is None:
        return
    if schema != "pg_catalog" and catalog.has_type(name):
        walk.types[(schema, name)] = None
    if catalog.built_in_casts and name in BASE_TYPES:
        walk.types[BUILT_IN_TYPES] = None


def _unknown_call(walk: Walk, written: str) -> None:
    walk.unknown(f"calls `{written}`, which Holdpoint does not know")
    walk.mark(MarkKind.UNKNOWN_FUNCTION, written)


def _note_sequence(walk: Walk, node: Node) -> None:
    args: list[Any] = node.get("args", [])
    written = constant(args[0]) if args else None
    if written and '"' not in written:
        schema, name = qualified(written.lower().split("."))
        walk.note(name, schema, ObjectKind.SEQUENCE, Access.WRITE)


def set_config(walk: Walk, args: list[Any], name: str | None = None) -> None:
    """Judge ``set_config``: like SET where its arguments are constant, else nobody can say.

    ``name`` is the setting where the statement around the call proves it.
    """
    if name is None:
        name = plain_text(args[0]) if args else None
    if name is None:
        walk.effects.add(Effect.SESSION_ESCAPE)
        walk.unknown("calls `set_config` with a name that is not constant")
        walk.mark(MarkKind.UNSAFE_SETTING, "set_config", "the setting is not constant")
        return
    value = plain_text(args[1]) if len(args) > 1 else None
    apply_setting(walk, name, None if value is None else [value])


def apply_setting(walk: Walk, name: str, values: list[str] | None) -> None:
    """Record what setting ``name`` to ``values`` does."""
    walk.sets[(name.lower(), None if values is None else tuple(values))] = None
    verdict = judge_setting(name, values)
    if verdict.effect is None:
        return
    walk.effects.add(verdict.effect)
    if verdict.effect is Effect.UNKNOWN:
        walk.unknown(f"sets `{name}`, {verdict.why}")
    if verdict.mark is not None:
        subject = values[0] if verdict.mark is MarkKind.ASSUME_ROLE and values else name
        walk.mark(verdict.mark, subject, verdict.why)


def sort_by(walk: Walk, node: Node, key: str) -> None:
    """ORDER BY, maybe USING an operator."""
    operator: list[Any] | None = node.get("useOp")
    if operator:
        check_operator(walk, operator)
    walk.stack.append(node["node"])


def sub_link(walk: Walk, node: Node, key: str) -> None:
    """A query inside an expression, maybe compared with an operator."""
    operator: list[Any] | None = node.get("operName")
    if operator:
        check_operator(walk, operator)
    elif "testexpr" in node:  # x IN (SELECT ...)
        _note_equality(walk)
    walk.rest(node, "operName")


def _note_equality(walk: Walk) -> None:
    """An equality that no operator spells: the server looks it up by the name `=`.

    DISTINCT, GROUP BY, UNION and the like do not: they use the type's operator class, which takes a
    superuser to define (manual, CREATE OPERATOR CLASS).
    """
    if walk.catalog is not None:
        _note_symbol(walk, "=")


def case(walk: Walk, node: Node, key: str) -> None:
    """CASE x WHEN y compares."""
    if "arg" in node:
        _note_equality(walk)
    walk.stack.append(node)


def join(walk: Walk, node: Node, key: str) -> None:
    """JOIN ... USING and NATURAL JOIN compare."""
    if "usingClause" in node or node.get("isNatural", False):
        _note_equality(walk)
    walk.stack.append(node)


def table_sample(walk: Walk, node: Node, key: str) -> None:
    """TABLESAMPLE: methods other than the built-in two are an extension's functions."""
    parts = strings(node.get("method", []))
    schema, method = qualified(parts)
    if method not in TABLESAMPLE_METHODS or schema not in ("", "pg_catalog"):
        written = ".".join(parts)
        walk.unknown(f"samples with `{written}`, which Holdpoint does not know")
        walk.mark(MarkKind.UNKNOWN_FUNCTION, written, "sampling method")
    walk.stack.append(node["relation"])
    walk.rest(node, "method", "relation")


def partition_command(walk: Walk, node: Node, key: str) -> None:
    """ATTACH and DETACH PARTITION name a second table."""
    relation: Node = node["name"]
    schema = relation.get("schemaname", "")
    walk.note(relation["relname"], schema, ObjectKind.RELATION, Access.DEFINE)
    walk.rest(node, "name")


_SKIPPED: Final = (
    # Names and constants. A cast to a user's type may call a function of that type's owner; without
    # a catalog Holdpoint lets casts pass: enum and extension types are everywhere, and defining a
    # type or a cast is a definition that the gate decides on by itself.
    "A_Const ParamRef String Integer Float Boolean BitString A_Star "
    "Alias alias join_using_alias SetToDefault SQLValueFunction CurrentOfExpr AccessPriv RoleSpec "
    "ReplicaIdentityStmt TriggerTransition MergeSupportFunc format returning grantor newowner "
    "authrole ReturningOption"
)
_PLAIN: Final = (
    "A_ArrayExpr A_Indices BoolExpr BooleanTest CaseWhen CoalesceExpr "
    "CollateClause ColumnDef CommonTableExpr Constraint CTECycleClause CTESearchClause DefElem "
    "FunctionParameter GroupingFunc GroupingSet IndexElem InferClause JsonAggConstructor "
    "JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor JsonBehavior "
    "JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput "
    "JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonTable JsonTableColumn JsonTablePathSpec "
    "JsonValueExpr List LockingClause MinMaxExpr MultiAssignRef NamedArgExpr NullTest "
    "ObjectWithArgs OnConflictClause PartitionBoundSpec PartitionElem PartitionRangeDatum "
    "PartitionSpec PublicationObjSpec PublicationTable RangeFunction RangeSubselect RangeTableFunc "
    "RangeTableFuncCol ResTarget ReturningClause RowExpr StatsElem TableLikeClause TypeCast "
    "VacuumRelation WindowDef XmlExpr XmlSerialize ATAlterConstraint CreateOpClassItem "
    "AlterTableCmd "
    # Fields that hold one node, for speed: they need no look at the case of their first letter.
    "val arg expr whereClause quals larg rarg subquery subselect node over"
)


def _table() -> dict[str, Handler]:
    table: dict[str, Handler] = dict.fromkeys(_SKIPPED.split(), skip)
    table.update(dict.fromkeys(_PLAIN.split(), descend))
    table["RangeVar"] = range_var
    table["relation"] = range_var
    table["pktable"] = range_var
    table["A_Expr"] = operation
    table["ColumnRef"] = column
    table["A_Indirection"] = indirection
    table["FuncCall"] = call
    for field in ("TypeName", "typeName", "argType", "returnType"):
        table[field] = type_name
    table["CaseExpr"] = case
    table["JoinExpr"] = join
    table["SortBy"] = sort_by
    table["SubLink"] = sub_link
    table["PartitionCmd"] = partition_command
    table["RangeTableSample"] = table_sample
    return table


HANDLERS: Final[dict[str, Handler]] = _table()
"""Node types of expressions to their handlers."""
