"""What a statement sets off: views, rules, triggers, functions, casts, checks and foreign keys.

Each object of the catalog is a *node* of a graph: what it does itself is read once from the texts
that the server keeps of it (``objects.py``), and its edges name what it sets off in turn. Following
a statement is collecting everything reachable from the names in it. A node counts once, however
many ways lead to it, so cycles end by themselves; too many nodes make the statement unknown.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from holdpoint.model.catalog import Relation
from holdpoint.model.effects import Effect, MarkKind, RelationUse, Statement, Verb
from holdpoint.model.limits import CLOSURES_MAX, CONSEQUENCES_MAX
from holdpoint.sql.names import SYSTEM_SCHEMAS, Catalog, Paths
from holdpoint.sql.nodes import ROWS_CHANGE, Direct, Link, NodeKey, nodes_named, uses_of
from holdpoint.sql.objects import direct_of
from holdpoint.sql.walk import COPIED, Node, Walk, constant

# What fires event triggers (manual, section 38.1); only DDL does, but a GRANT counts as that.
_FIRES_EVENTS: Final = frozenset((Effect.DDL, Effect.DESTRUCTIVE, Effect.PRIVILEGE))


class Closure:
    """Everything that following one name brings."""

    def __init__(self) -> None:
        self.effects: set[Effect] = set()
        self.called: set[Effect] = set()
        self.rows_inside = False
        self.rows_max: int | None = None  # that a lone call of the seed, a function, changes
        self.outside: dict[str, None] = {}
        self.unknowns: dict[str, None] = {}
        self.nodes: list[Direct] = []
        self.uses: dict[RelationUse, None] = {}


def follow_names(walk: Walk) -> None:
    """Follow everything a walk has collected, and add what it brings to the walk."""
    catalog = walk.catalog
    if catalog is None:
        for schema, name, verb, columns in walk.uses:
            named = columns[1:] if columns[:1] == COPIED else columns
            walk.followed[RelationUse(schema, name, verb, named)] = None
        _note_no_rows(walk)
        return
    if walk.uses or walk.objects:
        _uses(walk, catalog)
    for seed in nodes_named(catalog, walk):
        _add(walk, closure_of(catalog, seed, walk.paths), catalog)
    for seed in _events(walk, catalog):
        _add(walk, closure_of(catalog, seed, walk.paths), catalog)
    if walk.rows_inside:
        walk.rows_max = _rows_of_call(walk, catalog)
    _note_no_rows(walk)


def _note_no_rows(walk: Walk) -> None:
    """What writes without changing rows of a table: NOTIFY, row locks, VACUUM, sequences."""
    if Effect.WRITE not in walk.effects or Effect.UNKNOWN in walk.effects or walk.rows_inside:
        return
    if walk.rows_max is None and not any(use.verb in ROWS_CHANGE for use in walk.followed):
        walk.rows_max = 0


def _rows_of_call(walk: Walk, catalog: Catalog) -> int | None:
    """The most rows that ``SELECT f(1)`` or ``CALL p(1)`` changes, where its body proves it.

    Only where the one function is called once and is the one that changes them.
    """
    call = walk.top.get("CallStmt", {}).get("funccall")
    query: Node = walk.top.get("SelectStmt", {})
    targets: list[Node] = query.get("targetList", [])
    if query and len(targets) == 1 and not set(query) - _LONE_QUERY:
        call = targets[0].get("ResTarget", {}).get("val", {}).get("FuncCall")
    if call is None or len(walk.calls) != 1 or walk.symbols or walk.types or walk.uses:
        return None
    if any(constant(arg) is None and not _is_simple(arg) for arg in call.get("args", [])):
        return None
    seeds = nodes_named(catalog, walk)
    return closure_of(catalog, seeds[0], walk.paths).rows_max if len(seeds) == 1 else None


_LONE_QUERY: Final = frozenset(("targetList", "limitOption", "op"))


def _is_simple(arg: Node) -> bool:
    """A parameter, or a constant NULL."""
    cast: Node = arg.get("TypeCast", {})
    inner: Node = cast.get("arg", arg)
    return "ParamRef" in inner or "A_Const" in inner


def _uses(walk: Walk, catalog: Catalog) -> None:
    """The relations that the statement itself names, with what the catalog knows of them."""
    for schema, name, verb, columns in uses_of(walk):
        meant = catalog.relations_meant(schema, name, walk.paths)
        columns = columns[1:] if columns[:1] == COPIED else columns
        if not meant:
            walk.followed[RelationUse(schema, name, verb, columns)] = None
        for relation in meant:
            use = RelationUse(relation.schema, relation.name, verb, columns, relation.oid)
            walk.followed[use] = None


def is_built_in(use: RelationUse) -> bool:
    """Whether a relation that a picture lacks is one of the server's own."""
    return use.schema in SYSTEM_SCHEMAS or (not use.schema and use.name.startswith("pg_"))


