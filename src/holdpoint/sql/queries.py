"""SELECT, INSERT, UPDATE, DELETE, MERGE, and the scopes of their CTEs."""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.effects import Access, Effect, MarkKind, ObjectKind, Verb
from holdpoint.model.limits import SUBQUERY_LIMIT_ROWS_MAX
from holdpoint.sql.counts import filtered, inserted, merged, note_rows
from holdpoint.sql.expressions import set_config
from holdpoint.sql.filters import bounds, target_of
from holdpoint.sql.targets import Relations, cte_names
from holdpoint.sql.walk import Handler, Node, Scope, Walk, constant, descend, label, strings


def open_with(walk: Walk, node: Node) -> None:
    """Before a statement's own parts are pushed: restore the outer names once they are walked."""
    if "withClause" in node:
        walk.stack.append(Scope(walk.scope))


def close_with(walk: Walk, node: Node) -> None:
    """After them: the CTEs, each in its own scope, then all names for the parts.

    In a plain WITH a query sees the CTEs before it, in a recursive one all of them and itself.
    """
    clause = node.get("withClause")
    if clause is None:
        return
    ctes: list[Node] = [item["CommonTableExpr"] for item in clause["ctes"]]
    names = walk.scope | {cte["ctename"] for cte in ctes}
    stack = walk.stack
    stack.append(Scope(names))
    recursive = clause.get("recursive", False)
    if recursive and "limitCount" not in node:
        for cte in ctes:
            if _has_no_end(cte):
                walk.effects.add(Effect.EXHAUSTION)
                words = "WITH RECURSIVE without a condition that ends it"
                walk.mark(MarkKind.UNBOUNDED, cte["ctename"], words)
    for at in range(len(ctes) - 1, -1, -1):
        stack.append(ctes[at])
        if recursive:
            stack.append(Scope(names))
        else:
            stack.append(Scope(walk.scope | {cte["ctename"] for cte in ctes[:at]}))


def _has_no_end(cte: Node) -> bool:
    """Whether a recursive term takes every row that it has made, and so never stops."""
    query: Node = cte.get("ctequery", {}).get("SelectStmt", {})
    term: Node = query.get("rarg", {})
    sources: list[Node] = term.get("fromClause", [])
    names = [item.get("RangeVar", {}).get("relname", "") for item in sources]
    ends = ("whereClause", "havingClause", "limitCount", "groupClause", "distinctClause")
    return names == [cte["ctename"]] and not any(field in term for field in ends)


def select(walk: Walk, node: Node, key: str) -> None:
    """A query, alone or inside anything; also VALUES and the branches of a set operation."""
    if "withClause" in node:
        open_with(walk, node)
    if "valuesLists" not in node:
        walk.effects.add(Effect.READ)
    stack = walk.stack
    for field, value in node.items():
        if type(value) is list:
            if field != "targetList" or not _proven_set_config(walk, node):
                stack.extend(value)
        elif type(value) is dict:
            if field == "larg" or field == "rarg":
                stack.append({"SelectStmt": value})
            elif field == "intoClause":
                _into(walk, value)
            elif field != "withClause":
                stack.append(value)
    if "fromClause" in node and not _names_a_column(node.get("whereClause")):
        _check_product(walk, node["fromClause"], _own_names(node))
    if "withClause" in node:
        close_with(walk, node)


def _into(walk: Walk, into: Node) -> None:
    walk.effects.add(Effect.DDL)
    if walk.tag == "SELECT":
        walk.tag = "SELECT INTO"
    create_target(walk, into, ObjectKind.RELATION)


def create_target(walk: Walk, into: Node, kind: ObjectKind) -> None:
    """The table that SELECT INTO or CREATE TABLE AS makes."""
    relation: Node = into["rel"]
    walk.note(relation.get("relname", ""), relation.get("schemaname", ""), kind, Access.DEFINE)
    walk.mark(MarkKind.CREATE, label(relation), "TABLE")
    walk.rest(into, "rel")


