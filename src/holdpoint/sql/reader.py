"""Text to statements and effects: ``read``, what the rest of the house asks of this room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdpoint.model.effects import (
    Dialect,
    Effect,
    Mark,
    MarkKind,
    ObjectUse,
    Reading,
    SessionView,
    Statement,
)
from holdpoint.model.limits import STATEMENT_COUNT_MAX
from holdpoint.sql import commands, expressions, grammar, queries, session, utility
from holdpoint.sql.consequences import fingerprint, follow_names
from holdpoint.sql.defining import defines
from holdpoint.sql.names import QUALIFIED, Catalog, Paths
from holdpoint.sql.settings import paths_of
from holdpoint.sql.walk import DISPATCH, FOLLOWERS, TAGS, Walk, follow

POSTGRES: Final = Dialect.POSTGRES
DEFAULT_VIEW: Final = SessionView()

for _handlers in (
    expressions.HANDLERS,
    queries.HANDLERS,
    session.HANDLERS,
    utility.HANDLERS,
    commands.HANDLERS,
):
    DISPATCH.update(_handlers)

for _tags in (queries.TAGS, session.TAGS, utility.TAGS, commands.TAGS):
    TAGS.update(_tags)
FOLLOWERS.append(follow_names)
_READ: Final = frozenset((Effect.READ,))
_DEFINES_CODE: Final = (
    Mark(
        MarkKind.NAMES_UNSURE,
        "transaction",
        "the transaction has defined code that the catalog does not show yet",
    ),
)
_BACKSLASH: Final = (
    Mark(
        MarkKind.NAMES_UNSURE,
        "standard_conforming_strings",
        "a backslash in a function's body has another meaning in this session",
    ),
)
_RUNS_CODE: Final = frozenset(("DO", "CALL"))
_UNKNOWN: Final = frozenset((Effect.UNKNOWN,))
_UTF8: Final = frozenset(("UTF8", "UTF-8", "UNICODE"))


def read(
    text: str,
    dialect: Dialect = Dialect.POSTGRES,
    session: SessionView = DEFAULT_VIEW,
    catalog: Catalog | None = None,
) -> Reading:
    """Read ``text`` as the server of ``dialect`` would in ``session``. Never raises.

    With a ``catalog``, what the statements set off is followed; without one, functions that are not
    built in are unknown, and a table's name stands for a table.

    A text the grammar refuses gives a reading with a ``problem`` and the effect ``unknown``; a text
    that cannot be read safely gives one statement that is unknown, with the reason in words. A text
    without statements (empty, comments) reads.
    """
    if dialect is not Dialect.POSTGRES:
        return _unreadable(text, "dialect", f"the dialect `{dialect}` cannot be read", True)
    plain = session.standard_conforming_strings and session.encoding.upper() in _UTF8
    if not plain:
        reason = _session_obstacle(text, session)
        if reason:
            return _unreadable(text, "encoding", reason, False)
    try:
        data = grammar.encode(text)
        nodes = grammar.parse(text, data)
    except grammar.Refused as refused:
        return Reading(
            text=text,
            problem=refused.problem,
            text_only=plain,
            effects=_UNKNOWN,
            unknowns=(refused.problem.message,),
        )
    except grammar.Unreadable as error:
        return _unreadable(text, "limit", str(error), plain)
    if len(nodes) > STATEMENT_COUNT_MAX:
        reason = (
            f"the text has {len(nodes):,} statements, over the limit of {STATEMENT_COUNT_MAX:,}"
        )
        return _unreadable(text, "limit", reason, plain)
    statements = _statements(text, data, nodes, session, catalog)
    reading = _reading(text, statements, plain)
    if catalog is not None and reading.effects != _READ:
        return replace(reading, schema=fingerprint(catalog, statements))
    return reading


def _session_obstacle(text: str, session: SessionView) -> str:
    if session.encoding.upper() not in _UTF8 and not text.isascii():
        return f"the session's encoding is `{session.encoding}`, which Holdpoint does not read"
    if not session.standard_conforming_strings and "\\" in text:
        return "a backslash has another meaning while standard_conforming_strings is off"
    return ""


def _unreadable(text: str, subject: str, reason: str, text_only: bool) -> Reading:
    statement = Statement(
        tag="UNKNOWN",
        text=text,
        effects=_UNKNOWN,
        marks=(Mark(MarkKind.UNREADABLE, subject, reason),),
        unknowns=(reason,),
    )
    return Reading(
        text=text,
        statements=(statement,),
        text_only=text_only,
        effects=_UNKNOWN,
        unknowns=(reason,),
    )


def _statements(
    text: str,
    data: bytes,
    nodes: list[dict[str, Any]],
    session: SessionView,
    catalog: Catalog | None,
) -> list[Statement]:
    """Read the statements in order: later ones see what earlier ones prepared, set and defined."""
    prepared = dict(session.prepared) if session.prepared else {}
    portals = dict(session.portals) if session.portals else {}
    paths = QUALIFIED if catalog is None else _paths(session, catalog)
    defines_code = session.defines_code
    found: list[Statement] = []
    for item in nodes:
        node: dict[str, Any] = item["stmt"]
        start: int = item.get("stmt_location", 0)
        size: int = item.get("stmt_len", 0)
        if start or size:
            part = data[start : start + size] if size else data[start:]
            own = part.decode().strip()
        else:
            own = text
        walk = _walked(Walk(prepared, portals, catalog, paths), node, own)
        if session.unsure:
            _doubt(walk, session.unsure)
        if walk.reads_backslash and not session.standard_conforming_strings:
            _doubt(walk, _BACKSLASH)
        if catalog is not None and (walk.sets or defines_code):
            if walk.tag in _RUNS_CODE and any(name == "search_path" for name, _ in walk.sets):
                # It sets the path while it runs: its later names may mean anything.
                anywhere = Paths(paths.paths, True)
                walk = _walked(Walk(prepared, portals, catalog, anywhere), node, own)
            paths = _paths_after(walk, paths, catalog)
            if defines_code:
                _doubt(walk, _DEFINES_CODE)
        statement = walk.statement()
        defines_code = defines_code or defines(statement)
        if statement.deallocates == "*":
            prepared.clear()
        elif statement.deallocates:
            prepared.pop(statement.deallocates, None)
        if statement.prepares:
            prepared.update(statement.prepares)
        found.append(statement)
    return found


def _walked(walk: Walk, node: dict[str, Any], own: str) -> Walk:
    """Walk one statement and follow what it names."""
    walk.begin(node, own)
    try:
        walk.run()
        follow(walk)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError):
        # A node that is not shaped as every one seen so far: not understood, never harmless.
        walk.unreadable("the statement has a form that the reader does not expect")
    return walk


def _paths(session: SessionView, catalog: Catalog) -> Paths:
    """The search paths that the session may have."""
    if session.any_path:
        return Paths((*session.search_paths, catalog.rows.search_path), True)
    return Paths(session.search_paths) if session.search_paths else catalog.paths


def _paths_after(walk: Walk, paths: Paths, catalog: Catalog) -> Paths:
    """The search paths once the statement has run, or has not."""
    for name, values in walk.sets:
        if name == "*" or (name == "search_path" and values == ()):
            paths = Paths((*paths.paths, catalog.rows.search_path), paths.anywhere)
        elif name == "search_path":
            known = paths_of(list(values), catalog.rows.role) if values is not None else ()
            if values is not None and "$user" in str(values):
                # A role minted for the session is another one than the picture knows.
                known = (*known, *paths_of(list(values), ""))
            paths = Paths((*paths.paths, *known), paths.anywhere or values is None)
    return paths


def _doubt(walk: Walk, marks: tuple[Mark, ...]) -> None:
    """Say what the session's state leaves unsure; a statement without any name is sure."""
    if walk.followed or walk.functions or walk.symbols or walk.types:
        for mark in marks:
            walk.unknown(mark.detail)
            walk.mark(mark.kind, mark.subject, mark.detail)


def _reading(text: str, statements: list[Statement], text_only: bool) -> Reading:
    if len(statements) == 1:
        only = statements[0]
        return Reading(
            text=text,
            statements=(only,),
            text_only=text_only and not only.depends_on_session,
            effects=only.effects,
            objects=only.objects,
            functions=only.functions,
            unknowns=only.unknowns,
        )
    if not statements:
        return Reading(text=text, text_only=text_only, effects=_READ)
    effects: set[Effect] = set()
    objects: dict[ObjectUse, None] = {}
    functions: dict[str, None] = {}
    unknowns: dict[str, None] = {}
    for statement in statements:
        effects.update(statement.effects)
        objects.update(dict.fromkeys(statement.objects))
        functions.update(dict.fromkeys(statement.functions))
        unknowns.update(dict.fromkeys(statement.unknowns))
        text_only = text_only and not statement.depends_on_session
    return Reading(
        text=text,
        statements=tuple(statements),
        text_only=text_only,
        effects=frozenset(effects),
        objects=tuple(objects),
        functions=tuple(functions),
        unknowns=tuple(unknowns),
    )
