"""What runs behind a text, and the privileges that it needs of who sent the text.

* A view reaches its tables with its owner's rights; one with ``security_invoker``, and every
  function that stands in a view, with the caller's (manual, CREATE VIEW).
* Functions and triggers run with the caller's rights unless they are SECURITY DEFINER. A trigger's
  function needs no EXECUTE of the caller.
* Rules reach tables with the rights of their table's owner (manual, section 39.5).
* Foreign keys check and cascade with the rights of the tables' owners: nothing is needed. Before
  PostgreSQL 18, though, AFTER triggers that a cascade sets off ran as the caller (seen on 13, 16).
* Defaults, checks, index expressions and policies call functions as the caller.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import Function, Relation, RelationKind, Trigger
from holdpoint.sql import grammar
from holdpoint.sql.bodies import block_code, statements_of
from holdpoint.sql.code import Code
from holdpoint.sql.names import QUALIFIED, Catalog, Paths
from holdpoint.sql.needed import CALLER, Asking, Behind, Needed
from holdpoint.sql.privileges_changes import StatementReader
from holdpoint.sql.privileges_statements import read_statement, read_text
from holdpoint.sql.settings import paths_of
from holdpoint.sql.walk import Node, strings

_READ_HERE: Final = frozenset(("sql", "plpgsql"))
_FIRES: Final = frozenset(("O", "A"))  # pg_trigger.tgenabled in a session that is no replica
_ACTIONS: Final = frozenset(("c", "n", "d"))  # cascade, set null, set default
_CASCADED: Final = {"cascade delete": "delete", "cascade update": "update"}
_QUEUED_AS_SINCE: Final = 180000
# pg_policy.polcmd that the server checks for a verb (manual, CREATE POLICY, its table).
_POLICIES: Final[dict[str, str]] = {"insert": "a*", "update": "wr*", "delete": "dr*"}


def follow(needed: Needed, catalog: Catalog, paths: Paths) -> None:
    """Read everything that runs behind, until there is nothing more."""
    while needed.waiting:
        item = needed.waiting.pop()
        try:
            _follow(needed, catalog, paths, item)
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError):
            needed.unknown("what runs behind it has a form that the reader does not expect")


def _follow(needed: Needed, catalog: Catalog, paths: Paths, item: Behind) -> None:
    if item.kind == "function":
        function = catalog.function(item.oid)
        if function is not None:
            _function(needed, catalog, function, paths)
    elif item.kind == "argument defaults":
        function = catalog.function(item.oid)
        if function is not None:
            asking = Asking(catalog, QUALIFIED, needed, True, False)
            _expression(asking, function.default_expressions)
    elif item.kind == "type":
        _type(needed, catalog, item.oid)
    elif item.kind == "block":
        code = block_code(item.columns[0], item.columns[1])
        _code(code, Asking(catalog, paths, needed), "the block")
    else:
        relation = catalog.relation(item.oid)
        if relation is not None:
            _relation(needed, catalog, relation, item)


def _relation(needed: Needed, catalog: Catalog, relation: Relation, item: Behind) -> None:
    """What reading or changing a relation sets off."""
    as_caller = item.rights == CALLER
    asking = Asking(catalog, QUALIFIED, needed, as_caller, False, table=relation)
    if item.kind == "read" or item.kind == "lock":
        if relation.kind is RelationKind.VIEW:
            _view(needed, catalog, relation, item.kind == "lock")
        if item.kind == "read":
            _policies(asking, relation, "r*")
        return
    if item.kind == "row":
        for column in relation.columns:
            needed.behind(Behind("type", column.type_oid, CALLER))
        return
    if item.kind in _CASCADED:
        _cascades(needed, catalog, relation, item, _CASCADED[item.kind])
        return
    if item.kind in ("update", "delete") and catalog.rows.version < _QUEUED_AS_SINCE:
        _cascades(needed, catalog, relation, item, item.kind)
    _defaults(needed, catalog, relation, item)
    if relation.kind is RelationKind.VIEW and not _is_replaced(relation, item.kind):
        _view_change(needed, catalog, relation, item)
    for trigger in relation.triggers:
        if _fires(relation, trigger, item):
            needed.behind(Behind("function", trigger.function, CALLER))
            _expression(asking, trigger.when)
    for rule in relation.rules:
        if rule.enabled in _FIRES and rule.event == item.kind:
            _rule(Asking(catalog, QUALIFIED, needed, False, False), rule.definition)
    _policies(asking, relation, _POLICIES.get(item.kind, ""))
    if item.kind in ("insert", "update"):
        _checks(asking, relation)
    for child in catalog.children(relation.oid) if item.kind != "truncate" else ():
        if relation.kind is RelationKind.PARTITIONED or item.kind != "insert":
            needed.behind(Behind(item.kind, child.oid, item.rights, item.columns, item.columns))


def _cascades(
    needed: Needed, catalog: Catalog, relation: Relation, item: Behind, verb: str
) -> None:
    """AFTER triggers of a table in a cascade, and of those that refer to it in turn."""
    if item.kind in _CASCADED:
        changed = Behind(verb, relation.oid, CALLER, item.columns)
        for trigger in relation.triggers:
            if trigger.timing == "after" and _fires(relation, trigger, changed):
                needed.behind(Behind("function", trigger.function, CALLER))
    for child, constraint in catalog.referencing(relation.oid):
        action = constraint.on_delete if verb == "delete" else constraint.on_update
        touched = not item.columns or not set(item.columns).isdisjoint(
            constraint.referenced_columns
        )
        if action in _ACTIONS and (verb == "delete" or touched):
            after = "cascade delete" if verb == "delete" and action == "c" else "cascade update"
            columns = () if after == "cascade delete" else constraint.columns
            needed.behind(Behind(after, child.oid, CALLER, columns))


def _expression(asking: Asking, text: str) -> None:
    """An expression of the catalog's, as the server has written it."""
    if text:
        read_text(f"SELECT {text}", asking)


