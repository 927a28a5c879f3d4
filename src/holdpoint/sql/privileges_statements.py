"""The privileges that whole statements need, whatever their kind."""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import Relation
from holdpoint.sql import grammar
from holdpoint.sql.needed import CALLER, Asking, Behind
from holdpoint.sql.privileges_changes import StatementReader
from holdpoint.sql.sources import Level, own_columns
from holdpoint.sql.walk import Node, constant, strings

# Modes of LOCK TABLE (lockdefs.h) up to which SELECT or INSERT is enough.
_ACCESS_SHARE: Final = 1
_ROW_EXCLUSIVE: Final = 3
_WIDER_SINCE: Final = 160000

# Statements that need no privilege of their own on what they name; their parts may.
_FREE: Final = frozenset(
    (
        "ExplainStmt",
        "DeclareCursorStmt",
        "PrepareStmt",
        "ExecuteStmt",
        "DeallocateStmt",
        "TransactionStmt",
        "VariableSetStmt",
        "VariableShowStmt",
        "FetchStmt",
        "ClosePortalStmt",
        "DiscardStmt",
        "ListenStmt",
        "UnlistenStmt",
        "NotifyStmt",
        "ConstraintsSetStmt",
    )
)
_QUERIES: Final = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"))
# What makes an object in a schema: the field that names it.
_MAKES: Final[dict[str, str]] = {
    "CreateStmt": "relation",
    "ViewStmt": "view",
    "CreateSeqStmt": "sequence",
}


def read_text(text: str, asking: Asking) -> None:
    """Add what the statements of one text need, without what runs behind them."""
    try:
        nodes = grammar.parse(text, grammar.encode(text))
    except (grammar.Refused, grammar.Unreadable) as error:
        asking.needed.unknown(f"it cannot be read: {error}")
        return
    for item in nodes:
        try:
            read_statement(item["stmt"], asking)
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError):
            asking.needed.unknown("it has a form that the reader does not expect")


def read_statement(node: Node, asking: Asking) -> None:
    """Add what one statement needs, without what runs behind it."""
    for kind, body in node.items():
        reader = StatementReader(asking)
        level = Level(None, {})
        if kind in _FREE:
            _prepared(kind, body, asking)
            if "query" in body:
                read_statement(body["query"], asking)
            reader.visit(body.get("params", []), level)
        elif kind in _QUERIES:
            reader.visit(node, level)
        elif kind == "CopyStmt":
            _copy(reader, body, level)
        elif kind == "TruncateStmt":
            _truncate(reader, body)
        elif kind == "LockStmt":
            _lock(reader, body)
        elif kind == "CallStmt":
            reader.call(body["funccall"], level, True)
        elif kind == "DoStmt":
            _block(asking, body)
        elif kind == "CreateTableAsStmt":
            _makes(asking, body["into"]["rel"])
            reader.visit(body["query"], level)
        elif kind in _MAKES:
            _makes(asking, body[_MAKES[kind]])
            _references(reader, body)
            _likes(reader, body)
            reader.visit(body.get("tableElts", []), level)
            if "partbound" in body or body.get("replace", False):
                asking.needed.beyond["needs the ownership of what is there already"] = None
            if kind == "ViewStmt":  # its tables are looked up, and not read before it is
                names = Asking(asking.catalog, asking.paths, asking.needed, as_caller=False)
                StatementReader(names).visit(body["query"], level)
        else:
            asking.needed.beyond["needs the ownership of what it names, or more"] = None
        reader.end()


def _prepared(kind: str, node: Node, asking: Asking) -> None:
    """PREPARE and EXECUTE; what is prepared through the protocol has no such names."""
    name: str = node.get("name", "")
    if kind == "PrepareStmt":
        asking.needed.prepared.add(name)
    elif kind == "ExecuteStmt" and name not in asking.needed.prepared:
        asking.needed.unknown(f"`EXECUTE {name}` of a statement that was prepared before")


def _copy(reader: StatementReader, node: Node, level: Level) -> None:
    """COPY of a table: rows in or out, of some columns or of all; or of a query."""
    if node.get("is_program", False) or "filename" in node:
        reader.asking.needed.beyond["reads or writes files of the server"] = None
    if "query" in node:
        reader.visit(node["query"], level)
        return
    into = bool(node.get("is_from", False))
    source = reader.target(node["relation"], level)
    columns = strings(node.get("attlist", []))
    for relation in source.relations:
        stored = [each.name for each in relation.columns if not each.generated]
        for column in columns or stored:
            reader.need(relation, "insert" if into else "select", column)
        if into:
            reader.writes(relation, "insert", columns or stored, columns or stored)
        else:
            reader.reads(relation)
    if "whereClause" in node:
        inner = Level(None, level.ctes, [source])
        reader.visit(node["whereClause"], inner)


