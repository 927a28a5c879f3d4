"""COPY, LOCK, TRUNCATE, maintenance, and what reaches outside the database."""

from __future__ import annotations

from typing import Final

from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Access, Effect, MarkKind, ObjectKind, Verb
from holdpoint.sql.changes import is_concurrent, lock_mode, name_of
from holdpoint.sql.queries import write_target
from holdpoint.sql.walk import COPIED, Handler, Node, Walk, constant, label, option_is_on, strings

_ACCESS_SHARE: Final = 1  # PostgreSQL: the lock every SELECT takes; pg_dump asks for it by name


def copy(walk: Walk, node: Node, key: str) -> None:
    """COPY: to the client it reads, from the client it writes, else it leaves the database."""
    relation = node.get("relation")
    if relation is not None:
        if node.get("is_from", False):
            walk.effects.add(Effect.WRITE)
            columns = (*COPIED, *strings(node.get("attlist", [])))
            write_target(walk, relation, Verb.INSERT, columns)
        else:
            walk.effects.add(Effect.READ)
            walk.stack.append({"RangeVar": relation})
    filename: str = node.get("filename", "")
    if node.get("is_program", False):
        walk.effects.add(Effect.SERVER_SIDE)
        walk.mark(MarkKind.PROGRAM, filename, "COPY")
    elif "filename" in node:
        walk.effects.add(Effect.SERVER_SIDE)
        walk.mark(MarkKind.SERVER_FILE, filename, "COPY reads or writes a file of the server")
    elif relation is not None and node.get("is_from", False):
        walk.reads_data = True
    walk.rest(node, "relation")


def lock(walk: Walk, node: Node, key: str) -> None:
    """LOCK TABLE, but for the mode that every SELECT takes."""
    names: list[str] = []
    for item in node["relations"]:
        walk.stack.append(item)
        names.append(label(item["RangeVar"]))
        mode = (lock_mode(node["mode"]),)
        walk.changes.append(Change(action="LOCK TABLE", on=name_of(item), options=mode))
    if node["mode"] == _ACCESS_SHARE:
        walk.effects.add(Effect.READ)
        return
    walk.effects.add(Effect.EXHAUSTION)
    walk.mark(MarkKind.LOCK, ", ".join(names), "LOCK TABLE")


def truncate(walk: Walk, node: Node, key: str) -> None:
    """TRUNCATE empties tables; with CASCADE also those that refer to them."""
    cascade = "CASCADE" if node.get("behavior") == "DROP_CASCADE" else ""
    walk.effects.add(Effect.DESTRUCTIVE)
    for item in node["relations"]:
        write_target(walk, item["RangeVar"], Verb.TRUNCATE)
        walk.mark(MarkKind.TRUNCATE, label(item["RangeVar"]), cascade)
        walk.changes.append(Change(action="TRUNCATE", on=name_of(item), cascade=bool(cascade)))


def vacuum(walk: Walk, node: Node, key: str) -> None:
    """VACUUM and ANALYZE: housekeeping that writes; VACUUM FULL rewrites under a full lock."""
    is_vacuum = node.get("is_vacuumcmd", False)
    walk.tag = "VACUUM" if is_vacuum else "ANALYZE"
    names: list[str] = []
    for item in node.get("rels", []):
        relation: Node = item["VacuumRelation"].get("relation", {})
        names.append(label(relation))
        walk.note(
            relation.get("relname", ""),
            relation.get("schemaname", ""),
            access=Access.WRITE,
        )
        walk.use(relation, Verb.DEFINE)  # its indexes' expressions run, for statistics or anew
    full = any(
        option["DefElem"]["defname"] == "full" and option_is_on(option["DefElem"])
        for option in node.get("options", [])
    )
    action = "VACUUM FULL" if is_vacuum and full else walk.tag
    for item in node.get("rels", []):
        on = name_of(item["VacuumRelation"].get("relation"))
        walk.changes.append(Change(action=action, on=on))
    if is_vacuum and full:
        walk.effects.add(Effect.DDL)
        walk.mark(MarkKind.MAINTENANCE, ", ".join(names), "VACUUM FULL")
    else:
        walk.effects.add(Effect.WRITE)


