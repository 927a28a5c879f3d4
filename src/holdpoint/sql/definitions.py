"""CREATE, ALTER, DROP, COMMENT, and who may do what: GRANT, roles, policies, ownership."""

from __future__ import annotations

import re
from typing import Any, Final

from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Access, Effect, MarkKind, ObjectKind
from holdpoint.sql import changes
from holdpoint.sql.queries import create_target
from holdpoint.sql.utility import option_value
from holdpoint.sql.walk import Node, Walk, label, qualified, strings

_KINDS: Final[dict[str, ObjectKind]] = {
    "TABLE": ObjectKind.RELATION,
    "FOREIGN TABLE": ObjectKind.RELATION,
    "INDEX": ObjectKind.INDEX,
    "SEQUENCE": ObjectKind.SEQUENCE,
    "VIEW": ObjectKind.VIEW,
    "MATERIALIZED VIEW": ObjectKind.VIEW,
    "SCHEMA": ObjectKind.SCHEMA,
    "FUNCTION": ObjectKind.FUNCTION,
    "PROCEDURE": ObjectKind.FUNCTION,
    "ROUTINE": ObjectKind.FUNCTION,
    "AGGREGATE": ObjectKind.FUNCTION,
    "TYPE": ObjectKind.TYPE,
    "DOMAIN": ObjectKind.TYPE,
    "ROLE": ObjectKind.ROLE,
    "EXTENSION": ObjectKind.EXTENSION,
    "DATABASE": ObjectKind.DATABASE,
}
_WORDS: Final[dict[str, str]] = {
    "MATVIEW": "MATERIALIZED VIEW",
    "FDW": "FOREIGN DATA WRAPPER",
    "FOREIGN_SERVER": "SERVER",
    "TSPARSER": "TEXT SEARCH PARSER",
    "TSDICTIONARY": "TEXT SEARCH DICTIONARY",
    "TSTEMPLATE": "TEXT SEARCH TEMPLATE",
    "TSCONFIGURATION": "TEXT SEARCH CONFIGURATION",
    "OPCLASS": "OPERATOR CLASS",
    "OPFAMILY": "OPERATOR FAMILY",
    "STATISTIC_EXT": "STATISTICS",
    "TABCONSTRAINT": "CONSTRAINT",
    "DOMCONSTRAINT": "CONSTRAINT",
}
# Dropped from inside a table: the name's last part is the thing, the parts before it the table.
_ON_TABLE: Final = frozenset(("TRIGGER", "RULE", "POLICY"))
_INSIDE_TABLE: Final = _ON_TABLE | frozenset(("COLUMN", "CONSTRAINT"))


def _words(enum: str) -> str:
    bare = enum.removeprefix("OBJECT_")
    return _WORDS.get(bare, bare.replace("_", " "))


def _parts(item: Node) -> list[str]:
    """The name in an item of DROP, COMMENT or ALTER: five shapes for one thing."""
    for kind, value in item.items():
        if kind == "List":
            found: list[str] = []
            for part in value.get("items", []):
                found.extend(_parts(part))
            return found
        if kind == "String":
            return [value.get("sval", "")]
        if kind == "TypeName":
            return strings(value.get("names", []))
        if kind == "ObjectWithArgs":
            return strings(value.get("objname", []))
    return []


