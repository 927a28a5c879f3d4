"""What a definition does to the rows that are there: nothing, a scan, or a rewrite.

Sources: the manual's page of ALTER TABLE ("Notes": which forms rewrite, which scan) and those of
the other commands. ``tests/impact/test_on_servers.py`` compares with what real servers do. What is
not known for certain is ``Work.UNKNOWN``, never ``Work.NONE``.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.impact.type_changes import type_change
from holdpoint.model.catalog import Column, Relation
from holdpoint.model.changes import Change, Name, NewColumn, NewConstraint
from holdpoint.model.impact import Work
from holdpoint.sql.functions import BASE_TYPES, NEWEST, VOLATILE, is_built_in
from holdpoint.sql.names import Catalog

Answer = tuple[Work, str]

_ORDER: Final = (Work.NONE, Work.SCAN, Work.UNKNOWN, Work.REWRITE)
_NOTHING: Final[Answer] = (Work.NONE, "")

_FIXED: Final[dict[str, Answer]] = {
    "AT_SetAccessMethod": (Work.REWRITE, "copied to the other access method, unless it has that"),
    "AT_SetExpression": (Work.REWRITE, "every row gets the newly computed value"),
    "AT_SetLogged": (Work.REWRITE, "written anew and into the log, unless it is logged"),
    "AT_SetTableSpace": (Work.REWRITE, "copied to the other tablespace, unless it is there"),
    "AT_SetUnLogged": (Work.REWRITE, "written anew and outside the log, unless it is so"),
    "AT_ValidateConstraint": (Work.SCAN, "every row is checked against the constraint"),
    "ANALYZE": (Work.NONE, "a sample of the rows is read"),
    "CLUSTER": (Work.REWRITE, "the rows are written anew in the order of an index"),
    "CREATE INDEX": (Work.SCAN, "every row is read to build the index"),
    "REINDEX": (Work.SCAN, "every row is read to build the indexes anew"),
    "VACUUM": (Work.SCAN, "pages that changed since the last VACUUM are read"),
    "VACUUM FULL": (Work.REWRITE, "the rows are written anew without the free space"),
}
# Subcommands of ALTER TABLE, and commands, that change the catalog only.
_CATALOG_ONLY: Final = frozenset(
    (
        *("AT_AddIdentity", "AT_AddInherit", "AT_AddOf", "AT_AlterColumnGenericOptions"),
        *("AT_ChangeOwner", "AT_ClusterOn", "AT_ColumnDefault", "AT_DetachPartition"),
        *("AT_DetachPartitionFinalize", "AT_DisableRowSecurity", "AT_DisableRule"),
        *("AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser", "AT_DropCluster"),
        *("AT_DropColumn", "AT_DropConstraint", "AT_DropExpression", "AT_DropIdentity"),
        *("AT_DropInherit", "AT_DropNotNull", "AT_DropOf", "AT_EnableAlwaysRule"),
        *("AT_EnableAlwaysTrig", "AT_EnableReplicaRule", "AT_EnableReplicaTrig"),
        *("AT_EnableRowSecurity", "AT_EnableRule", "AT_EnableTrig", "AT_EnableTrigAll"),
        *("AT_EnableTrigUser", "AT_ForceRowSecurity", "AT_GenericOptions"),
        *("AT_NoForceRowSecurity", "AT_ReplicaIdentity", "AT_ResetOptions"),
        *("AT_ResetRelOptions", "AT_SetCompression", "AT_SetIdentity", "AT_SetOptions"),
        *("AT_SetRelOptions", "AT_SetStatistics", "AT_SetStorage"),
        *("ALTER POLICY", "ALTER SEQUENCE", "COMMENT", "CREATE", "CREATE POLICY", "CREATE RULE"),
        *("CREATE STATISTICS", "CREATE TABLE", "CREATE TRIGGER", "DROP", "GRANT", "LOCK TABLE"),
        *("OWNER", "RENAME", "REVOKE", "SET SCHEMA", "TRUNCATE"),
    )
)


def heavier(one: Answer, other: Answer) -> Answer:
    """The heavier of two answers; a rewrite outweighs what is not known."""
    return one if _ORDER.index(one[0]) >= _ORDER.index(other[0]) else other


def work_of(change: Change, relation: Relation | None, catalog: Catalog | None) -> Answer:
    """What ``change`` does to the rows of the relation it is about, and why."""
    action = change.action
    if action in _FIXED:
        return _FIXED[action]
    if action in _CATALOG_ONLY:
        return _NOTHING
    if action == "AT_AddColumn" and change.column is not None:
        return _added_column(change.column, catalog)
    if action == "AT_AlterColumnType" and change.column is not None:
        return type_change(change.part, change.column, relation, catalog)
    if action == "AT_SetNotNull":
        return _not_null(change.part, relation)
    if action == "AT_AddConstraint" and change.constraint is not None:
        return _added_constraint(change.constraint, relation)
    if action == "AT_AlterConstraint":
        enforced = "enforced" in change.options
        return (Work.SCAN, "every row is checked once it is enforced") if enforced else _NOTHING
    if action == "AT_AttachPartition":
        return Work.NONE, "rows of a default partition, if there is one, are read"
    if action == "REFRESH MATERIALIZED VIEW":
        if change.concurrently:
            return Work.SCAN, "its query runs, and every row is compared"
        return Work.REWRITE, "its query runs and replaces every row"
    return Work.UNKNOWN, "Holdpoint does not know what this does to the rows that are there"


def work_of_other(change: Change, other: Name) -> Answer:
    """What ``change`` does to the rows of ``other``, a further relation that it names."""
    looked_up = (Work.SCAN, "rows are looked up in it, one by one or all at once")
    if change.constraint is not None and change.constraint.references == other:
        return looked_up if change.constraint.checks else _NOTHING
    column = change.column
    if change.action == "AT_AddColumn" and column is not None and column.default:
        return looked_up
    if change.action == "AT_AttachPartition":
        return Work.SCAN, "every row is checked unless a CHECK already proves the bounds"
    return _NOTHING


def _added_column(column: NewColumn, catalog: Catalog | None) -> Answer:
    if column.generated == "s":
        return Work.REWRITE, "every row gets a computed value"
    if column.identity:
        return Work.REWRITE, "every row gets a number of a sequence"
    answer = _default_of(column, catalog)
    answer = heavier(answer, _type_of(column, catalog))
    for each in column.constraints:
        if each.kind in ("p", "u", "x"):
            answer = heavier(answer, (Work.SCAN, "every row is read to build an index"))
        elif each.kind == "c":
            answer = heavier(answer, (Work.SCAN, "every row is checked against the constraint"))
        elif each.kind == "n" and not column.default:
            answer = heavier(answer, (Work.SCAN, "every row is checked for NULL"))
        elif each.kind == "f" and column.default:
            answer = heavier(answer, (Work.SCAN, "every row is looked up in the other table"))
    return answer


def _default_of(column: NewColumn, catalog: Catalog | None) -> Answer:
    """A default that is the same for every row is stored once (since PostgreSQL 11)."""
    answer = _NOTHING
    major = catalog.rows.version // 10_000 if catalog is not None else NEWEST
    for function in column.functions:
        name = function.name
        mine = catalog.functions_named(name) if catalog is not None else ()
        if any(each.volatility == "v" for each in mine) or name in VOLATILE:
            return Work.REWRITE, f"every row gets its own value of `{name}()`"
        if not mine and not is_built_in(name, major):
            answer = (Work.UNKNOWN, f"rewritten if `{name}()` is volatile, which is not known")
    for symbol in column.operators:
        if catalog is not None and catalog.has_operator(symbol):
            answer = (Work.UNKNOWN, f"rewritten if the operator `{symbol}` is volatile")
    return answer


def _type_of(column: NewColumn, catalog: Catalog | None) -> Answer:
    if column.type is None:
        return Work.UNKNOWN, "its type is not known"
    name = column.type.name
    if name.name in BASE_TYPES and name.schema in ("", "pg_catalog"):
        return _NOTHING
    meant = catalog.types_meant(name.schema, name.name, catalog.paths) if catalog else []
    if not meant:
        return Work.UNKNOWN, f"rewritten if `{name.label}` is a domain with constraints"
    for each in meant:
        if each.kind == "d":
            return Work.REWRITE, f"every row is checked against the domain `{name.label}`"
    return _NOTHING


def _not_null(column: str, relation: Relation | None) -> Answer:
    if relation is not None and _never_null(column, relation):
        return Work.NONE, f"a constraint already proves that `{column}` is not NULL"
    return Work.SCAN, f"every row is checked for NULL in `{column}`"


def _never_null(column: str, relation: Relation) -> bool:
    """Whether a valid constraint proves it: NOT NULL itself, or CHECK (column IS NOT NULL)."""
    for each in relation.constraints:
        if each.kind == "n" and column in each.columns and not each.valid:
            return False
        if each.kind == "c" and each.valid and _says_not_null(each.expression, column):
            return True
    found: list[Column] = [each for each in relation.columns if each.name == column]
    return bool(found) and found[0].not_null


def _says_not_null(expression: str, column: str) -> bool:
    quoted = re.escape('"' + column.replace('"', '""') + '"')
    plain = re.escape(column)
    return re.fullmatch(rf"\(*(?:{plain}|{quoted}) IS NOT NULL\)*", expression) is not None


def _added_constraint(constraint: NewConstraint, relation: Relation | None) -> Answer:
    kind = constraint.kind
    if kind == "n":
        if not constraint.checks:
            return _NOTHING
        column = constraint.columns[0] if constraint.columns else ""
        return _not_null(column, relation)
    if kind in ("c", "f"):
        if not constraint.checks:
            return Work.NONE, "rows that are there are not looked at"
        words = "checked against the constraint" if kind == "c" else "looked up in the other table"
        return Work.SCAN, f"every row is {words}"
    if not constraint.index:
        return Work.SCAN, "every row is read to build the index"
    if kind == "p":
        return _key_of_index(constraint.index, relation)
    return _NOTHING


def _key_of_index(index: str, relation: Relation | None) -> Answer:
    """PRIMARY KEY USING INDEX: its columns become NOT NULL, which may have to be checked."""
    for each in relation.indexes if relation is not None else ():
        if each.name == index and relation is not None:
            if all(_never_null(column, relation) for column in each.columns):
                return _NOTHING
            break
    return Work.SCAN, "every row is checked for NULL in the key's columns"
