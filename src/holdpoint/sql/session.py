"""Statements about the session: transactions, settings, cursors, prepared statements, EXPLAIN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdpoint.model.effects import Effect, MarkKind, Statement, TransactionMark, Verb
from holdpoint.sql import grammar
from holdpoint.sql.bodies import block_code
from holdpoint.sql.defining import defines
from holdpoint.sql.expressions import apply_setting, note_call
from holdpoint.sql.settings import READ_ONLY_SETTINGS
from holdpoint.sql.walk import Handler, Node, Walk, constant, option_is_on, qualified, strings

_TRANSACTIONS: Final[dict[str, tuple[str, TransactionMark]]] = {
    "TRANS_STMT_BEGIN": ("BEGIN", TransactionMark.BEGIN),
    "TRANS_STMT_START": ("START TRANSACTION", TransactionMark.BEGIN),
    "TRANS_STMT_COMMIT": ("COMMIT", TransactionMark.COMMIT),
    "TRANS_STMT_ROLLBACK": ("ROLLBACK", TransactionMark.ROLLBACK),
    "TRANS_STMT_SAVEPOINT": ("SAVEPOINT", TransactionMark.SAVEPOINT),
    "TRANS_STMT_RELEASE": ("RELEASE", TransactionMark.NONE),
    "TRANS_STMT_ROLLBACK_TO": ("ROLLBACK", TransactionMark.ROLLBACK_TO),
    "TRANS_STMT_PREPARE": ("PREPARE TRANSACTION", TransactionMark.PREPARE_TRANSACTION),
    "TRANS_STMT_COMMIT_PREPARED": ("COMMIT PREPARED", TransactionMark.NONE),
    "TRANS_STMT_ROLLBACK_PREPARED": ("ROLLBACK PREPARED", TransactionMark.NONE),
}
_TWO_PHASE: Final = frozenset(
    ("TRANS_STMT_PREPARE", "TRANS_STMT_COMMIT_PREPARED", "TRANS_STMT_ROLLBACK_PREPARED")
)


def transaction(walk: Walk, node: Node, key: str) -> None:
    """Transaction control; its modes are settings."""
    kind: str = node["kind"]
    entry = _TRANSACTIONS.get(kind)
    if entry is None:
        walk.unreadable(f"the transaction command `{kind}` is not known")
        return
    walk.tag, walk.transaction = entry
    if kind in _TWO_PHASE:
        walk.effects.add(Effect.SERVER_SIDE)
        walk.mark(MarkKind.TWO_PHASE, str(node.get("gid", "")), walk.tag)
    _modes(walk, node.get("options", []))


def _modes(walk: Walk, options: list[Node]) -> None:
    for option in options:
        mode: Node = option["DefElem"]
        value = constant(mode.get("arg"))
        apply_setting(walk, mode["defname"], None if value is None else [value])


def set_variable(walk: Walk, node: Node, key: str) -> None:
    """SET and RESET in all their forms."""
    kind: str = node["kind"]
    name: str = node.get("name", "")
    walk.tag = walk.tag or ("RESET" if kind.startswith("VAR_RESET") else "SET")
    if kind == "VAR_SET_VALUE":
        args = [constant(arg) for arg in node.get("args", [])]
        known = [arg for arg in args if arg is not None]
        apply_setting(walk, name, known if len(known) == len(args) else None)
    elif kind in ("VAR_SET_DEFAULT", "VAR_RESET"):
        walk.sets[(name.lower(), ())] = None
        # Back to what the session began with, which the gate chose; but the current
        # transaction's own state has no such value: its default is read-write.
        if name.lower() in READ_ONLY_SETTINGS and not name.lower().startswith("default_"):
            apply_setting(walk, name, None)
    elif kind == "VAR_SET_MULTI":
        if name != "TRANSACTION SNAPSHOT":  # sees what another transaction sees
            _modes(walk, node.get("args", []))
    elif kind == "VAR_SET_CURRENT":
        apply_setting(walk, name, None)
    elif kind == "VAR_RESET_ALL":
        walk.sets[("*", ())] = None
    else:
        walk.unreadable(f"the form `{kind}` of SET is not known")


def show(walk: Walk, node: Node, key: str) -> None:
    """SHOW reads a setting."""


def quiet(walk: Walk, node: Node, key: str) -> None:
    """LISTEN, UNLISTEN, CLOSE, SET CONSTRAINTS: they touch nothing but their own session."""


def notify(walk: Walk, node: Node, key: str) -> None:
    """NOTIFY reaches other sessions, which may act on it: a write, unlike LISTEN."""
    walk.effects.add(Effect.WRITE)


def discard(walk: Walk, node: Node, key: str) -> None:
    """DISCARD: a pool's reset. ALL also forgets prepared statements."""
    target: str = node["target"]
    walk.tag = "DISCARD " + target.removeprefix("DISCARD_")
    if target == "DISCARD_ALL":
        walk.deallocates = "*"
        walk.sets[("*", ())] = None


