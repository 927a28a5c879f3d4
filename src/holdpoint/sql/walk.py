"""The walk over a syntax tree: an explicit stack, a table of handlers, and what they collect.

A tree is plain dictionaries. A key in capitals names a node type and must have a handler in
``DISPATCH``: a type that has none makes the statement unknown. A key in lower case is a field of
the node around it; its children are walked unless a handler takes it. So nothing inside a statement
goes unseen because its place was not foreseen.

Nothing here recurses: a deep tree costs memory of the stack list, never of the C stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdpoint.model.catalog import Relation
from holdpoint.model.changes import Change
from holdpoint.model.effects import (
    Access,
    Effect,
    Mark,
    MarkKind,
    ObjectKind,
    ObjectUse,
    RelationUse,
    Statement,
    TransactionMark,
    Verb,
)
from holdpoint.sql.names import QUALIFIED, Catalog, Paths

Node = dict[str, Any]


class Scope:
    """On the stack: from here on, these CTE names hide tables."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names: Final = names


NO_NAMES: Final[frozenset[str]] = frozenset()


class Walk:
    """What one statement was found to do. ``prepared`` and ``portals`` are the session's."""

    def __init__(
        self,
        prepared: dict[str, Statement],
        portals: dict[str, Statement],
        catalog: Catalog | None = None,
        paths: Paths = QUALIFIED,
        shallow: bool = False,
    ) -> None:
        self.prepared = prepared
        self.portals = portals
        self.catalog = catalog
        self.paths = paths
        # A shallow walk only collects what it names: following that is the business of whoever
        # asked, so that bodies which name each other end.
        self.shallow = shallow
        self.stack: list[Any] = []
        self.top: Node = {}
        self.scope: frozenset[str] = NO_NAMES
        self.tag = ""
        self.text = ""
        self.effects: set[Effect] = set()
        self.objects: dict[tuple[str, str, ObjectKind, Access], None] = {}
        self.functions: dict[str, None] = {}
        self.marks: dict[tuple[MarkKind, str, str], None] = {}
        self.unknowns: dict[str, None] = {}
        self.changes: list[Change] = []
        # What is named, for following: relations with the verb, functions with their number of
        # arguments (-1 unknown), operators and types. All but the first only with a catalog.
        self.uses: dict[tuple[str, str, Verb, tuple[str, ...]], None] = {}
        self.calls: dict[tuple[str, str, int], None] = {}
        self.symbols: dict[tuple[str, str], None] = {}
        self.types: dict[tuple[str, str], None] = {}
        self.followed: dict[RelationUse, None] = {}
        self.called: set[Effect] = set()
        self.rows_inside = False
        self.reads_data = False
        self.series = 1  # rows that generate_series makes out of nothing
        self.makes_rows = False  # values of the row types of relations it names
        self.reads_backslash = False  # in a function's body
        self.reached: dict[int, None] = {}
        self.sets: dict[tuple[str, tuple[str, ...] | None], None] = {}
        self.rows_max: int | None = None
        self.uncounted = False  # a part of it may change any number of rows
        self.transaction: TransactionMark = TransactionMark.NONE
        self.prepares: tuple[tuple[str, Statement], ...] = ()
        self.deallocates = ""
        self.depends_on_session = False

    def run(self) -> None:
        """Walk until the stack is empty."""
        stack = self.stack
        while stack:
            item = stack.pop()
            if type(item) is not dict:
                if isinstance(item, Scope):
                    self.scope = item.names
                elif isinstance(item, list):
                    stack.extend(item)
                elif item is not None:
                    self.unreadable("a list holds something that is not a node")
                continue
            node: Node = item
            for key, value in node.items():
                if type(value) is dict:
                    handler = DISPATCH.get(key)
                    if handler is not None:
                        handler(self, value, key)
                    elif key[0].islower():
                        stack.append(value)
                    else:
                        self.unreadable(f"the grammar's node `{key}` is not known")
                elif type(value) is list:
                    stack.extend(value)

    def inside(self, node: Node) -> Statement:
        """Read a statement inside this one, by itself."""
        inner = Walk(self.prepared, self.portals, self.catalog, self.paths, self.shallow)
        inner.begin(node, self.text)
        inner.run()
        if self.shallow:
            self.uses.update(inner.uses)
            self.calls.update(inner.calls)
            self.symbols.update(inner.symbols)
            self.types.update(inner.types)
            self.sets.update(inner.sets)
            self.makes_rows = self.makes_rows or inner.makes_rows
        else:
            follow(inner)
        return inner.statement()

    def relation_of(self, node: Node) -> Relation | None:
        """The one relation that a RangeVar means; None without a catalog or when it is not sure."""
        if self.catalog is None:
            return None
        meant = self.catalog.relations_meant(
            node.get("schemaname", ""), node.get("relname", ""), self.paths
        )
        return meant[0] if len(meant) == 1 else None

    def use(self, relation: Node, verb: Verb, columns: tuple[str, ...] = ()) -> None:
        """A relation is used as ``verb`` says; ``columns`` are those an UPDATE sets."""
        name: str = relation.get("relname", "")
        self.uses[(relation.get("schemaname", ""), name, verb, columns)] = None

    def begin(self, node: Node, text: str) -> None:
        """Start at ``node``, a whole statement, whose own text is ``text``."""
        self.text = text
        self.top = node
        for key in node:
            self.tag = TAGS.get(key, "")
        self.stack.append(node)

    def rest(self, node: Node, *done: str) -> None:
        """Walk every field of ``node`` but those in ``done``."""
        left: Node = {key: value for key, value in node.items() if key not in done}
        if left:
            self.stack.append(left)

    def mark(self, kind: MarkKind, subject: str = "", detail: str = "") -> None:
        """Notice something, once."""
        self.marks[(kind, subject, detail)] = None

    def unknown(self, words: str) -> None:
        """Say in ``words`` what was not understood."""
        self.effects.add(Effect.UNKNOWN)
        self.unknowns[words] = None

    def unreadable(self, words: str) -> None:
        """Like ``unknown``, for what the reader itself lacks."""
        self.unknown(words)
        self.mark(MarkKind.UNREADABLE, "", words)

    def note(
        self,
        name: str,
        schema: str = "",
        kind: ObjectKind = ObjectKind.RELATION,
        access: Access = Access.READ,
    ) -> None:
        """An object is used."""
        self.objects[(name, schema, kind, access)] = None

    def take(self, other: Statement) -> None:
        """What ``other`` does, this statement does too."""
        self.effects.update(other.effects)
        for use in other.objects:
            self.note(use.name, use.schema, use.kind, use.access)
        for function in other.functions:
            self.functions[function] = None
        for mark in other.marks:
            self.mark(mark.kind, mark.subject, mark.detail)
        self.changes.extend(other.changes)
        for words in other.unknowns:
            self.unknowns[words] = None
        self.followed.update(dict.fromkeys(other.uses))
        self.called.update(other.called)
        self.rows_inside = self.rows_inside or other.rows_inside
        self.sets.update(dict.fromkeys(other.sets))
        self.reached.update(dict.fromkeys(other.reached))
        self.depends_on_session = self.depends_on_session or other.depends_on_session

    def statement(self) -> Statement:
        """Everything collected, frozen. A statement without any effect reads."""
        return Statement(
            tag=self.tag,
            text=self.text,
            effects=frozenset(self.effects) if self.effects else ONLY_READ,
            objects=tuple(
                [ObjectUse(name, schema, kind, how) for name, schema, kind, how in self.objects]
            ),
            functions=tuple(self.functions),
            marks=tuple([Mark(kind, subject, detail) for kind, subject, detail in self.marks]),
            unknowns=tuple(self.unknowns),
            changes=tuple(self.changes),
            uses=tuple(self.followed),
            rows_max=self.rows_max,
            called=frozenset(self.called) if self.called else NO_EFFECTS,
            rows_inside=self.rows_inside,
            reads_data=self.reads_data,
            reached=tuple(self.reached),
            sets=tuple(self.sets),
            transaction=self.transaction,
            prepares=self.prepares,
            deallocates=self.deallocates,
            depends_on_session=self.depends_on_session,
        )