def _proven_set_config(walk: Walk, node: Node) -> bool:
    """``SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'y'``, as pg_dump sends.

    The filter proves the name, whatever relation it comes from. Only this exact form is read.
    """
    targets: list[Node] = node["targetList"]
    where = node.get("whereClause")
    if where is None or len(targets) != 1 or "withClause" in node:
        return False
    call = targets[0].get("ResTarget", {}).get("val", {}).get("FuncCall")
    if call is None or strings(call["funcname"])[-1] != "set_config":
        return False
    args: list[Node] = call.get("args", [])
    test: Node = where.get("A_Expr", {})
    if len(args) != 3 or test.get("kind") != "AEXPR_OP" or len(node.get("fromClause", [])) != 1:
        return False
    name = constant(test.get("rexpr"))
    columns = (args[0].get("ColumnRef", {}), test.get("lexpr", {}).get("ColumnRef", {}))
    if any(strings(column.get("fields", [])) != ["name"] for column in columns):
        return False
    if name is None or strings(test["name"]) != ["="] or len(strings(call["funcname"])) > 2:
        return False
    if strings(call["funcname"])[0] not in ("set_config", "pg_catalog"):
        return False
    walk.functions["set_config"] = None
    set_config(walk, args, name)
    walk.stack.extend(args[1:])
    return True


def _own_names(node: Node) -> set[str]:
    clause: Node = node.get("withClause", {})
    return {item["CommonTableExpr"]["ctename"] for item in clause.get("ctes", [])}


def _names_a_column(condition: Any) -> bool:
    """Whether a condition can tie tables together: ``true`` and ``1 = 1`` cannot."""
    stack: list[Any] = [condition]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if "ColumnRef" in item:
                return True
            stack.extend(item.values())
    return False


def _check_product(walk: Walk, items: list[Node], ctes: set[str]) -> None:
    """Two or more tables without any condition between them: rows multiply."""
    tables: list[str] = []
    stack: list[Any] = list(items)
    while stack:
        item: Node = stack.pop()
        relation = item.get("RangeVar")
        if relation is not None:
            name: str = relation.get("relname", "")
            is_cte = name in ctes or name in walk.scope
            if relation.get("schemaname", "") != "pg_catalog" and not is_cte:
                tables.append(label(relation))
            continue
        join = item.get("JoinExpr")
        if join is None:
            continue
        quals = join.get("quals")
        if join.get("isNatural", False) or "usingClause" in join:
            continue
        if _names_a_column(quals):
            continue
        stack.append(join["larg"])
        stack.append(join["rarg"])
    if len(tables) > 1:
        walk.effects.add(Effect.EXHAUSTION)
        walk.mark(MarkKind.PRODUCT, ", ".join(sorted(tables)))


def locking(walk: Walk, node: Node, key: str) -> None:
    """FOR UPDATE and its kin lock rows: a read-only transaction refuses them, as it does writes.

    The relations named are aliases of the query's own.
    """
    walk.effects.add(Effect.WRITE)


def write_target(walk: Walk, relation: Node, verb: Verb, columns: tuple[str, ...] = ()) -> None:
    """The table a statement changes: never a CTE, and never lightly a system catalog.

    ``columns`` are those that an UPDATE or INSERT names, empty for all.
    """
    name: str = relation.get("relname", "")
    schema: str = relation.get("schemaname", "")
    walk.use(relation, verb, columns)
    walk.objects[(name, schema, ObjectKind.RELATION, Access.WRITE)] = None
    if schema in ("pg_catalog", "information_schema", "pg_toast") or name.startswith("pg_"):
        if name == "pg_settings":  # its rule calls set_config
            walk.effects.add(Effect.SESSION_ESCAPE)
            walk.mark(MarkKind.UNSAFE_SETTING, name, "changes settings through their view")
        else:
            walk.effects.add(Effect.PRIVILEGE)
            walk.mark(MarkKind.PRIVILEGE, label(relation), "writes a system catalog")


def insert(walk: Walk, node: Node, key: str) -> None:
    """INSERT, with ON CONFLICT and RETURNING."""
    open_with(walk, node)
    _returning(walk, node)
    walk.effects.add(Effect.WRITE)
    columns = tuple([item["ResTarget"].get("name", "") for item in node.get("cols", [])])
    write_target(walk, node["relation"], Verb.INSERT, columns)
    note_rows(walk, inserted(walk, node))
    conflict: Node = node.get("onConflictClause", {})
    if conflict.get("action") == "ONCONFLICT_UPDATE":
        walk.use(node["relation"], Verb.UPDATE, _columns_set(conflict))
    walk.rest(node, "relation", "withClause")
    close_with(walk, node)


def _returning(walk: Walk, node: Node) -> None:
    """RETURNING reads the rows that change: it needs SELECT on them (manual, UPDATE)."""
    if "returningList" in node or "returningClause" in node:
        walk.use(node["relation"], Verb.SELECT)


def _columns_set(node: Node) -> tuple[str, ...]:
    """The columns that a list of assignments names."""
    return tuple([item["ResTarget"].get("name", "") for item in node.get("targetList", [])])


