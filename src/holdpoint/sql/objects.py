"""What one object of the catalog does by itself, and what it sets off: the nodes of following.

Texts that the server has written for us (defaults, checks, views, rules, policies) have every name
qualified. Bodies of functions are the user's own texts: their names mean what the session's
search_path makes of them when they run, or the function's own, where it sets one.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model.catalog import Function, Relation, RelationKind, Rule, Trigger
from holdpoint.model.effects import Effect, MarkKind, Verb
from holdpoint.sql import grammar
from holdpoint.sql.bodies import statements_of
from holdpoint.sql.extensions import extension_call
from holdpoint.sql.names import QUALIFIED, Catalog, Paths
from holdpoint.sql.nodes import (
    ALL_ARGUMENTS,
    ALL_COLUMNS,
    Direct,
    Link,
    NodeKey,
    absorb,
    read_text,
    run_shallow,
    walks_of,
)
from holdpoint.sql.settings import judge_setting, paths_of
from holdpoint.sql.walk import COPIED

_VIEWS: Final = frozenset((RelationKind.VIEW, RelationKind.MATERIALIZED_VIEW))
_FIRES: Final = frozenset(("O", "A"))  # pg_trigger.tgenabled in a session that is no replica
# pg_policy.polcmd that the server checks for a verb (manual, CREATE POLICY, its table).
_POLICIES: Final[dict[Verb, str]] = {
    Verb.SELECT: "r*",
    Verb.INSERT: "ar*",
    Verb.UPDATE: "wr*",
    Verb.DELETE: "dr*",
}
_ACTIONS: Final[dict[str, str]] = {"c": "delete", "n": "set null", "d": "set default"}


# Words of PL/pgSQL that repeat statements; a comment that has one of them costs only precision.
_LOOPS: Final = re.compile(r"\b(?:loop|foreach|continue|goto)\b", re.I)


def direct_of(catalog: Catalog, node: NodeKey, paths: Paths) -> Direct:
    """What ``node`` does; bodies of functions are read under ``paths``."""
    own = paths if node.kind == "function" else QUALIFIED
    key = ("direct", node.key, own.paths, own.anywhere)
    known: Direct | None = catalog.followed.get(key)
    if known is None:
        known = catalog.followed[key] = _read_node(catalog, node, paths)
    return known


def _read_node(catalog: Catalog, node: NodeKey, paths: Paths) -> Direct:
    if node.kind == "function":
        function = catalog.function(node.oid)
        if function is not None:
            return _function(catalog, function, paths, node.verb)
        hidden = Direct()
        hidden.unknowns.append(f"calls a function (oid {node.oid}) that the catalog does not show")
        return hidden
    if node.kind == "type":
        return _type(catalog, node.oid)
    if node.kind == "event":
        direct = Direct(f"event trigger {node.verb}")
        direct.marks.append((MarkKind.EVENT_TRIGGER, node.verb, ""))
        direct.links.append(Link(NodeKey("function", node.oid), True))
        return direct
    relation = catalog.relation(node.oid)
    if relation is None:
        return Direct()
    if node.kind == "trigger":
        return _trigger(catalog, relation, node.verb)
    if node.kind == "rule":
        return _rule(catalog, relation, node.verb)
    if node.kind == "cascade":
        return _cascade(relation, Verb(node.verb), node.columns)
    return _relation(catalog, relation, Verb(node.verb), node.columns)


# --- relations ------------------------------------------------------------------------------------


def _relation(catalog: Catalog, relation: Relation, verb: Verb, columns: tuple[str, ...]) -> Direct:
    is_view = relation.kind in _VIEWS
    direct = Direct(f"view {relation.label}" if is_view else "")
    direct.relation = relation
    direct.verb = verb
    direct.columns = columns
    texts: dict[str, None] = {}
    if verb is Verb.SELECT:
        if relation.kind is RelationKind.VIEW:
            read_text(direct, catalog, QUALIFIED, relation.definition)
    elif is_view and verb is not Verb.DEFINE:
        _view_write(direct, catalog, relation, verb)
    elif verb is Verb.DEFINE and is_view:
        read_text(direct, catalog, QUALIFIED, relation.definition)
    else:
        _table_write(direct, catalog, relation, verb, texts)
    _types_of(direct, catalog, relation, verb)
    if relation.row_security:
        for policy in relation.policies:
            if policy.command in _POLICIES.get(verb, ""):
                texts.update(dict.fromkeys((policy.using, policy.check)))
    for text in texts:
        if text:
            read_text(direct, catalog, QUALIFIED, f"SELECT {text}")
    # What the server computes for a row is no change of rows that the statement itself makes.
    direct.changes_rows = False
    if verb is not Verb.SELECT and verb is not Verb.DEFINE:
        _set_off(direct, catalog, relation, verb, columns)
    return direct


def _table_write(
    direct: Direct, catalog: Catalog, relation: Relation, verb: Verb, texts: dict[str, None]
) -> None:
    """Collect what is computed for each row, and the partitions and inheritors written with it."""
    if verb in (Verb.INSERT, Verb.UPDATE, Verb.DEFINE):
        texts.update(dict.fromkeys([column.default for column in relation.columns]))
        for constraint in relation.constraints:
            texts[constraint.expression] = None
        for index in relation.indexes:
            texts[index.expressions] = None
            texts[index.predicate] = None
    for child in catalog.children(relation.oid):
        if verb is Verb.INSERT and relation.kind is not RelationKind.PARTITIONED:
            continue
        verbs = [verb]
        if verb is Verb.UPDATE and relation.kind is RelationKind.PARTITIONED:
            verbs = [Verb.UPDATE, Verb.DELETE, Verb.INSERT]  # a row may move to another partition
        for each in verbs:
            columns = ALL_COLUMNS if each is Verb.UPDATE else ()
            direct.links.append(Link(NodeKey("relation", child.oid, each.value, columns)))


def _types_of(direct: Direct, catalog: Catalog, relation: Relation, verb: Verb) -> None:
    """Domains check what is written; casts and comparisons may be users' functions."""
    for column in relation.columns:
        for oid in catalog.applied_to(column.type_oid):
            direct.links.append(Link(NodeKey("function", oid)))
        if verb is not Verb.SELECT and catalog.data_type(column.type_oid) is not None:
            direct.links.append(Link(NodeKey("type", column.type_oid)))