def deallocate(walk: Walk, node: Node, key: str) -> None:
    """DEALLOCATE forgets one prepared statement, or all."""
    everything = node.get("isall", False) or "name" not in node
    walk.tag = "DEALLOCATE ALL" if everything else "DEALLOCATE"
    walk.deallocates = "*" if everything else node["name"]


def prepare(walk: Walk, node: Node, key: str) -> None:
    """PREPARE runs nothing: what it prepares is remembered for EXECUTE."""
    walk.effects.add(Effect.READ)
    walk.prepares = ((node["name"], walk.inside(node["query"])),)


def execute(walk: Walk, node: Node, key: str) -> None:
    """EXECUTE does what was prepared under the name, and evaluates its arguments."""
    name: str = node["name"]
    walk.depends_on_session = True
    known = walk.prepared.get(name)
    if known is None:
        walk.unknown(f"executes `{name}`, which this session has not prepared")
        walk.mark(MarkKind.UNREADABLE, name, "not prepared")
    else:
        walk.take(known)
        walk.rows_max = known.rows_max
    walk.rest(node)


def fetch(walk: Walk, node: Node, key: str) -> None:
    """FETCH and MOVE run a cursor; DECLARE was judged, a portal of the protocol maybe not.

    Without such a portal the text alone decides: a door that remembers the reading must not use it
    while it has a portal that has not run to its end.
    """
    name: str = node.get("portalname", "")
    walk.tag = "MOVE" if node.get("ismove", False) else "FETCH"
    bound = walk.portals.get(name)
    if bound is not None:
        walk.take(bound)
        walk.depends_on_session = True


def declare(walk: Walk, node: Node, key: str) -> None:
    """DECLARE: a cursor does what its query does."""
    walk.stack.append(node["query"])


def explain(walk: Walk, node: Node, key: str) -> None:
    """EXPLAIN plans, EXPLAIN ANALYZE runs.

    Planning evaluates immutable and stable functions, so what is unknown stays unknown.
    """
    inside = walk.inside(node["query"])
    walk.effects.add(Effect.READ)
    if any(
        option["DefElem"]["defname"] == "analyze" and option_is_on(option["DefElem"])
        for option in node.get("options", [])
    ):
        walk.take(inside)
        walk.rows_max = inside.rows_max
        return
    if inside.called:  # planning may run what is declared IMMUTABLE or STABLE
        walk.take(inside)
    for use in inside.objects:
        walk.note(use.name, use.schema, use.kind)
    for named in inside.uses:  # estimates tell of what is in a table: it takes SELECT as well
        if not named.through and named.verb is not Verb.INSERT:
            walk.followed[replace(named, verb=Verb.SELECT, columns=())] = None
    for function in inside.functions:
        walk.functions[function] = None
    for words in inside.unknowns:
        walk.unknown(words)
    for mark in inside.marks:
        if mark.kind in (MarkKind.UNKNOWN_FUNCTION, MarkKind.UNREADABLE):
            walk.mark(mark.kind, mark.subject, mark.detail)
    walk.depends_on_session = walk.depends_on_session or inside.depends_on_session