def drop(walk: Walk, node: Node, key: str) -> None:
    """DROP of nearly everything: what it held cannot come back."""
    what = _words(node["removeType"])
    walk.tag = walk.tag or f"DROP {what}"
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.DESTRUCTIVE)
    kind = _KINDS.get(what, ObjectKind.OTHER)
    for item in node["objects"]:
        parts = _parts(item)
        written = ".".join(parts)
        walk.changes.append(changes.dropped(what, parts, what in _ON_TABLE, node))
        if what in _ON_TABLE:
            schema, table = qualified(parts[:-1])
            walk.note(table, schema, access=Access.DEFINE)
        schema, name = qualified(parts)
        if what not in _ON_TABLE:
            walk.note(name, schema, kind, Access.DEFINE)
        walk.mark(MarkKind.DROP, written, what)
        if what == "POLICY":
            walk.effects.add(Effect.PRIVILEGE)
            walk.mark(MarkKind.PRIVILEGE, written, "drops a row security policy")
        elif what in ("SERVER", "FOREIGN DATA WRAPPER", "PUBLICATION"):
            walk.effects.add(Effect.SERVER_SIDE)
            walk.mark(MarkKind.FOREIGN, written, f"drop {what.lower()}")
        elif what == "EXTENSION":
            walk.effects.add(Effect.SERVER_SIDE)
            walk.mark(MarkKind.EXTENSION, written, "drop extension")


def drop_database(walk: Walk, node: Node, key: str) -> None:
    """DROP DATABASE."""
    name = str(node.get("dbname", ""))
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.DESTRUCTIVE)
    walk.note(name, "", ObjectKind.DATABASE, Access.DEFINE)
    walk.changes.append(Change(action="DROP", on=Name("", name), kind="DATABASE"))
    walk.mark(MarkKind.DROP, name, "DATABASE")


def create_table(walk: Walk, node: Node, key: str) -> None:
    """CREATE TABLE, VIEW, SEQUENCE, composite type: something named by a RangeVar."""
    walk.effects.add(Effect.DDL)
    for field, kind in (
        ("relation", ObjectKind.RELATION),
        ("view", ObjectKind.VIEW),
        ("sequence", ObjectKind.SEQUENCE),
        ("typevar", ObjectKind.TYPE),
    ):
        relation = node.get(field)
        if relation is not None:
            name = relation.get("relname", "")
            walk.note(name, relation.get("schemaname", ""), kind, Access.DEFINE)
            detail = "TABLE" if field == "relation" else kind.value.upper()
            walk.mark(MarkKind.CREATE, label(relation), detail)
    if "relation" in node:
        walk.changes.append(changes.created_table(node))
    else:
        walk.changes.append(changes.created(walk.tag, node))
    walk.rest(node, "relation", "view", "sequence", "typevar")


def create_as(walk: Walk, node: Node, key: str) -> None:
    """CREATE TABLE AS and CREATE MATERIALIZED VIEW: the query runs as well."""
    what = _words(node.get("objtype", "OBJECT_TABLE"))
    walk.tag = walk.tag or ("CREATE TABLE AS" if what == "TABLE" else f"CREATE {what}")
    walk.effects.add(Effect.DDL)
    create_target(walk, node["into"], _KINDS.get(what, ObjectKind.OTHER))
    on = changes.name_of(node["into"].get("rel"))
    walk.changes.append(Change(action="CREATE", on=on, kind=what))
    walk.stack.append(node["query"])


def create_index(walk: Walk, node: Node, key: str) -> None:
    """CREATE INDEX keeps writers out while it builds, unless it does so CONCURRENTLY."""
    relation: Node = node["relation"]
    walk.effects.add(Effect.DDL)
    schema = relation.get("schemaname", "")
    walk.note(relation["relname"], schema, ObjectKind.RELATION, Access.DEFINE)
    if "idxname" in node:
        walk.note(node["idxname"], schema, ObjectKind.INDEX, Access.DEFINE)
    detail = "concurrently" if node.get("concurrent", False) else ""
    walk.mark(MarkKind.CREATE_INDEX, label(relation), detail)
    walk.changes.append(changes.created_index(node))
    walk.rest(node, "relation")