def _events(walk: Walk, catalog: Catalog) -> list[NodeKey]:
    """The event triggers that a definition fires."""
    if walk.effects.isdisjoint(_FIRES_EVENTS):
        return []
    return [
        NodeKey("event", trigger.function, trigger.name)
        for trigger in catalog.rows.event_triggers
        if trigger.enabled in ("O", "A")
        and (not trigger.tags or not walk.tag or walk.tag in trigger.tags)
    ]


def closure_of(catalog: Catalog, seed: NodeKey, paths: Paths) -> Closure:
    """Everything reachable from ``seed``; remembered as long as the picture is."""
    key = (seed.key, paths.paths, paths.anywhere)
    known: Closure | None = catalog.followed.get(key)
    if known is not None:
        return known
    closure = _reach(catalog, seed, paths)
    if len(catalog.followed) >= CLOSURES_MAX:
        catalog.followed.clear()
    catalog.followed[key] = closure
    return closure


def _reach(catalog: Catalog, seed: NodeKey, paths: Paths) -> Closure:
    closure = Closure()
    waiting: list[tuple[Link, tuple[str, ...], bool, bool]] = [(Link(seed), (), True, False)]
    seen: set[tuple[str, int, str, tuple[str, ...]]] = set()
    while waiting:
        link, through, planned, folded = waiting.pop()
        planned = planned and not link.fires
        if link.node.key in seen:
            continue
        if len(seen) >= CONSEQUENCES_MAX:
            closure.effects.add(Effect.UNKNOWN)
            closure.unknowns["sets off more than Holdpoint follows"] = None
            break
        seen.add(link.node.key)
        direct = direct_of(catalog, link.node, paths)
        folded = planned and (folded or direct.foldable)
        _take(closure, direct, through, planned)
        if folded and direct.function:
            closure.called.update(direct.effects)
            closure.called.discard(Effect.READ)
        inside = (*through, direct.label) if direct.label else through
        for after in direct.links:
            waiting.append((after, inside, planned, folded))
    own = _reached_as_caller(catalog, seed, paths)
    uses = [replace(use, as_caller=(use.oid, use.verb) in own) for use in closure.uses]
    closure.uses = dict.fromkeys(uses)
    return closure


def _reached_as_caller(catalog: Catalog, seed: NodeKey, paths: Paths) -> set[tuple[int, Verb]]:
    """What functions reach that run as their caller, and views that read as theirs.

    Those of the statement and of views on the way; not what triggers, rules and types call.
    """
    found: set[tuple[int, Verb]] = set()
    waiting = [seed]
    seen: set[tuple[str, int, str, tuple[str, ...]]] = set()
    while waiting and len(seen) < CONSEQUENCES_MAX:
        node = waiting.pop()
        if node.key in seen:
            continue
        seen.add(node.key)
        if node.kind == "function":
            function = catalog.function(node.oid)
            if function is None or function.security_definer:
                continue
            reads_own = True
        else:
            relation = catalog.relation(node.oid)
            reads_own = relation is not None and relation.security_invoker
        for link in direct_of(catalog, node, paths).links:
            after = link.node
            if link.fires or (after.kind == "relation" and not reads_own):
                continue
            if after.kind == "relation":
                found.add((after.oid, Verb(after.verb)))
            if after.kind == "relation" or after.kind == "function":
                waiting.append(after)
    return found


def _take(closure: Closure, direct: Direct, through: tuple[str, ...], planned: bool) -> None:
    """Add one node; ``planned`` when running the statement itself runs it, no trigger between.

    What only reads adds nothing: the statement that leads here reads as well.
    """
    if direct.effects or direct.marks or direct.unknowns or direct.function or direct.table:
        closure.nodes.append(direct)
    closure.effects.update(direct.effects)
    closure.effects.discard(Effect.READ)
    if direct.unknowns:
        closure.effects.add(Effect.UNKNOWN)
        closure.unknowns.update(dict.fromkeys(direct.unknowns))
    closure.outside.update(dict.fromkeys(direct.outside))
    if direct.function and planned and direct.changes_rows:
        closure.rows_max = None if closure.rows_inside or through else direct.rows_max
        closure.rows_inside = True
    if direct.relation is not None and through:
        relation = direct.relation
        use = RelationUse(
            relation.schema, relation.name, direct.verb, direct.columns, relation.oid, through
        )
        closure.uses[use] = None