def _policies(asking: Asking, relation: Relation, commands: str) -> None:
    """Row-level policies: their subqueries run with the rights that reach the table."""
    for policy in relation.policies if relation.row_security else ():
        if policy.command in commands:
            _expression(asking, policy.using)
            _expression(asking, policy.check)


def _defaults(needed: Needed, catalog: Catalog, relation: Relation, item: Behind) -> None:
    """Defaults are computed as the caller, sequences included."""
    asking = Asking(catalog, QUALIFIED, needed, True, False, table=relation)
    for column in relation.columns:
        if not column.default or column.generated:
            continue
        is_set = item.kind == "insert" or column.name in item.columns
        if is_set and item.kind in ("insert", "update") and column.name not in item.given:
            _expression(asking, column.default)


def _checks(asking: Asking, relation: Relation) -> None:
    """What is computed for each new row, and the checks of its columns' types."""
    texts = [each.default for each in relation.columns if each.generated]
    texts += [each.expression for each in relation.constraints]
    for index in relation.indexes:
        texts += [index.expressions, index.predicate]
    for column in relation.columns:
        asking.needed.behind(Behind("type", column.type_oid, CALLER))
    for text in texts:
        _expression(asking, text)


def _type(needed: Needed, catalog: Catalog, oid: int) -> None:
    """Values of a type are made: a domain's checks run, and those of what it is made of."""
    data_type = catalog.data_type(oid)
    if data_type is None:
        return
    for text in data_type.checks:
        _expression(Asking(catalog, QUALIFIED, needed, True, False), text)
    for function in data_type.functions:
        needed.behind(Behind("function", function, CALLER))
    needed.behind(Behind("type", data_type.base, CALLER))
    needed.behind(Behind("row", data_type.relation, CALLER))


def _fires(relation: Relation, trigger: Trigger, item: Behind) -> bool:
    if trigger.enabled not in _FIRES or item.kind not in trigger.events:
        return False
    if item.kind != "update" or not trigger.columns or not item.columns:
        return True
    generated = any(column.generated for column in relation.columns)
    return generated or not set(trigger.columns).isdisjoint(item.columns)


