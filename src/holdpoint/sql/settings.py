"""Settings (``SET``, ``set_config``) that a session may change, and why each is harmless.

Everything not listed is unknown: there are hundreds of settings, extensions add more, and several
turn a read-only session into a writing one. The gate gives its own limits as start-up options, so
RESET and DEFAULT go back to them.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.effects import Effect, MarkKind

ANY: Final = "any value"
SCHEMAS: Final = "schema names"
UTF8: Final = "UTF8"
ON: Final = "on"
ZERO: Final = "0"

HARMLESS_SETTINGS: Final[dict[str, tuple[str, str]]] = {
    # name: (which values pass, why they are harmless)
    "application_name": (ANY, "a label for logs and views"),
    "array_nulls": (ANY, "how array literals are read"),
    "backend_flush_after": (ANY, "when the kernel is told to write; no effect on data"),
    "bytea_output": (ANY, "form of output"),
    "client_encoding": (UTF8, "the encoding in which the gate reads text"),
    "client_min_messages": (ANY, "which notices the client sees"),
    "constraint_exclusion": (ANY, "planner"),
    "cpu_index_tuple_cost": (ANY, "a planner's estimate"),
    "cpu_operator_cost": (ANY, "a planner's estimate"),
    "cpu_tuple_cost": (ANY, "a planner's estimate"),
    "cursor_tuple_fraction": (ANY, "a planner's estimate"),
    "datestyle": (ANY, "form of dates"),
    "default_statistics_target": (ANY, "only read by ANALYZE"),
    "default_text_search_config": (ANY, "names a text search configuration"),
    "default_toast_compression": (ANY, "form of storage"),
    "default_transaction_deferrable": (ANY, "waits for a safe snapshot; takes nothing away"),
    "default_transaction_isolation": (ANY, "what a transaction sees; it cannot write more"),
    "effective_cache_size": (ANY, "a planner's estimate"),
    "effective_io_concurrency": (ANY, "how far reading runs ahead"),
    "escape_string_warning": (ANY, "a warning"),
    "extra_float_digits": (ANY, "form of output"),
    "from_collapse_limit": (ANY, "planner"),
    "geqo": (ANY, "planner"),
    "geqo_effort": (ANY, "planner"),
    "geqo_seed": (ANY, "planner"),
    "geqo_threshold": (ANY, "planner"),
    "hnsw.ef_search": (ANY, "pgvector: how far an index is searched"),
    "hnsw.iterative_scan": (ANY, "pgvector: how an index is searched"),
    "idle_in_transaction_session_timeout": (ANY, "a bound; a weaker one the gate takes back"),
    "idle_session_timeout": (ANY, "a bound; a weaker one the gate takes back"),
    "intervalstyle": (ANY, "form of intervals"),
    "ivfflat.iterative_scan": (ANY, "pgvector: how an index is searched"),
    "ivfflat.probes": (ANY, "pgvector: how far an index is searched"),
    "jit": (ANY, "how expressions are run"),
    "jit_above_cost": (ANY, "how expressions are run"),
    "jit_inline_above_cost": (ANY, "how expressions are run"),
    "jit_optimize_above_cost": (ANY, "how expressions are run"),
    "join_collapse_limit": (ANY, "planner"),
    "lc_messages": (ANY, "language of messages"),
    "lc_monetary": (ANY, "form of output"),
    "lc_numeric": (ANY, "form of output"),
    "lc_time": (ANY, "form of output"),
    "lock_timeout": (ANY, "a bound; a weaker one the gate takes back"),
    # More of them would be processes of one pool for the whole server: nobody else has any then.
    "max_parallel_workers_per_gather": (ZERO, "turns helpers of a query off"),
    "min_parallel_index_scan_size": (ANY, "planner"),
    "min_parallel_table_scan_size": (ANY, "planner"),
    "parallel_leader_participation": (ANY, "planner"),
    "parallel_setup_cost": (ANY, "a planner's estimate"),
    "parallel_tuple_cost": (ANY, "a planner's estimate"),
    "pg_trgm.similarity_threshold": (ANY, "pg_trgm: what its operators match"),
    "pg_trgm.strict_word_similarity_threshold": (ANY, "pg_trgm: what its operators match"),
    "pg_trgm.word_similarity_threshold": (ANY, "pg_trgm: what its operators match"),
    "plan_cache_mode": (ANY, "planner"),
    "quote_all_identifiers": (ANY, "form of what the server writes"),
    "random_page_cost": (ANY, "a planner's estimate"),
    "recursive_worktable_factor": (ANY, "a planner's estimate"),
    "restrict_nonsystem_relation_kind": (ANY, "takes kinds of relations away; pg_dump sets it"),
    "row_security": (ANY, "off turns rows hidden by policies into an error, never into rows"),
    "search_path": (SCHEMAS, "names that hide none of pg_catalog's"),
    "seed": (ANY, "the start of random()"),
    "seq_page_cost": (ANY, "a planner's estimate"),
    "standard_conforming_strings": (ON, "the state in which the gate reads literals"),
    "statement_timeout": (ANY, "a bound; a weaker one the gate takes back"),
    "synchronize_seqscans": (ANY, "order of rows of a full scan"),
    "tcp_keepalives_count": (ANY, "keeps the connection alive"),
    "tcp_keepalives_idle": (ANY, "keeps the connection alive"),
    "tcp_keepalives_interval": (ANY, "keeps the connection alive"),
    "timezone": (ANY, "form of times"),
    "timezone_abbreviations": (ANY, "form of times"),
    "transaction_deferrable": (ANY, "waits for a safe snapshot"),
    "transaction_isolation": (ANY, "what a transaction sees; it cannot write more"),
    "transaction_timeout": (ANY, "a bound; a weaker one the gate takes back"),
    "xmlbinary": (ANY, "form of output"),
    "xmloption": (ANY, "how xml is read"),
}
"""Every setting that may be set, and to what. Names in lower case, as the server compares them."""

_PLANNER_FLAGS: Final = "enable_"  # enable_seqscan and its siblings: planner only

READ_ONLY_SETTINGS: Final = frozenset(("default_transaction_read_only", "transaction_read_only"))
"""Setting one of these to off leaves the read-only state."""

TIMEOUTS: Final = (
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",  # PostgreSQL 17 and later
)
"""Settings that end what runs or idles too long; 0 is no end (manual, section 19.11)."""

ROLE_SETTINGS: Final = frozenset(("role", "session_authorization"))
"""``SET ROLE`` and ``SET SESSION AUTHORIZATION`` under their names as settings."""

_READING: Final = frozenset(("standard_conforming_strings", "client_encoding", "backslash_quote"))
_TRUE: Final = frozenset(("on", "true", "yes", "1", "t", "y", "tru", "tr", "ye"))
_UTF8_NAMES: Final = frozenset(("utf8", "utf-8", "unicode"))


class SettingVerdict:
    """What setting something does: nothing (``effect`` None), or an effect, a mark and words."""

    def __init__(self, effect: Effect | None, mark: MarkKind | None, why: str) -> None:
        self.effect: Final = effect
        self.mark: Final = mark
        self.why: Final = why


_FINE: Final = SettingVerdict(None, None, "")


def judge_setting(name: str, values: list[str] | None) -> SettingVerdict:
    """What setting ``name`` to ``values`` does; None stands for a value that is not constant."""
    name = name.lower()
    if name in ROLE_SETTINGS:
        # NONE as well: it leaves a weaker role that ALTER ROLE ... SET role or the URL's options
        # gave the session, where RESET ROLE and DEFAULT go back to it (seen on 16 and 18).
        return SettingVerdict(Effect.PRIVILEGE, MarkKind.ASSUME_ROLE, "acts as another role")
    if name in READ_ONLY_SETTINGS:
        if values is not None and len(values) == 1 and values[0].lower() in _TRUE:
            return _FINE
        return SettingVerdict(
            Effect.SESSION_ESCAPE, MarkKind.READ_WRITE, "leaves the read-only state"
        )
    if name == "session_replication_role":
        return SettingVerdict(
            Effect.SESSION_ESCAPE, MarkKind.UNSAFE_SETTING, "turns triggers and foreign keys off"
        )
    if name.startswith(_PLANNER_FLAGS) and "." not in name:
        return _FINE
    entry = HARMLESS_SETTINGS.get(name)
    if entry is not None and (
        entry[0] == ANY or (values is not None and _passes(entry[0], values))
    ):
        return _FINE
    if name in _READING:
        return SettingVerdict(
            Effect.SESSION_ESCAPE, MarkKind.READING_SETTING, "changes how later text is read"
        )
    if name == "search_path":
        return SettingVerdict(
            Effect.SESSION_ESCAPE, MarkKind.SEARCH_PATH, "could hide the names of pg_catalog"
        )
    return SettingVerdict(
        Effect.UNKNOWN, MarkKind.UNSAFE_SETTING, "which Holdpoint does not know as harmless"
    )


def _passes(rule: str, values: list[str]) -> bool:
    if rule == SCHEMAS:
        return _harmless_path(values)
    if len(values) != 1:
        return False
    value = values[0].strip().lower()
    if rule == ZERO:
        return value == ZERO
    if rule == UTF8:
        return value in _UTF8_NAMES
    return rule == ON and value in _TRUE


def _harmless_path(values: list[str]) -> bool:
    """Names hide nothing of ``pg_catalog`` when it comes first or is not named (then it is first).

    ``pg_temp`` is refused: naming it moves temporary tables behind, or makes them the target.
    A value that is a list in one string is split as the server does, without quoting.
    """
    names = [part.strip() for value in values for part in value.split(",")]
    for at, name in enumerate(names):
        bare = name.strip('"').lower()
        if bare == "pg_catalog" and at > 0:
            return False
        if bare.startswith("pg_temp"):
            return False
    return True


def paths_of(values: list[str], role: str) -> tuple[tuple[str, ...], ...]:
    """The search paths that ``values`` of a SET may make; ``role`` stands for ``$user``.

    Whether a value with a comma is one odd name or a list depends on how it was written (SET takes
    it for a name, set_config for a list), so both count.
    """

    def clean(name: str) -> str:
        bare = name.strip()
        if len(bare) > 1 and bare[0] == '"' and bare[-1] == '"':
            bare = bare[1:-1].replace('""', '"')
        else:
            bare = bare.lower()
        return role if bare == "$user" else bare

    whole = tuple([role if value == "$user" else value for value in values])
    split = tuple([clean(part) for value in values for part in value.split(",")])
    return (whole,) if whole == split else (whole, split)