def _add(walk: Walk, closure: Closure, catalog: Catalog) -> None:
    """What a closure brings, the statement does too."""
    walk.effects.update(closure.effects)
    walk.called.update(closure.called)
    walk.rows_inside = walk.rows_inside or closure.rows_inside
    walk.followed.update(closure.uses)
    for words in closure.unknowns:
        walk.unknown(words)
    for direct in closure.nodes:
        if direct.function:
            walk.reached[direct.function] = None
            walk.functions[direct.name] = None
            walk.reads_backslash = walk.reads_backslash or direct.has_backslash
        for kind, subject, detail in direct.marks:
            walk.mark(kind, subject, detail)
        beyond = sorted([effect.value for effect in direct.effects if effect is not Effect.READ])
        if beyond and direct.label and not direct.is_cascade:
            walk.mark(MarkKind.THROUGH, direct.label, ", ".join(beyond))
        for name, values in direct.sets:
            walk.sets[(name, values)] = None
        if direct.moves_cursors:
            walk.depends_on_session = True
            for bound in walk.portals.values():
                walk.take(bound)
        if direct.trigger_function:
            _mark_outside(walk, direct, catalog)


def _mark_outside(walk: Walk, trigger: Direct, catalog: Catalog) -> None:
    """A trigger that reaches beyond the database's own tables."""
    node = NodeKey("function", trigger.trigger_function)
    outside = closure_of(catalog, node, walk.paths).outside
    if outside:
        words = f"{trigger.name} {', '.join(outside)}"
        walk.mark(MarkKind.TRIGGER_OUTSIDE, trigger.table, words)


def fingerprint(catalog: Catalog, statements: list[Statement]) -> str:
    """A digest over the definitions of everything the statements use or set off.

    An approval binds to it: rows and sizes may change, definitions may not.
    """
    oids: set[int] = set()
    for statement in statements:
        oids.update([use.oid for use in statement.uses])
        oids.update(statement.reached)
    digest = hashlib.sha256()
    for oid in sorted(oids):
        digest.update(_print_of(catalog, oid))
    return digest.hexdigest()


def _print_of(catalog: Catalog, oid: int) -> bytes:
    key = ("print", oid)
    known: bytes | None = catalog.followed.get(key)
    if known is None:
        relation = catalog.relation(oid)
        if relation is not None:
            indexes = tuple([replace(index, size_bytes=0) for index in relation.indexes])
            still = replace(relation, rows=0, size_bytes=0, indexes=indexes)
            known = repr(_stable(still)).encode()
        else:
            known = repr(catalog.function(oid)).encode()
        catalog.followed[key] = known
    return known


def _stable(relation: Relation) -> tuple[object, ...]:
    """A relation whose sets have an order: the same in every process."""
    triggers = [
        (replace(each, events=frozenset()), sorted(each.events)) for each in relation.triggers
    ]
    return (replace(relation, triggers=()), triggers)


def summary(catalog: Catalog, function: int) -> tuple[tuple[str, ...], bool]:
    """What a function does, in words, and whether that reaches outside the database's tables.

    What cannot be read may reach anywhere.
    """
    closure = closure_of(catalog, NodeKey("function", function), catalog.paths)
    words = dict(closure.outside)
    for use in closure.uses:
        if use.verb in ROWS_CHANGE:
            words[f"{use.verb.value}s {use.schema}.{use.name}"] = None
    for effect in _WORDS:
        if effect in closure.effects:
            words[_WORDS[effect]] = None
    words.update(closure.unknowns)
    on_server = Effect.SERVER_SIDE in closure.effects
    return tuple(words), bool(closure.outside or closure.unknowns or on_server)


# What no list of relations tells of a function.
_WORDS: Final[dict[Effect, str]] = {
    Effect.DDL: "defines objects",
    Effect.DESTRUCTIVE: "drops or empties objects",
    Effect.PRIVILEGE: "changes who may do what",
    Effect.SESSION_ESCAPE: "changes its session",
    Effect.SERVER_SIDE: "acts on the server",
    Effect.EXHAUSTION: "waits or takes locks",
}
