"""Whether what a statement does can be taken back once it is committed, and how.

Rules of the house, each from what the command's page in the manual says is kept: a definition can
be written again, data that is gone can only come from a copy, and what has left the database cannot
come back. Several statements are as hard to undo as the hardest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdpoint.impact.resolving import row_uses
from holdpoint.model.changes import Change
from holdpoint.model.effects import Effect, MarkKind, Statement, TransactionMark, Verb
from holdpoint.model.impact import Cascade, Firing, Undo

Answer = tuple[Undo, str]

_ORDER: Final = (
    Undo.NOTHING,
    Undo.REVERSE,
    Undo.WITH_OLD_ROWS,
    Undo.BACKUP,
    Undo.UNKNOWN,
    Undo.NEVER,
)
_NOTHING: Final[Answer] = (Undo.NOTHING, "")
_UNTIL_COMMIT: Final = "inside a transaction, ROLLBACK still takes it back until COMMIT"
# Commands that refuse to run inside a transaction block, so that ROLLBACK is no way back.
_ALONE: Final = ("DATABASE", "TABLESPACE", "SUBSCRIPTION", "ALTER SYSTEM")

_MARKS: Final[dict[MarkKind, Answer]] = {
    MarkKind.PROGRAM: (Undo.NEVER, "what a program of the server did stays done"),
    MarkKind.SERVER_FILE: (Undo.NEVER, "what became of files of the server is not kept"),
    MarkKind.BACKEND: (Undo.NEVER, "a session or query that was ended does not come back"),
    MarkKind.LARGE_OBJECT: (Undo.BACKUP, "large objects come back from a backup only"),
    MarkKind.SYSTEM_SETTING: (Undo.REVERSE, "set the old value again, or RESET"),
    MarkKind.PRIVILEGE: (Undo.REVERSE, "the opposite command gives back the rights as they were"),
    MarkKind.TWO_PHASE: (Undo.UNKNOWN, "it ends a transaction whose statements are not in here"),
    MarkKind.CODE: (Undo.UNKNOWN, "it runs code whose whole effect is not known"),
    MarkKind.UNKNOWN_FUNCTION: (Undo.UNKNOWN, "it calls a function that Holdpoint cannot read"),
    MarkKind.LANGUAGE: (Undo.UNKNOWN, "it runs or installs code that Holdpoint cannot read"),
    MarkKind.FOREIGN: (Undo.UNKNOWN, "other servers are involved"),
    MarkKind.EXTENSION: (Undo.REVERSE, "DROP EXTENSION, or the former version again"),
    MarkKind.FUNCTION: (Undo.UNKNOWN, "it acts on the whole server"),
}
_FUNCTIONS: Final[dict[str, Answer]] = {
    "nextval": (Undo.NEVER, "a number taken from a sequence is used up, even by ROLLBACK"),
    "setval": (Undo.NEVER, "no ROLLBACK gives a sequence its former value; set it again by hand"),
    "pg_notify": (Undo.NEVER, "a notification that was sent cannot be called back"),
}
_LOCKING: Final = frozenset(("SELECT", "DECLARE CURSOR", "EXPLAIN"))  # with FOR UPDATE
_KEEPING: Final = frozenset(("VACUUM", "ANALYZE", "REINDEX", "CLUSTER"))
# DROP of these loses data; of the rest only a definition, which can be written again.
_HOLDS_DATA: Final = frozenset(
    ("TABLE", "SCHEMA", "DATABASE", "MATERIALIZED VIEW", "SEQUENCE", "EXTENSION", "OWNED")
)
_ACTIONS: Final[dict[str, Answer]] = {
    "TRUNCATE": (Undo.BACKUP, "the rows are in backups only"),
    "AT_DropColumn": (Undo.BACKUP, "the column's values are in backups only"),
    "AT_DropExpression": (Undo.REVERSE, "the column can be made again; its values stay"),
    "AT_AddColumn": (Undo.REVERSE, "DROP COLUMN, as long as nobody has stored anything in it"),
    "AT_AlterColumnType": (
        Undo.WITH_OLD_ROWS,
        "change the type back; what the new type could not hold is lost",
    ),
    "AT_SetExpression": (Undo.REVERSE, "set the old expression again"),
    "CREATE INDEX": (Undo.REVERSE, "DROP INDEX"),
    "REFRESH MATERIALIZED VIEW": (
        Undo.WITH_OLD_ROWS,
        "the former contents are gone; refreshing gives those of now",
    ),
    **dict.fromkeys(("VACUUM", "ANALYZE", "REINDEX", "CLUSTER", "LOCK TABLE"), _NOTHING),
    "VACUUM FULL": _NOTHING,
    "GRANT": (Undo.REVERSE, "REVOKE takes the right back, not what was done with it meanwhile"),
    "REVOKE": (Undo.REVERSE, "GRANT gives the right again"),
    "RENAME": (Undo.REVERSE, "rename it back; clients that used the name failed meanwhile"),
    "MOVE ALL": (Undo.REVERSE, "move them back"),
    "COMMENT": (Undo.REVERSE, "write the old comment again"),
    "CREATE TABLE": (Undo.REVERSE, "DROP it, as long as nobody has stored anything in it"),
}


def worse(one: Answer, other: Answer) -> Answer:
    """The one that is harder to take back; the first of equals, with both ways told."""
    if one[0] is other[0]:
        ways = dict.fromkeys(way for way in (one[1], other[1]) if way)
        return one[0], "; ".join(ways)
    return one if _ORDER.index(one[0]) > _ORDER.index(other[0]) else other


def undo_of(
    statements: Sequence[Statement], cascades: Sequence[Cascade], firings: Sequence[Firing]
) -> Answer:
    """The way back for all of ``statements`` and what they set off."""
    answer = _NOTHING
    for statement in statements:
        answer = worse(answer, _of_statement(statement))
    if any(each.action != "truncate" for each in cascades):
        tables = ", ".join(dict.fromkeys(f"`{each.table}`" for each in cascades))
        answer = worse(answer, (Undo.WITH_OLD_ROWS, f"rows of {tables} change as well"))
    for firing in firings:
        if firing.outside:
            answer = worse(answer, (Undo.NEVER, f"`{firing.name}` reaches beyond the tables"))
    if answer[0] in (Undo.NOTHING, Undo.NEVER) or any(map(_runs_alone, statements)):
        return answer
    way = f"{answer[1]}; {_UNTIL_COMMIT}" if answer[1] else _UNTIL_COMMIT
    return answer[0], way


def _runs_alone(statement: Statement) -> bool:
    if any(change.concurrently for change in statement.changes):
        return True
    return statement.tag.endswith(_ALONE)


def _of_statement(statement: Statement) -> Answer:
    answer = _NOTHING
    if Effect.UNKNOWN in statement.effects:
        answer = (Undo.UNKNOWN, "the statement is not understood as a whole")
    for change in statement.changes:
        answer = worse(answer, _of_change(change))
    for use in row_uses(statement, None):
        answer = worse(answer, _of_rows(use.verb, statement))
    for mark in statement.marks:
        if mark.kind is MarkKind.PRIVILEGE and statement.changes:
            continue  # the changes say it better
        if mark.kind in _MARKS:
            answer = worse(answer, _MARKS[mark.kind])
    for function in statement.functions:
        answer = worse(answer, _FUNCTIONS.get(function.rpartition(".")[2], _NOTHING))
    if statement.tag == "NOTIFY":
        answer = worse(answer, _FUNCTIONS["pg_notify"])
    if statement.transaction is not TransactionMark.NONE or statement.tag in _KEEPING:
        return answer
    answer = worse(answer, _by_effects(statement))
    if answer[0] is not Undo.NOTHING:
        return answer
    if Effect.SERVER_SIDE in statement.effects:
        return Undo.UNKNOWN, "it acts outside the tables"
    if _writes_unseen(statement):
        return Undo.UNKNOWN, "it is not known what it writes"
    return _NOTHING


def _of_rows(verb: Verb, statement: Statement) -> Answer:
    if verb is Verb.INSERT and (statement.uses or _only_inserts(statement)):
        return Undo.REVERSE, "DELETE what it added, as long as the new rows can be told apart"
    return Undo.WITH_OLD_ROWS, "the former values are gone unless somebody copied the rows before"


def _only_inserts(statement: Statement) -> bool:
    """Whether an INSERT that was not followed can do nothing else: no upsert, no other writes."""
    words = statement.text.lower()
    return not any(word in words for word in ("conflict", "update", "delete", "merge"))


def _of_change(change: Change) -> Answer:
    action = change.action
    if action == "DROP":
        return _of_drop(change)
    if action in _ACTIONS:
        return _ACTIONS[action]
    if action == "ALTER TYPE":
        return Undo.NEVER, "a value added to an enum cannot be dropped again"
    if action.startswith("CREATE"):
        if change.replace:
            return Undo.REVERSE, "create it again from its former definition: keep a copy of that"
        return Undo.REVERSE, "DROP it"
    if action.startswith(("AT_", "ALTER", "OWNER", "SET SCHEMA")):
        return Undo.REVERSE, "ALTER it back"
    return Undo.UNKNOWN, f"Holdpoint does not know the way back from {action}"


def _of_drop(change: Change) -> Answer:
    if change.kind in _HOLDS_DATA:
        return Undo.BACKUP, f"what the {change.kind.lower()} held is in backups only"
    if change.kind in ("TYPE", "DOMAIN") and change.cascade:
        return Undo.BACKUP, "columns of the type go with it: their values are in backups only"
    if change.cascade:
        words = "create it and all that goes with it again, from their former definitions"
        return Undo.REVERSE, words
    return Undo.REVERSE, "create it again from its former definition: keep a copy of that"


def _by_effects(statement: Statement) -> Answer:
    """What no change tells: a statement without any, or the functions that one calls."""
    effects = statement.called if statement.changes else statement.effects
    if Effect.DESTRUCTIVE in effects:
        return Undo.BACKUP, "what is dropped or emptied is in backups only"
    if Effect.DDL in effects or Effect.PRIVILEGE in effects:
        return Undo.REVERSE, "the opposite command takes it back"
    return _NOTHING


def _writes_unseen(statement: Statement) -> bool:
    """Whether it writes something that no use of a relation shows; row locks are no writes."""
    if statement.effects.isdisjoint((Effect.WRITE, Effect.BULK_WRITE)):
        return False
    locks_rows = statement.tag in _LOCKING and not statement.functions and not statement.called
    return not locks_rows and not statement.changes