def create_function(walk: Walk, node: Node, key: str) -> None:
    """CREATE FUNCTION: its body runs later, when something calls it."""
    parts = strings(node["funcname"])
    written = ".".join(parts)
    schema, name = qualified(parts)
    is_procedure = node.get("is_procedure", False)
    walk.tag = walk.tag or ("CREATE PROCEDURE" if is_procedure else "CREATE FUNCTION")
    walk.effects.add(Effect.DDL)
    walk.note(name, schema, ObjectKind.FUNCTION, Access.DEFINE)
    walk.mark(MarkKind.CREATE, written, "FUNCTION")
    replace = bool(node.get("replace", False))
    on = Name(schema, name)
    walk.changes.append(Change(action="CREATE", on=on, kind="FUNCTION", replace=replace))
    _function_options(walk, node.get("options", []), written)
    language = option_value(node, "language").lower() or "sql"
    if language not in ("sql", "plpgsql"):
        walk.effects.add(Effect.SERVER_SIDE)
        walk.mark(MarkKind.LANGUAGE, language, f"`{written}` is written in it")
    walk.rest(node, "funcname", "sql_body", "options")


def _function_options(walk: Walk, options: list[Node], written: str) -> None:
    for item in options:
        option: Node = item["DefElem"]
        if option["defname"] == "security" and option["arg"]["Boolean"].get("boolval", False):
            walk.effects.add(Effect.PRIVILEGE)
            walk.mark(MarkKind.SECURITY_DEFINER, written)
        elif option["defname"] == "support":
            walk.effects.add(Effect.SERVER_SIDE)
            walk.mark(MarkKind.LANGUAGE, "support function", f"`{written}` plans with it")


def alter_function(walk: Walk, node: Node, key: str) -> None:
    """ALTER FUNCTION: attributes, of which SECURITY DEFINER matters."""
    parts = strings(node["func"].get("objname", []))
    schema, name = qualified(parts)
    walk.tag = walk.tag or f"ALTER {_words(node.get('objtype', 'OBJECT_FUNCTION'))}"
    walk.effects.add(Effect.DDL)
    walk.note(name, schema, ObjectKind.FUNCTION, Access.DEFINE)
    walk.changes.append(Change(action="ALTER", on=Name(schema, name), kind="FUNCTION"))
    _function_options(walk, node.get("actions", []), ".".join(parts))


_PRIVILEGE_COMMANDS: Final[dict[str, str]] = {
    "AT_ChangeOwner": "changes the owner",
    "AT_EnableRowSecurity": "changes row security",
    "AT_DisableRowSecurity": "changes row security",
    "AT_ForceRowSecurity": "changes row security",
    "AT_NoForceRowSecurity": "changes row security",
}
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def alter_table(walk: Walk, node: Node, key: str) -> None:
    """ALTER TABLE and its kin, command by command."""
    relation: Node = node["relation"]
    name = label(relation)
    what = _words(node.get("objtype", "OBJECT_TABLE"))
    walk.tag = walk.tag or f"ALTER {what}"
    walk.effects.add(Effect.DDL)
    kind = _KINDS.get(what, ObjectKind.RELATION)
    walk.note(relation["relname"], relation.get("schemaname", ""), kind, Access.DEFINE)
    for item in node["cmds"]:
        command: Node = item["AlterTableCmd"]
        subtype: str = command["subtype"]
        walk.changes.append(changes.table_command(changes.name_of(relation), what, command))
        if subtype == "AT_DropColumn":
            walk.effects.add(Effect.DESTRUCTIVE)
            walk.mark(MarkKind.DROP_COLUMN, name, command.get("name", ""))
        elif subtype in _PRIVILEGE_COMMANDS:
            walk.effects.add(Effect.PRIVILEGE)
            walk.mark(MarkKind.PRIVILEGE, name, _PRIVILEGE_COMMANDS[subtype])
        else:
            words = " ".join(_CAMEL.split(subtype.removeprefix("AT_"))).lower()
            words = words.replace("trig", "trigger")
            walk.mark(MarkKind.ALTER_TABLE, name, words)
    walk.rest(node, "relation")