def _view_write(direct: Direct, catalog: Catalog, relation: Relation, verb: Verb) -> None:
    """A view without rules and INSTEAD OF triggers for the verb passes it on to its tables."""
    direct.links.append(Link(NodeKey("relation", relation.oid, Verb.SELECT.value)))
    for trigger in relation.triggers:
        instead = trigger.timing == "instead" and trigger.enabled in _FIRES
        if instead and verb.value in trigger.events:
            return  # it takes the place of the write
    walks = walks_of(direct, catalog, QUALIFIED, relation.definition)
    for walk in walks:
        for schema, name, _, _ in walk.uses:
            for base in catalog.relations_meant(schema, name, QUALIFIED):
                columns = ALL_COLUMNS if verb is Verb.UPDATE else ()
                direct.links.append(Link(NodeKey("relation", base.oid, verb.value, columns)))


def _set_off(
    direct: Direct, catalog: Catalog, relation: Relation, verb: Verb, columns: tuple[str, ...]
) -> None:
    """Triggers, rules and foreign keys of others."""
    for trigger in relation.triggers:
        if trigger.enabled in _FIRES and _fires(relation, trigger, verb, columns):
            direct.links.append(Link(NodeKey("trigger", relation.oid, trigger.name), True))
    for rule in relation.rules:
        if rule.enabled in _FIRES and rule.event == verb.value and columns != COPIED:
            direct.links.append(Link(NodeKey("rule", relation.oid, rule.name), True))
    for child, constraint in catalog.referencing(relation.oid):
        if verb is Verb.TRUNCATE:  # without CASCADE the server refuses it
            direct.links.append(Link(NodeKey("relation", child.oid, verb.value), True))
            continue
        action = constraint.on_delete if verb is Verb.DELETE else constraint.on_update
        if verb is Verb.INSERT or action not in _ACTIONS:
            continue
        sets_key = columns == ALL_COLUMNS or set(columns) & set(constraint.referenced_columns)
        if verb is Verb.UPDATE and not sets_key:
            continue
        deletes = verb is Verb.DELETE and action == "c"
        after = Verb.DELETE if deletes else Verb.UPDATE
        done = "update" if verb is Verb.UPDATE and action == "c" else _ACTIONS[action]
        detail = (constraint.name, done, *constraint.columns)
        direct.links.append(Link(NodeKey("cascade", child.oid, after.value, detail), True))