def rewrite(walk: Walk, node: Node, key: str) -> None:
    """CLUSTER, REINDEX, REFRESH MATERIALIZED VIEW: rewritten under a lock."""
    relation: Node = node.get("relation", {})
    name = label(relation) or str(node.get("name", ""))
    walk.effects.add(Effect.DDL)
    walk.mark(MarkKind.MAINTENANCE, name, walk.tag)
    if relation:
        walk.note(relation["relname"], relation.get("schemaname", ""), access=Access.DEFINE)
    # REINDEX says what it is given: an index, a table, a schema; the others take tables.
    kind = str(node.get("kind", "TABLE")).removeprefix("REINDEX_OBJECT_")
    on = name_of(relation) if relation else Name("", name)
    concurrently = is_concurrent(node)
    walk.changes.append(Change(action=walk.tag, on=on, kind=kind, concurrently=concurrently))


def load(walk: Walk, node: Node, key: str) -> None:
    """LOAD runs a library's code inside the server."""
    walk.effects.add(Effect.SERVER_SIDE)
    walk.mark(MarkKind.SERVER_FILE, str(node.get("filename", "")), "LOAD runs a library")


def checkpoint(walk: Walk, node: Node, key: str) -> None:
    """CHECKPOINT makes the whole server write now."""
    walk.effects.add(Effect.SERVER_SIDE)
    walk.mark(MarkKind.FUNCTION, "CHECKPOINT", "acts on the whole server")


def alter_system(walk: Walk, node: Node, key: str) -> None:
    """ALTER SYSTEM changes the server's configuration file."""
    walk.effects.add(Effect.SERVER_SIDE)
    walk.mark(MarkKind.SYSTEM_SETTING, str(node["setstmt"].get("name", "ALL")), "ALTER SYSTEM")


def foreign(walk: Walk, node: Node, key: str) -> None:
    """Servers, mappings, foreign tables, publications, subscriptions: data leaves or enters."""
    name = ""
    for field in ("servername", "fdwname", "subname", "pubname", "server_name"):
        name = str(node.get(field, "")) or name
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.SERVER_SIDE)
    walk.mark(MarkKind.FOREIGN, name, walk.tag.lower())
    walk.rest(node, "base")
    base: Node = node.get("base", {})
    if base:
        relation: Node = base["relation"]
        walk.note(relation["relname"], relation.get("schemaname", ""), access=Access.DEFINE)
        walk.rest(base, "relation")


def extension(walk: Walk, node: Node, key: str) -> None:
    """CREATE or ALTER EXTENSION runs scripts as the server's owner."""
    name = str(node.get("extname", ""))
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.SERVER_SIDE)
    walk.note(name, "", ObjectKind.EXTENSION, Access.DEFINE)
    walk.mark(MarkKind.EXTENSION, name, walk.tag.lower())


def language(walk: Walk, node: Node, key: str) -> None:
    """CREATE LANGUAGE, ACCESS METHOD, TRANSFORM: names C functions of the server."""
    name = str(node.get("plname", "") or node.get("amname", "") or node.get("lang", ""))
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.SERVER_SIDE)
    walk.mark(MarkKind.LANGUAGE, name, walk.tag.lower())


def tablespace(walk: Walk, node: Node, key: str) -> None:
    """A tablespace is a directory of the server."""
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.SERVER_SIDE)
    where = str(node.get("location", "") or node.get("tablespacename", ""))
    walk.mark(MarkKind.SERVER_FILE, where, walk.tag.lower())


def drop_tablespace(walk: Walk, node: Node, key: str) -> None:
    """DROP TABLESPACE."""
    tablespace(walk, node, key)
    walk.effects.add(Effect.DESTRUCTIVE)
    walk.mark(MarkKind.DROP, str(node.get("tablespacename", "")), "TABLESPACE")


def drop_subscription(walk: Walk, node: Node, key: str) -> None:
    """DROP SUBSCRIPTION also drops the slot on the other server."""
    foreign(walk, node, key)
    walk.effects.add(Effect.DESTRUCTIVE)
    walk.mark(MarkKind.DROP, str(node.get("subname", "")), "SUBSCRIPTION")


