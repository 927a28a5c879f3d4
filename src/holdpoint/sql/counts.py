"""The most rows that INSERT, UPDATE, DELETE and MERGE can change: proved, or not said.

Rows that triggers and cascades change are not among them; the command tag does not count them
either (manual, section 55.8, CommandComplete).
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import RelationKind
from holdpoint.sql.functions import HARMLESS
from holdpoint.sql.keys import Sources, has_rules, limit_of, most_rows, values_of
from holdpoint.sql.targets import Relations, Target, words
from holdpoint.sql.walk import Node, Walk, strings

SET_RETURNING: Final = words(
    "aclexplode generate_series generate_subscripts json_array_elements "
    "json_array_elements_text json_each json_each_text json_object_keys "
    "json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text "
    "jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz "
    "jsonb_populate_recordset jsonb_to_recordset regexp_matches regexp_split_to_table "
    "string_to_table ts_debug ts_parse ts_token_type txid_snapshot_xip unnest"
)
"""Built-ins that return sets (``pg_proc.proretset``), those that begin with ``pg_`` aside.

One row of VALUES may call them, and is then many. A test compares the list with real servers.
"""

_SCALAR: Final = words(
    "A_Const ParamRef TypeCast SetToDefault FuncCall SQLValueFunction A_ArrayExpr "
    "CoalesceExpr A_Expr RowExpr BoolExpr NullTest BooleanTest CaseExpr CaseWhen MinMaxExpr "
    "CollateClause String Integer Float Boolean List TypeName DefElem"
)


def note_rows(walk: Walk, most: int | None) -> None:
    """Add what one part of the statement can change; one that is not proved spoils the sum."""
    if most is None or walk.uncounted:
        walk.uncounted = True
        walk.rows_max = None
    else:
        walk.rows_max = (walk.rows_max or 0) + most


def is_plain(walk: Walk, relation: Node, *events: str) -> bool:
    """Whether a target is a table that no rule rewrites, or no catalog could tell."""
    if walk.catalog is None:
        return True
    found = walk.relation_of(relation)
    return (
        found is not None
        and found.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
        and not any(has_rules(found, event) for event in events)
    )


def inserted(walk: Walk, node: Node) -> int | None:
    """The most rows of an INSERT: those of its VALUES, or the constant LIMIT of its query.

    ON CONFLICT DO UPDATE changes a row instead of inserting one, never the same row twice.
    """
    if not is_plain(walk, node["relation"], "insert", "update"):
        return None
    query: Node | None = node.get("selectStmt", {}).get("SelectStmt")
    if query is None:
        return 1  # DEFAULT VALUES
    if query.get("op") != "SETOP_NONE":
        return limit_of(query)
    rows = values_of(query)
    if not rows and "fromClause" not in query:
        rows = [[item["ResTarget"]["val"] for item in query.get("targetList", [])]]
    # Several rows of VALUES cannot call set-returning functions; the server refuses them.
    counts = [limit_of(query)]
    if len(rows) > 1 or (rows and is_one_row(walk, rows[0])):
        counts.append(len(rows))
    known = [count for count in counts if count is not None]
    return min(known) if known else None


def is_one_row(walk: Walk, items: list[Any]) -> bool:
    """Whether a list of expressions is surely one row: no function in it returns a set."""
    stack: list[Any] = list(items)
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "SubLink" and value.get("subLinkType") != "MULTIEXPR_SUBLINK":
                    continue  # rows of its own, of which it gives one value
                if key[0].isupper() and key not in _SCALAR:
                    return False
                if key == "FuncCall" and not _gives_one(walk, strings(value["funcname"])):
                    return False
                stack.append(value)
    return True


def _gives_one(walk: Walk, parts: list[str]) -> bool:
    if len(parts) > 1 and parts[0] != "pg_catalog":
        return False
    name = parts[-1]
    if walk.catalog is not None and walk.catalog.has_function(name):
        return False
    if name in SET_RETURNING or name.startswith("pg_"):
        return False
    return name in HARMLESS or name == "nextval"


def filtered(walk: Walk, target: Target, where: Any, event: str) -> int | None:
    """The most rows of an UPDATE or DELETE."""
    if walk.catalog is not None and not is_plain(walk, target.node, event):
        return None
    if where is not None and target.relation is None and _is_never(where):
        return 0 if walk.catalog is None else None
    return most_rows(where, target)


def _is_never(where: Node) -> bool:
    value: Node = where.get("A_Const", {})
    return bool(value) and (
        bool(value.get("isnull", False))
        or ("boolval" in value and not value["boolval"].get("boolval", False))
    )


def merged(walk: Walk, node: Node, names: Relations) -> int | None:
    """The most rows of a MERGE: one per row of its VALUES, where the join fixes a unique key.

    A row of the source that meets none inserts one; one that meets a row changes that.
    """
    events = ("insert", "update", "delete")
    if not is_plain(walk, node["relation"], *events):
        return None
    verbs: set[str] = set()
    for item in node["mergeWhenClauses"]:
        clause: Node = item["MergeWhenClause"]
        if clause["commandType"] == "CMD_NOTHING":
            continue
        if clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
            return None
        verbs.add(clause["commandType"])
    if not verbs:
        return 0
    target = Target(node["relation"], [node["sourceRelation"]], names)
    changes = bool(verbs & {"CMD_UPDATE", "CMD_DELETE"})
    lists = list(Sources(target.sources).lists.values())
    rows = lists[0][1] if lists else []
    if len(rows) == 1 and not is_one_row(walk, rows[0]):
        rows = []
    if not rows:  # nobody knows how many rows the source has: then nothing may be inserted
        return None if "CMD_INSERT" in verbs else most_rows(node["joinCondition"], target)
    per_row = most_rows(node["joinCondition"], target, True) if changes else 0
    if per_row is None:
        return None
    return len(rows) * max(per_row, 1)