def update(walk: Walk, node: Node, key: str) -> None:
    """UPDATE; without an effective filter it is a bulk write."""
    open_with(walk, node)
    _filtered(walk, node, node.get("fromClause", []), "UPDATE")
    walk.rest(node, "relation", "withClause")
    close_with(walk, node)


def delete(walk: Walk, node: Node, key: str) -> None:
    """DELETE; without an effective filter it is a bulk write."""
    open_with(walk, node)
    _filtered(walk, node, node.get("usingClause", []), "DELETE")
    walk.rest(node, "relation", "withClause")
    close_with(walk, node)


def _filtered(walk: Walk, node: Node, sources: list[Any], verb: str) -> None:
    relation: Node = node["relation"]
    _returning(walk, node)
    if verb == "UPDATE":
        write_target(walk, relation, Verb.UPDATE, _columns_set(node))
    else:
        write_target(walk, relation, Verb.DELETE)
    where = node.get("whereClause")
    target = target_of(relation, sources, _ctes(node), _names(walk, node))
    most = filtered(walk, target, where, verb.lower())
    note_rows(walk, most)
    is_few = most is not None and most <= SUBQUERY_LIMIT_ROWS_MAX
    if where is None:
        walk.effects.add(Effect.BULK_WRITE)
        walk.mark(MarkKind.NO_WHERE, label(relation), verb)
    elif is_few or bounds(where, target):
        walk.effects.add(Effect.WRITE)
    else:
        walk.effects.add(Effect.BULK_WRITE)
        walk.mark(MarkKind.CONSTANT_WHERE, label(relation), verb)


def _names(walk: Walk, node: Node) -> Relations:
    return Relations(walk, walk.scope | cte_names(node.get("withClause", {})))


def _ctes(node: Node) -> list[Any]:
    found: list[Any] = node.get("withClause", {}).get("ctes", [])
    return found


_MERGE_VERBS: Final[dict[str, Verb]] = {
    "CMD_INSERT": Verb.INSERT,
    "CMD_UPDATE": Verb.UPDATE,
    "CMD_DELETE": Verb.DELETE,
}


def _merge_use(walk: Walk, relation: Node, clause: Node) -> None:
    """What one WHEN clause does to the target; DO NOTHING does nothing."""
    command: str = clause["commandType"]
    verb = _MERGE_VERBS.get(command)
    if verb is not None:
        write_target(walk, relation, verb, _columns_set(clause))
    elif command == "CMD_NOTHING":
        walk.use(relation, Verb.SELECT)
        walk.note(relation["relname"], relation.get("schemaname", ""), access=Access.WRITE)
    else:
        walk.unreadable(f"the command `{command}` of MERGE is not known")


def merge(walk: Walk, node: Node, key: str) -> None:
    """MERGE: a bulk write when a branch changes rows that no condition bounds."""
    open_with(walk, node)
    relation: Node = node["relation"]
    _returning(walk, node)
    for item in node["mergeWhenClauses"]:
        _merge_use(walk, relation, item["MergeWhenClause"])
    names = _names(walk, node)
    target = target_of(relation, [node["sourceRelation"]], _ctes(node), names)
    most = merged(walk, node, names)
    note_rows(walk, most)
    is_few = most is not None and most <= SUBQUERY_LIMIT_ROWS_MAX
    joined = is_few or bounds(node["joinCondition"], target)
    commands = [item["MergeWhenClause"]["commandType"] for item in node["mergeWhenClauses"]]
    effect = Effect.READ if set(commands) == {"CMD_NOTHING"} else Effect.WRITE
    for item in node["mergeWhenClauses"]:
        clause: Node = item["MergeWhenClause"]
        if clause["commandType"] not in ("CMD_UPDATE", "CMD_DELETE"):
            continue
        by_source = clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE"
        # Where the source has no row, only columns of the target can be named.
        seen = target_of(relation, [], [], names) if by_source else target
        if not bounds(clause.get("condition"), seen) and (by_source or not joined):
            effect = Effect.BULK_WRITE
            walk.mark(MarkKind.MERGE_UNFILTERED, label(relation), "MERGE")
    walk.effects.add(effect)
    walk.rest(node, "relation", "withClause")
    close_with(walk, node)


HANDLERS: Final[dict[str, Handler]] = {
    "SelectStmt": select,
    "LockingClause": locking,
    "InsertStmt": insert,
    "UpdateStmt": update,
    "DeleteStmt": delete,
    "MergeStmt": merge,
    "MergeWhenClause": descend,
}
"""Node types of queries to their handlers."""

TAGS: Final[dict[str, str]] = {
    "SelectStmt": "SELECT",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
}
"""Command tags that the node type alone decides."""