def import_foreign(walk: Walk, node: Node, key: str) -> None:
    """IMPORT FOREIGN SCHEMA asks another server and defines tables."""
    foreign(walk, node, key)
    walk.note(str(node.get("local_schema", "")), "", ObjectKind.SCHEMA, Access.DEFINE)


def option_value(node: Node, name: str) -> str:
    """The constant of a DefElem among ``options``, or an empty string."""
    for item in node.get("options", []):
        option: Node = item.get("DefElem", {})
        if option.get("defname") == name:
            return constant(option.get("arg")) or ""
    return ""


HANDLERS: Final[dict[str, Handler]] = {
    "CopyStmt": copy,
    "LockStmt": lock,
    "TruncateStmt": truncate,
    "VacuumStmt": vacuum,
    "ClusterStmt": rewrite,
    "ReindexStmt": rewrite,
    "RefreshMatViewStmt": rewrite,
    "LoadStmt": load,
    "CheckPointStmt": checkpoint,
    "AlterSystemStmt": alter_system,
    "CreateFdwStmt": foreign,
    "AlterFdwStmt": foreign,
    "CreateForeignServerStmt": foreign,
    "AlterForeignServerStmt": foreign,
    "CreateForeignTableStmt": foreign,
    "CreateUserMappingStmt": foreign,
    "AlterUserMappingStmt": foreign,
    "DropUserMappingStmt": foreign,
    "ImportForeignSchemaStmt": import_foreign,
    "CreatePublicationStmt": foreign,
    "AlterPublicationStmt": foreign,
    "CreateSubscriptionStmt": foreign,
    "AlterSubscriptionStmt": foreign,
    "DropSubscriptionStmt": drop_subscription,
    "CreateExtensionStmt": extension,
    "AlterExtensionStmt": extension,
    "AlterExtensionContentsStmt": extension,
    "CreatePLangStmt": language,
    "CreateAmStmt": language,
    "CreateTransformStmt": language,
    "CreateTableSpaceStmt": tablespace,
    "AlterTableSpaceOptionsStmt": tablespace,
    "DropTableSpaceStmt": drop_tablespace,
}
"""Node types of utility statements to their handlers."""

TAGS: Final[dict[str, str]] = {
    "CopyStmt": "COPY",
    "LockStmt": "LOCK TABLE",
    "TruncateStmt": "TRUNCATE TABLE",
    "ClusterStmt": "CLUSTER",
    "ReindexStmt": "REINDEX",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "LoadStmt": "LOAD",
    "CheckPointStmt": "CHECKPOINT",
    "AlterSystemStmt": "ALTER SYSTEM",
    "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER",
    "AlterFdwStmt": "ALTER FOREIGN DATA WRAPPER",
    "CreateForeignServerStmt": "CREATE SERVER",
    "AlterForeignServerStmt": "ALTER SERVER",
    "CreateForeignTableStmt": "CREATE FOREIGN TABLE",
    "CreateUserMappingStmt": "CREATE USER MAPPING",
    "AlterUserMappingStmt": "ALTER USER MAPPING",
    "DropUserMappingStmt": "DROP USER MAPPING",
    "ImportForeignSchemaStmt": "IMPORT FOREIGN SCHEMA",
    "CreatePublicationStmt": "CREATE PUBLICATION",
    "AlterPublicationStmt": "ALTER PUBLICATION",
    "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "AlterSubscriptionStmt": "ALTER SUBSCRIPTION",
    "DropSubscriptionStmt": "DROP SUBSCRIPTION",
    "CreateExtensionStmt": "CREATE EXTENSION",
    "AlterExtensionStmt": "ALTER EXTENSION",
    "AlterExtensionContentsStmt": "ALTER EXTENSION",
    "CreatePLangStmt": "CREATE LANGUAGE",
    "CreateAmStmt": "CREATE ACCESS METHOD",
    "CreateTransformStmt": "CREATE TRANSFORM",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
}
"""Command tags that the node type alone decides."""
