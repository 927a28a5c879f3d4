"""Text to statements and effects: ``read``, what the rest of the house asks of this room."""

from __future__ import annotations

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
from holdpoint.sql.walk import DISPATCH, TAGS, Walk

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
_READ: Final = frozenset((Effect.READ,))
_UNKNOWN: Final = frozenset((Effect.UNKNOWN,))
_UTF8: Final = frozenset(("UTF8", "UTF-8", "UNICODE"))


def read(
    text: str, dialect: Dialect = Dialect.POSTGRES, session: SessionView = DEFAULT_VIEW
) -> Reading:
    """Read ``text`` as the server of ``dialect`` would in ``session``. Never raises.

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
    return _reading(text, _statements(text, data, nodes, session), plain)


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
    text: str, data: bytes, nodes: list[dict[str, Any]], session: SessionView
) -> list[Statement]:
    """Read the statements in order: later ones see what earlier ones prepared."""
    prepared = dict(session.prepared) if session.prepared else {}
    portals = dict(session.portals) if session.portals else {}
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
        walk = Walk(prepared, portals)
        walk.begin(node, own)
        try:
            walk.run()
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError):
            # A node that is not shaped as every one seen so far: not understood, never harmless.
            walk.unreadable("the statement has a form that the reader does not expect")
        statement = walk.statement()
        if statement.deallocates == "*":
            prepared.clear()
        elif statement.deallocates:
            prepared.pop(statement.deallocates, None)
        if statement.prepares:
            prepared.update(statement.prepares)
        found.append(statement)
    return found


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