def do_block(walk: Walk, node: Node, key: str) -> None:
    """DO does what the statements in its code do; what cannot be read of it is unknown."""
    language = "plpgsql"
    body = ""
    for item in node.get("args", []):
        option: Node = item["DefElem"]
        value = constant(option.get("arg")) or ""
        if option["defname"] == "language":
            language = value
        else:
            body = value
    code = block_code(language, body)
    for words in code.unknowns:
        _doubt(walk, words)
    done: list[Statement] = []
    for text in code.statements:
        _run_in_block(walk, text, done)
    defined = [each for each in done if defines(each)]
    if walk.catalog is not None and defined:
        others = [each for each in done if each not in defined]
        if any(each.uses or each.reached for each in others):
            _doubt(walk, "may run code that it defines")
    if any(name == "*" for each in done for name, _ in each.sets):
        # The gate sets its own again behind a RESET ALL, but cannot inside a block.
        walk.effects.add(Effect.SESSION_ESCAPE)
        walk.mark(MarkKind.CODE, "DO", "resets the session on its way")
    if code.moves_cursors:
        for bound in walk.portals.values():
            walk.take(bound)
            walk.depends_on_session = True
    if code.ends_transactions:
        walk.effects.add(Effect.SESSION_ESCAPE)
        walk.mark(MarkKind.CODE, "DO", "commits or rolls back on its way")


def _doubt(walk: Walk, words: str) -> None:
    walk.unknown(f"runs a DO block that {words}")
    walk.mark(MarkKind.CODE, "DO", words)


def _run_in_block(walk: Walk, text: str, done: list[Statement]) -> None:
    """Statements of a DO block. What they prepare may run in it, and be run after it."""
    try:
        nodes = grammar.parse(text, grammar.encode(text))
    except (grammar.Refused, grammar.Unreadable) as error:
        _doubt(walk, f"has SQL that cannot be read: {error}")
        return
    own = walk.text
    walk.text = text
    for item in nodes:
        node: Node = item["stmt"]
        if "DoStmt" in node:  # its code could hold another, and so on: not followed
            _doubt(walk, "runs another DO block")
            continue
        inner = walk.inside(node)
        done.append(inner)
        walk.take(inner)
        if inner.deallocates or inner.prepares:
            walk.deallocates = "*"
        for _, prepared in inner.prepares:
            walk.take(prepared)
    walk.text = own


def call_procedure(walk: Walk, node: Node, key: str) -> None:
    """CALL runs a procedure, whose body only a catalog knows."""
    function: Node = node["funccall"]
    parts: list[Any] = function["funcname"]
    name = ".".join([part["String"].get("sval", "") for part in parts])
    walk.rest(function, "funcname")
    schema, bare = qualified(strings(parts))
    if note_call(walk, schema, bare, -1):  # OUT arguments count or not, by version
        return
    walk.functions[name] = None
    walk.unknown(f"calls the procedure `{name}`, which Holdpoint does not know")
    walk.mark(MarkKind.CODE, name, "CALL")


HANDLERS: Final[dict[str, Handler]] = {
    "TransactionStmt": transaction,
    "VariableSetStmt": set_variable,
    "VariableShowStmt": show,
    "ListenStmt": quiet,
    "UnlistenStmt": quiet,
    "ClosePortalStmt": quiet,
    "ConstraintsSetStmt": quiet,
    "NotifyStmt": notify,
    "DiscardStmt": discard,
    "DeallocateStmt": deallocate,
    "PrepareStmt": prepare,
    "ExecuteStmt": execute,
    "FetchStmt": fetch,
    "DeclareCursorStmt": declare,
    "ExplainStmt": explain,
    "DoStmt": do_block,
    "CallStmt": call_procedure,
}
"""Node types of session statements to their handlers."""

TAGS: Final[dict[str, str]] = {
    "VariableShowStmt": "SHOW",
    "ListenStmt": "LISTEN",
    "UnlistenStmt": "UNLISTEN",
    "ClosePortalStmt": "CLOSE CURSOR",
    "ConstraintsSetStmt": "SET CONSTRAINTS",
    "NotifyStmt": "NOTIFY",
    "PrepareStmt": "PREPARE",
    "ExecuteStmt": "EXECUTE",
    "DeclareCursorStmt": "DECLARE CURSOR",
    "ExplainStmt": "EXPLAIN",
    "DoStmt": "DO",
    "CallStmt": "CALL",
}
"""Command tags that the node type alone decides."""
