"""Which lock a statement takes on a table, and who waits behind it.

Sources: the manual's section 13.3.1 (Table-Level Locks) and the pages of ALTER TABLE, CREATE INDEX,
REINDEX, VACUUM, CLUSTER and the like. ``tests/impact/test_on_servers.py`` runs the forms on real
servers and compares. What is not listed takes the strongest lock: never fewer waiters than there
will be.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.changes import Change, Name
from holdpoint.model.impact import LockMode

_ORDER: Final = {mode: place for place, mode in enumerate(LockMode)}

_BLOCKS: Final[dict[LockMode, str]] = {
    LockMode.ACCESS_SHARE: "only what needs the table alone waits",
    LockMode.ROW_SHARE: "only changes of the same rows, and what locks the table, wait",
    LockMode.ROW_EXCLUSIVE: "only changes of the same rows, and what locks the table, wait",
    LockMode.SHARE_UPDATE_EXCLUSIVE: "other schema changes and VACUUM wait",
    LockMode.SHARE: "writes wait",
    LockMode.SHARE_ROW_EXCLUSIVE: "writes wait",
    LockMode.EXCLUSIVE: "writes and row locks wait",
    LockMode.ACCESS_EXCLUSIVE: "reads and writes wait",
}

_WEAKER: Final[dict[str, LockMode]] = {
    # Subcommands of ALTER TABLE that do not need the table alone (its page, "Description").
    "AT_SetStatistics": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_SetOptions": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_ResetOptions": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_ClusterOn": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_DropCluster": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_ValidateConstraint": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_AttachPartition": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_DetachPartitionFinalize": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "AT_EnableTrig": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_EnableAlwaysTrig": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_EnableReplicaTrig": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigAll": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigUser": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrig": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigAll": LockMode.SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigUser": LockMode.SHARE_ROW_EXCLUSIVE,
    # Other commands.
    "CREATE TRIGGER": LockMode.SHARE_ROW_EXCLUSIVE,
    "CREATE STATISTICS": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "COMMENT": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "VACUUM": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "ANALYZE": LockMode.SHARE_UPDATE_EXCLUSIVE,
    "ALTER SEQUENCE": LockMode.SHARE_ROW_EXCLUSIVE,
}
# (with CONCURRENTLY, without); the manual's pages of each.
_CONCURRENT: Final[dict[str, tuple[LockMode, LockMode]]] = {
    "CREATE INDEX": (LockMode.SHARE_UPDATE_EXCLUSIVE, LockMode.SHARE),
    "REINDEX": (LockMode.SHARE_UPDATE_EXCLUSIVE, LockMode.SHARE),
    "REFRESH MATERIALIZED VIEW": (LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE),
    "AT_DetachPartition": (LockMode.SHARE_UPDATE_EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE),
}
# Storage parameters that can be changed while the table is written (CREATE TABLE's page).
_LIGHT_OPTIONS: Final = frozenset(
    (
        "fillfactor",
        "parallel_workers",
        "toast_tuple_target",
        "vacuum_truncate",
        "vacuum_index_cleanup",
    )
)
_UNLOCKED: Final = frozenset(("GRANT", "REVOKE"))


def stronger(one: LockMode | None, other: LockMode | None) -> LockMode | None:
    """The stronger of two locks; None is no lock."""
    if one is None or other is None:
        return one or other
    return one if _ORDER[one] >= _ORDER[other] else other


def strength(mode: LockMode | None) -> int:
    """How strong a lock is, 0 for none."""
    return _ORDER[mode] + 1 if mode is not None else 0


def blocks(mode: LockMode | None) -> str:
    """Who waits behind a lock, in words; empty without one."""
    return _BLOCKS[mode] if mode is not None else ""


def lock_of(change: Change) -> LockMode | None:
    """The lock that ``change`` takes on the relation it is about; None when it takes none."""
    action = change.action
    if action in _UNLOCKED:
        return None
    if action == "LOCK TABLE":
        return _named_mode(change)
    if action == "DROP" and change.kind == "INDEX":
        return LockMode.SHARE_UPDATE_EXCLUSIVE if change.concurrently else LockMode.ACCESS_EXCLUSIVE
    if action == "RENAME" and change.kind == "INDEX":
        return LockMode.SHARE_UPDATE_EXCLUSIVE
    if action in _CONCURRENT:
        return _CONCURRENT[action][0 if change.concurrently else 1]
    if action in ("AT_SetRelOptions", "AT_ResetRelOptions"):
        return _options_mode(change)
    if action == "AT_AddConstraint":
        foreign = change.constraint is not None and change.constraint.kind == "f"
        return LockMode.SHARE_ROW_EXCLUSIVE if foreign else LockMode.ACCESS_EXCLUSIVE
    return _WEAKER.get(action, LockMode.ACCESS_EXCLUSIVE)


def lock_of_other(change: Change, other: Name) -> LockMode:
    """The lock on ``other``, a relation that ``change`` names besides its own."""
    action = change.action
    if action == "AT_AttachPartition" or action == "AT_DetachPartition":
        return LockMode.ACCESS_EXCLUSIVE
    if action == "CREATE TABLE" and "partition" in change.options:
        return LockMode.ACCESS_EXCLUSIVE
    if action in ("AT_AddColumn", "AT_AddConstraint") or _refers_to(change, other):
        return LockMode.SHARE_ROW_EXCLUSIVE  # the table a foreign key points at
    if action in ("AT_AddInherit", "AT_DropInherit", "CREATE TABLE"):
        return LockMode.SHARE_UPDATE_EXCLUSIVE
    return LockMode.ACCESS_EXCLUSIVE


def _refers_to(change: Change, other: Name) -> bool:
    constraints = change.column.constraints if change.column is not None else ()
    return any(each.references == other for each in constraints)


def _named_mode(change: Change) -> LockMode:
    for mode in LockMode:
        if change.options == (mode.value,):
            return mode
    return LockMode.ACCESS_EXCLUSIVE


def _options_mode(change: Change) -> LockMode:
    for option in change.options:
        bare = option.removeprefix("toast.")
        if bare not in _LIGHT_OPTIONS and not bare.startswith(("autovacuum_", "log_autovacuum_")):
            return LockMode.ACCESS_EXCLUSIVE
    return LockMode.SHARE_UPDATE_EXCLUSIVE