def _truncate(reader: StatementReader, node: Node) -> None:
    """TRUNCATE, with what CASCADE takes along; RESTART IDENTITY is for owners of sequences."""
    if node.get("restart_seqs", False):
        reader.asking.needed.beyond["needs the ownership of sequences that it restarts"] = None
    waiting: list[Relation] = []
    for item in node["relations"]:
        waiting += reader.target(item["RangeVar"], Level(None, {})).relations
    seen: set[int] = set()
    while waiting:
        relation = waiting.pop()
        if relation.oid in seen:
            continue
        seen.add(relation.oid)
        reader.need(relation, "truncate")
        reader.writes(relation, "truncate", [], [])
        if node.get("behavior") == "DROP_CASCADE":
            catalog = reader.asking.catalog
            waiting += [child for child, _ in catalog.referencing(relation.oid)]


def _lock(reader: StatementReader, node: Node) -> None:
    """LOCK TABLE: one of several privileges on the whole table (manual, LOCK)."""
    enough = _enough_for(int(node.get("mode", 0)), reader.asking.catalog.rows.version)
    for item in node["relations"]:
        for relation in reader.target(item["RangeVar"], Level(None, {})).relations:
            reader.choose(relation, enough)


def _enough_for(mode: int, version: int) -> list[str]:
    """The privileges of which one is enough to lock in a mode; 16 has made some of them enough."""
    all_modes = ["update", "delete", "truncate"]
    if mode == _ACCESS_SHARE:
        return ["select", *all_modes] if version >= _WIDER_SINCE else ["select"]
    if mode == _ROW_EXCLUSIVE or (mode < _ROW_EXCLUSIVE and version >= _WIDER_SINCE):
        return ["insert", *all_modes]
    return all_modes


def _block(asking: Asking, node: Node) -> None:
    """DO: the block's code runs as part of the statement."""
    language, body = "plpgsql", ""
    for item in node.get("args", []):
        option: Node = item["DefElem"]
        if option["defname"] == "language":
            language = constant(option["arg"]) or ""
        elif option["defname"] == "as":
            body = constant(option["arg"]) or ""
    asking.needed.behind(Behind("block", 0, CALLER, (language, body)))


def _makes(asking: Asking, relation: Node) -> None:
    """A new object needs CREATE on its schema; a temporary one what PUBLIC usually has."""
    schema: str = relation.get("schemaname", "")
    if not schema:
        asking.needed.made.add(relation["relname"])
    if relation.get("relpersistence", "p") == "t":
        return
    paths = asking.paths.paths
    usual = {next((each for each in path if each != "pg_catalog"), "") for path in paths}
    for name in sorted({schema} if schema else usual - {""}):
        asking.schema(name, "create")
        if not schema:  # it is found by the search path
            asking.schema(name)


def _references(reader: StatementReader, node: Node) -> None:
    """Foreign keys of a new table need REFERENCES on the columns they refer to."""
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            constraint: Node = item.get("Constraint", {})
            if constraint.get("contype") == "CONSTR_FOREIGN":
                _refers(reader, constraint)
                schema: str = node["relation"].get("schemaname", "")
                if schema:  # the key is added to the new table by its name
                    reader.asking.schema(schema)
            stack.extend(item.values())


def _likes(reader: StatementReader, node: Node) -> None:
    """``LIKE`` copies a table's definition, which needs SELECT on the whole of it."""
    for item in node.get("tableElts", []):
        like: Node = item.get("TableLikeClause", {})
        if like:
            for relation in reader.target(like["relation"], Level(None, {})).relations:
                reader.need(relation, "select")


def _refers(reader: StatementReader, constraint: Node) -> None:
    source = reader.target(constraint["pktable"], Level(None, {}))
    for relation in source.relations:
        columns = strings(constraint.get("pk_attrs", []))
        for index in relation.indexes:
            if index.primary and not columns:
                columns = list(index.columns)
        for column in columns or own_columns(relation):
            reader.need(relation, "references", column)