# --- views ----------------------------------------------------------------------------------------


def _view(needed: Needed, catalog: Catalog, view: Relation, is_locked: bool) -> None:
    """A view is read, and maybe locked: its tables are, as its owner or as the caller."""
    asking = Asking(catalog, QUALIFIED, needed, view.security_invoker, False)
    read_text(view.definition.rstrip().rstrip(";") + (" FOR UPDATE" if is_locked else ""), asking)


def _is_replaced(view: Relation, verb: str) -> bool:
    """Whether triggers or rules take the place of changing the view's table."""
    return any(
        trigger.timing == "instead" and trigger.enabled in _FIRES and verb in trigger.events
        for trigger in view.triggers
    ) or any(rule.instead and rule.event == verb for rule in view.rules)


def _view_change(needed: Needed, catalog: Catalog, view: Relation, item: Behind) -> None:
    """A change of a simple view is one of its table, under the columns' own names."""
    asking = Asking(catalog, QUALIFIED, needed, view.security_invoker, False)
    reader = StatementReader(asking)
    base, names = _base_of(view, asking)
    for relation in base:
        columns = [names[each] for each in item.columns if each in names]
        given = [names[each] for each in item.given if each in names]
        if item.kind == "delete":
            reader.need(relation, "delete")
        elif not columns:
            reader.need_any(relation, item.kind)
        for column in columns if item.kind != "delete" else []:
            reader.need(relation, item.kind, column)
        reader.writes(relation, item.kind, columns, given)


def _base_of(view: Relation, asking: Asking) -> tuple[tuple[Relation, ...], dict[str, str]]:
    """The table of a simple view, and the view's columns by the table's names for them."""
    try:
        nodes = grammar.parse(view.definition, grammar.encode(view.definition))
    except (grammar.Refused, grammar.Unreadable) as error:
        asking.needed.unknown(f"the view `{view.label}` cannot be read: {error}")
        return (), {}
    query: Node = nodes[0]["stmt"].get("SelectStmt", {})
    items: list[Any] = query.get("fromClause", [])
    table: Node = items[0].get("RangeVar", {}) if len(items) == 1 else {}
    if not table:
        return (), {}
    relations = asking.relations(table.get("schemaname", ""), table.get("relname", ""))
    names: dict[str, str] = {}
    for column, target in zip(view.columns, query.get("targetList", []), strict=False):
        fields = strings(target["ResTarget"].get("val", {}).get("ColumnRef", {}).get("fields", []))
        if fields:
            names[column.name] = fields[-1]
    return relations, names


def _rule(asking: Asking, definition: str) -> None:
    """A rule's actions, with the rights of its table's owner."""
    try:
        nodes = grammar.parse(definition, grammar.encode(definition))
    except (grammar.Refused, grammar.Unreadable) as error:
        asking.needed.unknown(f"a rule cannot be read: {error}")
        return
    for action in nodes[0]["stmt"].get("RuleStmt", {}).get("actions", []):
        read_statement(action, asking)


# --- functions ------------------------------------------------------------------------------------


def _function(needed: Needed, catalog: Catalog, function: Function, paths: Paths) -> None:
    """What the body of a function needs, unless it runs with its owner's rights."""
    if function.security_definer or function.schema == "pg_catalog":
        return
    for oid in function.uses:
        needed.behind(Behind("function", oid, CALLER))
    if function.kind == "a" or (function.extension and function.language not in _READ_HERE):
        return
    for setting in function.settings:
        name, _, value = setting.partition("=")
        if name == "search_path":
            paths = Paths(paths_of([value], catalog.rows.role))
    if function.standard_body:
        paths = QUALIFIED
    asking = Asking(catalog, paths, needed, True, not function.standard_body)
    _code(statements_of(function), asking, f"`{function.label}`")


def _code(code: Code, asking: Asking, label: str) -> None:
    for text in code.statements:
        read_text(text, asking)
    for words in code.unknowns:
        asking.needed.unknown(f"{label} {words}")