def rename(walk: Walk, node: Node, key: str) -> None:
    """RENAME, SET SCHEMA, DEPENDS: clients that use the old name break."""
    what = _words(str(node.get("renameType", "") or node.get("objectType", "OBJECT_TABLE")))
    walk.effects.add(Effect.DDL)
    relation = node.get("relation")
    if relation is not None:
        table = "TABLE" if what in _INSIDE_TABLE else what
        walk.tag = walk.tag or f"ALTER {table}"
        kind = _KINDS.get(table, ObjectKind.RELATION)
        walk.note(relation["relname"], relation.get("schemaname", ""), kind, Access.DEFINE)
        detail = f"rename {what.lower()}" if "renameType" in node else "set schema"
        walk.mark(MarkKind.ALTER_TABLE, label(relation), detail)
        action = "RENAME" if "renameType" in node else "SET SCHEMA"
        part = str(node.get("subname", ""))
        on = changes.name_of(relation)
        walk.changes.append(Change(action=action, on=on, kind=what, part=part))
    else:
        walk.tag = walk.tag or f"ALTER {what}"
        _note_object(walk, what, node.get("object", {}), str(node.get("subname", "")))
        _change_object(walk, "RENAME" if "renameType" in node else "SET SCHEMA", what, node)
    if what == "ROLE":
        walk.effects.add(Effect.PRIVILEGE)
        walk.mark(MarkKind.PRIVILEGE, str(node.get("subname", "")), "renames a role")


def _note_object(walk: Walk, what: str, item: Node, other: str) -> None:
    schema, name = qualified(_parts(item))
    walk.note(name or other, schema, _KINDS.get(what, ObjectKind.OTHER), Access.DEFINE)


def _change_object(walk: Walk, action: str, what: str, node: Node) -> None:
    schema, name = qualified(_parts(node.get("object", {})))
    on = Name(schema, name or str(node.get("subname", "")))
    walk.changes.append(Change(action=action, on=on, kind=what))


def alter_owner(walk: Walk, node: Node, key: str) -> None:
    """ALTER ... OWNER TO: whoever owns an object may do anything to it."""
    what = _words(node["objectType"])
    walk.tag = walk.tag or f"ALTER {what}"
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.PRIVILEGE)
    item: Node = node.get("object", {})
    _note_object(walk, what, item, "")
    _change_object(walk, "OWNER", what, node)
    walk.mark(MarkKind.PRIVILEGE, ".".join(_parts(item)), "changes the owner")


def comment(walk: Walk, node: Node, key: str) -> None:
    """COMMENT ON."""
    what = _words(node["objtype"])
    walk.effects.add(Effect.DDL)
    parts = _parts(node.get("object", {}))
    if what in _INSIDE_TABLE:
        parts = parts[:-1]
        what = "TABLE"
    schema, name = qualified(parts)
    walk.note(name, schema, _KINDS.get(what, ObjectKind.OTHER), Access.DEFINE)
    walk.changes.append(Change(action="COMMENT", on=Name(schema, name), kind=what))


def define(walk: Walk, node: Node, key: str) -> None:
    """Definitions whose objects matter less than that they are definitions."""
    walk.effects.add(Effect.DDL)
    if "kind" in node and not walk.tag:
        walk.tag = f"CREATE {_words(node['kind'])}"
    walk.changes.extend(changes.defined(walk.tag, node))
    for field, kind in _NAMED:
        value: Any = node.get(field)
        if isinstance(value, list):
            schema, name = qualified(strings(value))
            walk.note(name, schema, kind, Access.DEFINE)
        elif isinstance(value, str):
            walk.note(value, "", kind, Access.DEFINE)
        elif isinstance(value, dict) and "relname" in value:
            walk.note(value["relname"], value.get("schemaname", ""), kind, Access.DEFINE)
    walk.rest(node, "relation", "sequence", "actions")