def _fires(relation: Relation, trigger: Trigger, verb: Verb, columns: tuple[str, ...]) -> bool:
    if verb.value not in trigger.events:
        return False
    if verb is not Verb.UPDATE or not trigger.columns or columns == ALL_COLUMNS:
        return True
    generated = {column.name for column in relation.columns if column.generated}
    wanted = set(trigger.columns)
    return not wanted.isdisjoint(columns) or not wanted.isdisjoint(generated)


def _cascade(relation: Relation, verb: Verb, detail: tuple[str, ...]) -> Direct:
    """A foreign key's action on a table that refers: ``detail`` is its name, action, columns."""
    direct = Direct(f"foreign key {detail[0]}")
    direct.is_cascade = True
    direct.effects.add(Effect.WRITE)
    direct.marks.append((MarkKind.CASCADE, relation.label, f"{detail[1]} through {detail[0]}"))
    columns = detail[2:] if verb is Verb.UPDATE else ()
    direct.links.append(Link(NodeKey("relation", relation.oid, verb.value, columns)))
    return direct


def _trigger(catalog: Catalog, relation: Relation, name: str) -> Direct:
    direct = Direct(f"trigger {name} on {relation.label}", name)
    direct.table = relation.label
    for trigger in relation.triggers:
        if trigger.name == name:
            if trigger.when:
                read_text(direct, catalog, QUALIFIED, f"SELECT {trigger.when}")
            direct.trigger_function = trigger.function
            direct.links.append(Link(NodeKey("function", trigger.function)))
    return direct


def _rule(catalog: Catalog, relation: Relation, name: str) -> Direct:
    direct = Direct(f"rule {name} on {relation.label}")
    for rule in relation.rules:
        if rule.name == name:
            _rule_actions(direct, catalog, rule)
    return direct


def _rule_actions(direct: Direct, catalog: Catalog, rule: Rule) -> None:
    """The actions in a CREATE RULE; the statement itself defines nothing here."""
    try:
        nodes = grammar.parse(rule.definition, grammar.encode(rule.definition))
    except (grammar.Refused, grammar.Unreadable) as error:
        direct.unknowns.append(f"the rule `{rule.name}` cannot be read: {error}")
        return
    for item in nodes:
        stmt = item["stmt"].get("RuleStmt")
        if stmt is None:
            direct.unknowns.append(f"the rule `{rule.name}` is no rule")
            continue
        parts = [*stmt.get("actions", [])]
        if "whereClause" in stmt:
            parts.append({"SelectStmt": {"whereClause": stmt["whereClause"]}})
        for part in parts:
            absorb(direct, catalog, run_shallow(catalog, QUALIFIED, part, rule.definition))


def _type(catalog: Catalog, oid: int) -> Direct:
    """A type: a domain's checks, users' functions behind it, and the types it is made of."""
    data_type = catalog.data_type(oid)
    direct = Direct()
    if data_type is None:
        return direct
    if data_type.checks:
        direct.label = f"domain {data_type.schema}.{data_type.name}"
    for text in (*data_type.checks, data_type.default):
        if text:
            read_text(direct, catalog, QUALIFIED, f"SELECT {text}")
    functions = [*data_type.functions, *catalog.applied_to(oid)]
    functions += [cast.function for cast in catalog.casts_to(oid)]
    direct.links += [Link(NodeKey("function", function)) for function in functions]
    if data_type.base:
        direct.links.append(Link(NodeKey("type", data_type.base)))
    row = catalog.relation(data_type.relation)
    if row is not None:
        direct.links += [Link(NodeKey("type", column.type_oid)) for column in row.columns]
    return direct


