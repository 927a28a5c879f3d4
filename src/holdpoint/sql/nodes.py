"""The nodes of following: what names them, what one of them does, and how its texts are read.

``objects`` reads each kind of object into a ``Direct``; ``consequences`` goes from one to the next.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.effects import Access, Effect, MarkKind, ObjectKind, Verb
from holdpoint.sql import grammar
from holdpoint.sql.defining import defines
from holdpoint.sql.names import Catalog, Paths
from holdpoint.sql.walk import COPIED, Walk

ALL_COLUMNS: Final = ("*",)
"""Which columns an UPDATE sets cannot be told."""

# Kinds whose definition runs expressions of a table: its own, or its indexes'.
_DEFINED: Final = (ObjectKind.RELATION, ObjectKind.VIEW, ObjectKind.INDEX)

ALL_ARGUMENTS: Final = "all arguments"
"""As the verb of a function's node: no default of an argument is computed."""

ROWS_CHANGE: Final = frozenset((Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.TRUNCATE))
"""Verbs that change rows."""


class NodeKey:
    """One node: ``kind`` says which of the functions below reads it; ``verb`` also a name."""

    def __init__(self, kind: str, oid: int, verb: str = "", columns: tuple[str, ...] = ()) -> None:
        self.kind: Final = kind
        self.oid: Final = oid
        self.verb: Final = verb
        self.columns: Final = columns
        self.key: Final = (kind, oid, verb, columns)


class Link:
    """From a node to what it sets off; ``fires`` when that is no part of running it: triggers."""

    def __init__(self, node: NodeKey, fires: bool = False) -> None:
        self.node: Final = node
        self.fires: Final = fires


class Direct:
    """What one node does by itself. ``label`` is how people call it, empty for plain tables."""

    def __init__(self, label: str = "", name: str = "") -> None:
        self.label = label
        self.name = name
        self.has_backslash = False  # which literals mean depends on standard_conforming_strings
        self.function = 0
        self.relation: Relation | None = None
        self.verb = Verb.SELECT
        self.columns: tuple[str, ...] = ()
        self.effects: set[Effect] = set()
        self.marks: list[tuple[MarkKind, str, str]] = []
        self.unknowns: list[str] = []
        self.functions: dict[str, None] = {}
        self.outside: dict[str, None] = {}
        self.sets: list[tuple[str, tuple[str, ...] | None]] = []
        self.links: list[Link] = []
        self.changes_rows = False
        self.rows_max: int | None = 0  # that its own statements change, None for any number
        self.is_cascade = False
        self.defines = False  # what it runs later may be what it defined before
        self.moves_cursors = False  # may run any portal of the session
        # The planner may run it: it is declared IMMUTABLE or STABLE, whatever it does in truth.
        self.foldable = False
        # Of a trigger: its table, and the function it calls.
        self.table = ""
        self.trigger_function = 0


def telling_columns(
    catalog: Catalog, relation: Relation, verb: Verb, columns: tuple[str, ...]
) -> tuple[str, ...]:
    """Of the columns that an UPDATE sets, those on which what it sets off depends."""
    if verb is Verb.INSERT and columns[:1] == COPIED:
        return COPIED
    if verb is not Verb.UPDATE:
        return ()
    if not columns or relation.kind is RelationKind.VIEW:
        return ALL_COLUMNS
    telling: set[str] = set()
    for trigger in relation.triggers:
        telling.update(trigger.columns)
    for _, constraint in catalog.referencing(relation.oid):
        telling.update(constraint.referenced_columns)
    return tuple(sorted(telling.intersection(columns)))


def read_text(direct: Direct, catalog: Catalog, paths: Paths, text: str) -> None:
    """Add what the statements of ``text`` do and name."""
    for walk in walks_of(direct, catalog, paths, text):
        absorb(direct, catalog, walk)