_NAMED: Final[tuple[tuple[str, ObjectKind], ...]] = (
    ("defnames", ObjectKind.OTHER),
    ("domainname", ObjectKind.TYPE),
    ("typeName", ObjectKind.TYPE),
    ("schemaname", ObjectKind.SCHEMA),
    ("dbname", ObjectKind.DATABASE),
    ("sequence", ObjectKind.SEQUENCE),
    ("relation", ObjectKind.RELATION),
    ("opfamilyname", ObjectKind.OTHER),
    ("collname", ObjectKind.OTHER),
    ("dictname", ObjectKind.OTHER),
    ("cfgname", ObjectKind.OTHER),
    ("conversion_name", ObjectKind.OTHER),
)


def privilege(walk: Walk, node: Node, key: str) -> None:
    """Who may do what: roles, grants, policies, ownership, labels."""
    walk.effects.add(Effect.PRIVILEGE)
    if key == "GrantStmt" or key == "GrantRoleStmt":
        suffix = " ROLE" if key == "GrantRoleStmt" else ""
        walk.tag = walk.tag or ("GRANT" if node.get("is_grant", False) else "REVOKE") + suffix
    what = _words(node.get("objtype", ""))
    for item in node.get("objects", []):
        relation = item.get("RangeVar")
        if relation is not None:
            kind = _KINDS.get(what, ObjectKind.RELATION)
            walk.note(relation["relname"], relation.get("schemaname", ""), kind, Access.DEFINE)
            on = changes.name_of(relation)
            walk.changes.append(Change(action=walk.tag, on=on, kind=what))
        else:
            _note_object(walk, what, item, "")
    table: Node = node.get("table", {})
    if table:
        walk.note(table["relname"], table.get("schemaname", ""), access=Access.DEFINE)
        part = str(node.get("policy_name", ""))
        walk.changes.append(Change(action=walk.tag, on=changes.name_of(table), part=part))
    subject = (
        label(table) if table else _role_names(node) or ".".join(_parts(node.get("object", {})))
    )
    walk.mark(MarkKind.PRIVILEGE, subject, walk.tag)
    walk.rest(node, "objects", "table", "setstmt", "action", "object")


def _role_names(node: Node) -> str:
    names: list[str] = []
    if isinstance(node.get("role"), str):
        names.append(node["role"])
    elif isinstance(node.get("role"), dict):
        names.append(node["role"].get("rolename", ""))
    for item in [*node.get("roles", []), *node.get("grantees", []), *node.get("grantee_roles", [])]:
        names.append(item.get("RoleSpec", {}).get("rolename", "") or "PUBLIC")
    return ", ".join(names)


def drop_role(walk: Walk, node: Node, key: str) -> None:
    """DROP ROLE and DROP OWNED: rights, and with the latter objects, are gone."""
    privilege(walk, node, key)
    walk.effects.add(Effect.DESTRUCTIVE)
    for item in node.get("roles", []):
        name = item.get("RoleSpec", {}).get("rolename", "")
        walk.note(name, "", ObjectKind.ROLE, Access.DEFINE)
        walk.mark(MarkKind.DROP, name, walk.tag.removeprefix("DROP "))
        kind = walk.tag.removeprefix("DROP ")
        walk.changes.append(Change(action="DROP", on=Name("", name), kind=kind))


def default_setting(walk: Walk, node: Node, key: str) -> None:
    """ALTER ROLE or DATABASE ... SET: every later session starts with it."""
    walk.effects.add(Effect.PRIVILEGE)
    name = str(node["setstmt"].get("name", "ALL"))
    walk.mark(MarkKind.SYSTEM_SETTING, name, walk.tag)


def event_trigger(walk: Walk, node: Node, key: str) -> None:
    """An event trigger runs code at every definition in the database."""
    walk.effects.add(Effect.DDL)
    walk.effects.add(Effect.PRIVILEGE)
    walk.mark(MarkKind.PRIVILEGE, str(node.get("trigname", "")), walk.tag)