# --- functions ------------------------------------------------------------------------------------


def _function(catalog: Catalog, function: Function, paths: Paths, given: str) -> Direct:
    what = "procedure" if function.kind == "p" else "function"
    direct = Direct(f"{what} {function.label}", function.label)
    direct.function = function.oid
    direct.foldable = function.volatility != "v"
    if function.security_definer:
        direct.marks.append((MarkKind.DEFINER_CALL, function.label, function.owner))
    own = _settings(direct, catalog, function, paths)
    for oid in function.uses:
        direct.links.append(Link(NodeKey("function", oid)))
    if function.support:
        direct.links.append(Link(NodeKey("function", function.support)))
    for oid in (*function.arguments, function.returns):
        if catalog.data_type(oid) is not None:
            direct.links.append(Link(NodeKey("type", oid)))
    if function.default_expressions and given != ALL_ARGUMENTS:
        read_text(direct, catalog, QUALIFIED, f"SELECT {function.default_expressions}")
    if function.kind == "a":
        return direct
    if function.extension and _of_extension(direct, function):
        return direct
    direct.has_backslash = "\\" in function.body
    code = statements_of(function)
    _body(direct, catalog, code.statements, own)
    if any(name == "search_path" for name, _ in direct.sets):
        # From there on its names could mean anything that is there.
        _body(direct, catalog, code.statements, Paths(own.paths, True))
    for words in code.unknowns:
        direct.unknowns.append(f"`{function.label}` {words}")
        direct.marks.append((_kind_of(function), function.label, words))
    if direct.defines:
        direct.unknowns.append(f"`{function.label}` may run code that it defines")
    direct.moves_cursors = code.moves_cursors
    if function.language != "sql" and _LOOPS.search(function.body) is not None:
        direct.rows_max = None
    if code.ends_transactions:
        direct.effects.add(Effect.SESSION_ESCAPE)
    return direct


def _kind_of(function: Function) -> MarkKind:
    read = function.language in ("sql", "plpgsql")
    return MarkKind.DYNAMIC_SQL if read else MarkKind.UNREADABLE_BODY


def _body(direct: Direct, catalog: Catalog, texts: tuple[str, ...], paths: Paths) -> None:
    for text in texts:
        read_text(direct, catalog, paths, text)


def _settings(direct: Direct, catalog: Catalog, function: Function, paths: Paths) -> Paths:
    """What a function's SET clauses do; the paths under which its body is read."""
    for setting in function.settings:
        name, _, value = setting.partition("=")
        if name == "search_path":
            paths = Paths(paths_of([value], catalog.rows.role))
            continue
        verdict = judge_setting(name, [value])
        if verdict.effect is not None:
            direct.effects.add(verdict.effect)
            direct.unknowns.append(f"`{function.label}` sets `{name}`, {verdict.why}")
    return paths


def _of_extension(direct: Direct, function: Function) -> bool:
    """Judge a function by its extension; False where its body should be read instead."""
    danger = extension_call(function.extension, function.name, function.volatility)
    if danger is None:
        # Whoever owns an extension can add functions in SQL to it; in C only a superuser can.
        return function.language in ("c", "internal")
    if danger.effect is Effect.UNKNOWN and function.language in ("sql", "plpgsql"):
        return False
    direct.effects.add(danger.effect)
    if danger.effect is Effect.UNKNOWN:
        direct.unknowns.append(f"calls `{function.label}`, which {danger.why}")
    if danger.mark is not None:
        direct.marks.append((danger.mark, function.label, danger.why))
    if danger.effect is not Effect.READ:
        direct.outside[f"calls {function.label}"] = None
    return True