COPIED: Final = ("\0COPY FROM",)
"""Before an INSERT's columns: it comes from COPY, which sets off triggers and no rules.

No column can have that name: a server's names hold no NUL.
"""

ONLY_READ: Final[frozenset[Effect]] = frozenset((Effect.READ,))
NO_EFFECTS: Final[frozenset[Effect]] = frozenset()

FOLLOWERS: Final[list[Callable[[Walk], None]]] = []
"""What follows the names that a walk collected; ``reader.py`` fills it."""


def follow(walk: Walk) -> None:
    """Add what the named relations, functions, operators and types set off."""
    for follower in FOLLOWERS:
        follower(walk)


Handler = Callable[[Walk, Node, str], None]
DISPATCH: Final[dict[str, Handler]] = {}
"""Node types and special fields to their handlers; ``reader.py`` fills it."""

TAGS: Final[dict[str, str]] = {}
"""Node types of statements to the command tags they alone decide; ``reader.py`` fills it."""


def skip(walk: Walk, node: Node, key: str) -> None:
    """A node that holds nothing that could act: names, constants, types."""


def descend(walk: Walk, node: Node, key: str) -> None:
    """A node that does nothing by itself; what is inside it is walked."""
    walk.stack.append(node)


def strings(nodes: list[Any]) -> list[str]:
    """The names in a list of String nodes; other nodes (a star) give ``*``."""
    return [(node["String"].get("sval", "") if "String" in node else "*") for node in nodes]