def walks_of(direct: Direct, catalog: Catalog, paths: Paths, text: str) -> list[Walk]:
    """Read a text that belongs to ``direct``: a walk for each statement, none if it cannot be."""
    try:
        nodes = grammar.parse(text, grammar.encode(text))
    except (grammar.Refused, grammar.Unreadable) as error:
        direct.unknowns.append(f"a text behind {direct.label or 'it'} cannot be read: {error}")
        return []
    return [run_shallow(catalog, paths, item["stmt"], text) for item in nodes]


def run_shallow(catalog: Catalog, paths: Paths, node: dict[str, object], text: str) -> Walk:
    """Walk one statement without following what it names."""
    walk = Walk({}, {}, catalog, paths, True)
    walk.begin(node, text)
    try:
        walk.run()
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError):
        walk.unreadable("a body has a form that the reader does not expect")
    return walk


def absorb(direct: Direct, catalog: Catalog, walk: Walk) -> None:
    """Add what a walk has found, and link to what it names."""
    direct.defines = direct.defines or defines(walk.statement())
    if walk.prepares or walk.deallocates:
        direct.unknowns.append(f"{direct.label or 'it'} prepares statements while it runs")
    direct.effects.update(walk.effects)
    direct.functions.update(walk.functions)
    direct.unknowns += walk.unknowns
    direct.marks += walk.marks
    direct.sets += walk.sets
    for kind, subject, detail in walk.marks:
        if kind in (MarkKind.FOREIGN, MarkKind.PROGRAM, MarkKind.SERVER_FILE, MarkKind.BACKEND):
            direct.outside[f"{subject}: {detail}" if detail else subject] = None
    if "pg_notify" in walk.functions or walk.tag == "NOTIFY":
        direct.outside["sends a notification"] = None
    if any(verb in ROWS_CHANGE for _, _, verb, _ in walk.uses):
        direct.changes_rows = True
        if direct.rows_max is None or walk.rows_max is None:
            direct.rows_max = None
        else:
            direct.rows_max += walk.rows_max
    direct.links += [Link(node) for node in nodes_named(catalog, walk)]


def nodes_named(catalog: Catalog, walk: Walk) -> list[NodeKey]:
    """The nodes that the names in a walk mean."""
    found: list[NodeKey] = []
    paths = walk.paths
    involved: set[int] = set()
    for schema, name, verb, columns in uses_of(walk):
        meant = catalog.relations_meant(schema, name, paths)
        if verb is Verb.DEFINE and not meant:
            meant = catalog.tables_indexed_by(name)
        for relation in meant:
            telling = telling_columns(catalog, relation, verb, columns)
            found.append(NodeKey("relation", relation.oid, verb.value, telling))
            if walk.makes_rows:
                found += [NodeKey("type", column.type_oid) for column in relation.columns]
            if walk.symbols:
                involved.add(relation.type_oid)
                involved.update([column.type_oid for column in relation.columns])
    for schema, name, count in walk.calls:
        for function in catalog.functions_meant(schema, name, count, paths):
            given = ALL_ARGUMENTS if count == len(function.arguments) else ""
            found.append(NodeKey("function", function.oid, given))
            involved.update(function.arguments)
            involved.add(function.returns)
    for schema, name in walk.types:
        if schema == "pg_catalog":
            found += [NodeKey("function", oid) for oid in catalog.built_in_casts]
            continue
        for data_type in catalog.types_meant(schema, name, paths):
            found.append(NodeKey("type", data_type.oid))
            involved.add(data_type.oid)
    for schema, symbol in walk.symbols:
        for operator in catalog.operators_meant(schema, symbol, paths, involved):
            for oid in (operator.function, *operator.estimators):
                found.append(NodeKey("function", oid))
            for oid in catalog.own_types(operator.left, operator.right):
                found.append(NodeKey("type", oid))
    return found


def uses_of(walk: Walk) -> list[tuple[str, str, Verb, tuple[str, ...]]]:
    """The relations a walk uses, those that it defines included."""
    found = list(walk.uses)
    for name, schema, kind, access in walk.objects:
        if access is Access.DEFINE and kind in _DEFINED:
            found.append((schema, name, Verb.DEFINE, ()))
    return found
