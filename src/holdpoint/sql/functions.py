"""What calling a built-in function does: an allow-list over a shipped table.

A name passes as a plain read only when the table (``data/builtins.json``, written from real
servers) lists it as immutable or stable, or when it is volatile and was reviewed here, and when it
is not on the list of dangers below. Every other name is unknown: a user's function can do anything,
and only a catalog could tell. Known limit without a catalog: a user's function of a built-in's
name, whose argument types fit better, is taken for the built-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from holdpoint.model.effects import Effect, MarkKind

_TABLE: Final[dict[str, Any]] = orjson.loads(
    (Path(__file__).parent / "data" / "builtins.json").read_bytes()
)


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


class Danger:
    """What a built-in does beyond reading: its effect, the mark it leaves, and why, in words."""

    def __init__(self, effect: Effect, mark: MarkKind | None, why: str) -> None:
        self.effect: Final = effect
        self.mark: Final = mark
        self.why: Final = why


# (effect, mark, why, names); "*" at the end of a name means every table name that begins so.
_REVIEWED: Final[tuple[tuple[Effect, MarkKind | None, str, str], ...]] = (
    (Effect.EXHAUSTION, MarkKind.SLEEP, "keeps the session busy doing nothing", "pg_sleep*"),
    (
        Effect.EXHAUSTION,
        MarkKind.LOCK,
        "takes an advisory lock that others may wait for",
        "pg_advisory_lock* pg_advisory_xact_lock* pg_try_advisory_*",
    ),
    (Effect.WRITE, None, "moves a sequence, which no rollback undoes", "nextval setval"),
    (Effect.WRITE, None, "sends a notification to other sessions", "pg_notify"),
    (
        Effect.SERVER_SIDE,
        MarkKind.SERVER_FILE,
        "reads or lists files of the server",
        "pg_read_file* pg_read_binary_file* pg_stat_file pg_ls_* pg_current_logfile "
        "pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings "
        "pg_available_wal_summaries pg_wal_summary_contents pg_file_write pg_file_rename "
        "pg_file_unlink pg_file_sync pg_logdir_ls",
    ),
    (
        Effect.SERVER_SIDE,
        MarkKind.SERVER_FILE,
        "copies between large objects and files of the server",
        "lo_import lo_export",
    ),
    (
        Effect.WRITE,
        MarkKind.LARGE_OBJECT,
        "writes a large object",
        "lo_creat lo_create lo_from_bytea lo_put lo_truncate* lowrite",
    ),
    (
        Effect.UNKNOWN,
        MarkKind.UNKNOWN_FUNCTION,
        "loads and checks the code of a function",
        "fmgr_c_validator fmgr_internal_validator fmgr_sql_validator",
    ),
    (Effect.DESTRUCTIVE, MarkKind.LARGE_OBJECT, "removes a large object", "lo_unlink"),
    (
        Effect.SERVER_SIDE,
        MarkKind.BACKEND,
        "stops or signals other sessions",
        "pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts",
    ),
    (
        Effect.SERVER_SIDE,
        MarkKind.FUNCTION,
        "acts on the whole server",
        # pg_start_backup and pg_stop_backup are the names of PostgreSQL 13 and 14: they write
        # backup_label, force a checkpoint and keep WAL until somebody stops the backup.
        "pg_reload_conf pg_rotate_logfile* pg_promote pg_switch_wal pg_create_restore_point "
        "pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup pg_wal_replay_pause "
        "pg_wal_replay_resume pg_log_standby_snapshot pg_import_system_collations pg_nextoid "
        "pg_stop_making_pinned_objects pg_extension_config_dump binary_upgrade_*",
    ),
    (
        Effect.SERVER_SIDE,
        MarkKind.FUNCTION,
        "acts on replication",
        "pg_create_logical_replication_slot pg_create_physical_replication_slot "
        "pg_drop_replication_slot pg_copy_logical_replication_slot "
        "pg_copy_physical_replication_slot pg_replication_slot_advance pg_logical_slot_* "
        "pg_logical_emit_message pg_replication_origin_advance pg_replication_origin_create "
        "pg_replication_origin_drop pg_replication_origin_session_reset "
        "pg_replication_origin_session_setup pg_replication_origin_xact_* "
        "pg_sync_replication_slots",
    ),
    (
        Effect.SERVER_SIDE,
        MarkKind.FUNCTION,
        "resets or overwrites statistics",
        "pg_stat_reset* pg_clear_relation_stats pg_clear_attribute_stats "
        "pg_restore_relation_stats pg_restore_attribute_stats pg_stat_statements_reset",
    ),
    (
        Effect.WRITE,
        MarkKind.MAINTENANCE,
        "maintains an index",
        "brin_summarize_* brin_desummarize_range gin_clean_pending_list",
    ),
    (
        Effect.SERVER_SIDE,
        MarkKind.FOREIGN,
        "runs statements on another server",
        "dblink dblink_connect dblink_connect_u dblink_disconnect dblink_exec dblink_open "
        "dblink_fetch dblink_close dblink_send_query dblink_get_result dblink_get_connections "
        "dblink_error_message dblink_is_busy dblink_get_notify dblink_cancel_query dblink_get_pkey "
        "dblink_current_query dblink_build_sql_insert dblink_build_sql_update "
        "dblink_build_sql_delete dblink_fdw_validator",
    ),
    (
        Effect.UNKNOWN,
        MarkKind.UNKNOWN_FUNCTION,
        "runs SQL that it is given as text",
        "query_to_xml* ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn "
        "connectby plpgsql_*",
    ),
    (
        Effect.UNKNOWN,
        MarkKind.UNKNOWN_FUNCTION,
        "reads whatever its arguments name",
        "cursor_to_xml* table_to_xml* schema_to_xml* database_to_xml* currtid currtid2",
    ),
    (
        # A domain's checks and a type's input are functions of whoever made it; here the type comes
        # as text or oid, where no catalog look-up sees it.
        Effect.UNKNOWN,
        MarkKind.UNKNOWN_FUNCTION,
        "runs the input function or the checks of a type that it is given as a value",
        "pg_input_is_valid pg_input_error_info domain_in domain_recv record_in record_recv "
        "array_in array_recv range_in range_recv multirange_in multirange_recv "
        "satisfies_hash_partition",
    ),
)

# Volatile in some version, and reviewed: they read the server's state or draw random values, and
# change nothing that another session or a later transaction sees. `timezone` is volatile in
# PostgreSQL 13 and 14 for `timetz`, because the offset depends on today; `pg_is_in_backup` is gone
# since 15. The trigger functions fill in or skip the row at hand, and fail when they are called.
_HARMLESS_VOLATILE: Final = _names(
    """
    amvalidate array_sample array_shuffle clock_timestamp current_query currval gen_random_uuid
    lastval lo_close lo_get lo_lseek lo_lseek64 lo_open lo_tell lo_tell64 loread
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_blocking_pids
    pg_collation_actual_version pg_control_checkpoint pg_control_init pg_control_recovery
    pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
    pg_database_collation_actual_version pg_database_size pg_export_snapshot pg_get_aios
    pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members
    pg_get_sequence_data pg_get_shmem_allocations pg_get_shmem_allocations_numa
    pg_get_wait_events pg_get_wal_replay_pause_state pg_get_wal_resource_managers
    pg_get_wal_summarizer_state pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
    pg_is_in_backup pg_isolation_test_session_is_blocked pg_jit_available pg_last_committed_xact
    pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
    pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact
    pg_relation_size pg_replication_origin_progress pg_replication_origin_session_is_setup
    pg_replication_origin_session_progress pg_safe_snapshot_blocking_pids
    pg_sequence_last_value pg_show_replication_origin_status pg_stat_clear_snapshot
    pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io
    pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
    pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans
    pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
    pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size pg_tablespace_size
    pg_total_relation_size pg_xact_commit_timestamp pg_xact_commit_timestamp_origin
    pg_xact_status random random_normal setseed suppress_redundant_updates_trigger timeofday
    timezone tsvector_update_trigger tsvector_update_trigger_column txid_status uuidv4 uuidv7
    """
)

# Not in pg_proc, but the grammar or a cast by call turns them into built-in behaviour.
_BY_GRAMMAR: Final = frozenset(("coalesce", "greatest", "least", "nullif", "merge_action"))

# Operators that well-known extensions define (pgvector, pg_trgm, hstore, ltree, intarray, cube,
# PostGIS): C functions without side effects. Creating another one of these names needs DDL, which
# the gate decides on by itself.
_EXTENSION_OPERATORS: Final = _names(
    """
    <=> <#> <+> <~> <%> <% %> <<% %>> <<<-> <->>> <<-> <->> %% %# #= ~> ?@> ?<@ ?~ ?@ ^@> ^<@
    ^~ ^@ ^? @~ <@> ~~= &&& <<#>> <<->> |>> &/& @>> <<@ ~== @@=
    """
)


def _spread() -> dict[str, Danger]:
    names: list[str] = [*_TABLE["immutable"], *_TABLE["stable"], *_TABLE["volatile"]]
    dangers: dict[str, Danger] = {}
    for effect, mark, why, patterns in _REVIEWED:
        danger = Danger(effect, mark, why)
        for pattern in patterns.split():
            if pattern.endswith("*"):
                stem = pattern[:-1]
                dangers[stem] = danger
                for name in names:
                    if name.startswith(stem):
                        dangers[name] = danger
            else:
                dangers[pattern] = danger
    return dangers


DANGERS: Final[dict[str, Danger]] = _spread()
"""Reviewed names that do more than read, without schema; ``set_config`` is read by its arguments
in ``session.py``."""

HARMLESS: Final[frozenset[str]] = (
    frozenset(_TABLE["immutable"])
    | frozenset(_TABLE["stable"])
    | frozenset(_TABLE["types"])  # ``jsonb('{}')`` is a cast
    | _HARMLESS_VOLATILE
    | _BY_GRAMMAR
) - frozenset(DANGERS)
"""Names of ``pg_catalog`` that only read."""

UNREVIEWED: Final[frozenset[str]] = (
    frozenset(_TABLE["volatile"]) - HARMLESS - frozenset(DANGERS) - {"set_config"}
)
"""Volatile built-ins nobody has reviewed (trigger functions, handlers): unknown."""

_PARTIAL: Final[dict[str, list[int]]] = _TABLE["partial"]
_NAMES: Final[frozenset[str]] = frozenset(
    (*_TABLE["immutable"], *_TABLE["stable"], *_TABLE["volatile"])
)
OLDEST: Final = 13
NEWEST: Final = 18
"""Majors of the oldest and the newest server the table was written from."""


def is_built_in(name: str, major: int) -> bool:
    """Whether a server of that major version has a function of this name in ``pg_catalog``.

    Where it has none, the name is a user's: ``uuidv7`` on 16. A newer server is taken for the
    newest one known, an older one for the oldest.
    """
    known = _PARTIAL.get(name)
    if known is None:
        return name in _NAMES
    return known[0] <= min(max(major, OLDEST), NEWEST) <= known[1]


VOLATILE: Final[frozenset[str]] = frozenset(_TABLE["volatile"])
"""Names of ``pg_catalog`` that may answer anew for each row."""

BASE_TYPES: Final[frozenset[str]] = frozenset(_TABLE["types"])
"""Types of ``pg_catalog``; a value of one is no row."""

INFORMATION_SCHEMA: Final[frozenset[str]] = frozenset(_TABLE["information_schema"])
"""Functions of ``information_schema``, which drivers call by their qualified names."""

OPERATORS: Final[frozenset[str]] = (
    frozenset(_TABLE["operators"]) | _EXTENSION_OPERATORS | {"<>", "!="}
)
"""Operator symbols that pass when they are written without a schema or with ``pg_catalog``."""

TABLESAMPLE_METHODS: Final[frozenset[str]] = frozenset(("system", "bernoulli"))
"""Built-in sampling methods; others are functions of extensions."""