def qualified(names: list[str]) -> tuple[str, str]:
    """``(schema, name)`` of a list of name parts; a leading database name is dropped."""
    if not names:
        return "", ""
    return (names[-2] if len(names) > 1 else ""), names[-1]


def label(relation: Node) -> str:
    """A RangeVar as people write it."""
    schema: str = relation.get("schemaname", "")
    name: str = relation.get("relname", "")
    return f"{schema}.{name}" if schema else name


def constant(node: Any) -> str | None:
    """The text of a constant, through casts; None when the node is no constant or NULL."""
    for _ in range(8):  # casts on casts beyond this are not worth understanding
        if not isinstance(node, dict):
            return None
        cast = node.get("TypeCast")
        if cast is None:
            break
        node = cast.get("arg")
    value = node.get("A_Const") if isinstance(node, dict) else None
    if value is None:
        return _bare(node)
    if "sval" in value:
        return str(value["sval"].get("sval", ""))
    if "ival" in value:
        return str(value["ival"].get("ival", 0))
    if "fval" in value:
        return str(value["fval"].get("fval", ""))
    if "boolval" in value:
        return "true" if value["boolval"].get("boolval", False) else "false"
    return None


_TEXT_TYPES: Final = frozenset(("text", "varchar"))


def plain_text(node: Any) -> str | None:
    """The text of a constant that no cast can have changed; None when that is not sure.

    ``1::numeric(2, -1)::text`` is 0, ``'app, pg_catalogs'::varchar(15)`` is shorter: only casts to
    text types without a length are looked through.
    """
    for _ in range(8):
        cast = node.get("TypeCast") if isinstance(node, dict) else None
        if cast is None:
            break
        kind: Node = cast.get("typeName", {})
        names = strings(kind.get("names", []))
        if (
            names[-1:] == []
            or names[-1] not in _TEXT_TYPES
            or names[:-1]
            not in (
                [],
                ["pg_catalog"],
            )
        ):
            return None
        if "typmods" in kind or "arrayBounds" in kind or kind.get("setof", False):
            return None
        node = cast.get("arg")
    return constant(node) if isinstance(node, dict) and "TypeCast" not in node else None


def _bare(node: Any) -> str | None:
    if not isinstance(node, dict):
        return None
    if "String" in node:
        return str(node["String"].get("sval", ""))
    if "Integer" in node:
        return str(node["Integer"].get("ival", 0))
    if "Float" in node:
        return str(node["Float"].get("fval", ""))
    if "Boolean" in node:
        return "true" if node["Boolean"].get("boolval", False) else "false"
    return None


def option_is_on(option: Node) -> bool:
    """Whether a DefElem is switched on, as the server reads it; doubt means yes."""
    if "arg" not in option:
        return True
    value = constant(option["arg"])
    return value is None or value.lower() not in ("false", "off", "0", "no", "f", "n")
