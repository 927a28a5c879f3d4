"""What calling a function of a well-known extension does: a reviewed table.

Extensions are written in C, and nobody can read a C function's body. What is known of them comes
from their documentation and sources, reviewed by hand against what PostgreSQL 13 and 17 install
(``contrib``) and against the projects' own SQL scripts (the rest). An extension that is not in
here is unknown. So is a volatile function of one that is, unless it is named here.
"""

from __future__ import annotations

from typing import Final

from holdpoint.model.effects import Effect, MarkKind
from holdpoint.sql.functions import Danger


class Reviewed:
    """One extension: what its functions do.

    ``reads``: its immutable and stable functions only compute or read. ``harmless`` names volatile
    ones that do no more. ``dangers`` name others, a ``*`` at the end for every name that begins so.
    ``otherwise`` is said of all the rest.
    """

    def __init__(
        self,
        otherwise: Danger,
        *,
        reads: bool = False,
        harmless: str = "",
        dangers: tuple[tuple[str, Danger], ...] = (),
    ) -> None:
        self.otherwise: Final = otherwise
        self.reads: Final = reads
        self.harmless: Final = frozenset(harmless.split())
        self.dangers: Final = dangers


def _unknown(why: str) -> Danger:
    return Danger(Effect.UNKNOWN, MarkKind.UNKNOWN_FUNCTION, why)


def _server(why: str) -> Danger:
    return Danger(Effect.SERVER_SIDE, MarkKind.FUNCTION, why)


_NOT_REVIEWED: Final = _unknown("belongs to an extension that nobody has reviewed")
_VOLATILE: Final = _unknown("may do more than read: nobody has reviewed it")
_RUNS_TEXT: Final = _unknown("runs SQL that it is given as text")
_OUTSIDE: Final = Danger(
    Effect.SERVER_SIDE, MarkKind.FOREIGN, "runs statements on, or sends requests to, another server"
)
_FILES: Final = Danger(
    Effect.SERVER_SIDE, MarkKind.SERVER_FILE, "reads or writes files of the server"
)
_PAGES: Final = Danger(
    Effect.SERVER_SIDE,
    MarkKind.SERVER_FILE,
    "reads raw pages, which no privilege on rows or columns protects",
)
_SCANS: Final = Danger(
    Effect.EXHAUSTION, MarkKind.FUNCTION, "reads a whole table or index, page by page"
)
_LATER: Final = _server("runs SQL later or elsewhere, in a session that no gate sees")
_LANGUAGE: Final = _unknown("runs code of a procedural language")

_PURE: Final = Reviewed(_VOLATILE, reads=True)
_FOREIGN: Final = Reviewed(_OUTSIDE)
_HANDLER: Final = Reviewed(_LANGUAGE)


def _all(reviewed: Reviewed, names: str) -> dict[str, Reviewed]:
    return dict.fromkeys(names.split(), reviewed)


EXTENSIONS: Final[dict[str, Reviewed]] = {
    # Types, indexes and functions that compute: no SQL of their own, nothing outside.
    **_all(
        _PURE,
        "btree_gin btree_gist citext cube earthdistance fuzzystrmatch hll hstore intarray ip4r isn "
        "ltree pg_jsonschema postgis_sfcgal prefix seg",
    ),
    # Handlers, support of indexes, and dictionaries that the text search calls.
    "bloom": Reviewed(_VOLATILE, reads=True, harmless="blhandler"),
    "dict_int": Reviewed(_VOLATILE, reads=True, harmless="dintdict_init dintdict_lexize"),
    "dict_xsyn": Reviewed(_VOLATILE, reads=True, harmless="dxsyn_init dxsyn_lexize"),
    "intagg": Reviewed(_VOLATILE, reads=True, harmless="int_agg_state int_agg_final_array"),
    "tsm_system_rows": Reviewed(_VOLATILE, harmless="system_rows"),
    "tsm_system_time": Reviewed(_VOLATILE, harmless="system_time"),
    "unaccent": Reviewed(_VOLATILE, reads=True, harmless="unaccent_init unaccent_lexize"),
    "vector": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="hnswhandler hnsw_bit_support hnsw_halfvec_support hnsw_sparsevec_support "
        "ivfflathandler ivfflat_bit_support ivfflat_halfvec_support",
    ),
    # Volatile because random, or because they tell something about the session.
    "pg_trgm": Reviewed(_VOLATILE, reads=True, harmless="set_limit"),
    "pg_uuidv7": Reviewed(_VOLATILE, reads=True, harmless="uuid_generate_v7"),
    "pgcrypto": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea "
        "pgp_sym_encrypt pgp_sym_encrypt_bytea",
    ),
    "sslinfo": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="ssl_cipher ssl_client_cert_present ssl_client_dn ssl_client_dn_field "
        "ssl_client_serial ssl_extension_info ssl_is_used ssl_issuer_dn ssl_issuer_field "
        "ssl_version",
    ),
    "uuid-ossp": Reviewed(
        _VOLATILE, reads=True, harmless="uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4"
    ),
    "tablefunc": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="normal_rand",
        dangers=(("crosstab*", _RUNS_TEXT), ("connectby*", _RUNS_TEXT)),
    ),
    # XSLT can name other documents; nobody has checked every version of libxslt.
    "xml2": Reviewed(
        _VOLATILE,
        reads=True,
        dangers=(("xpath_table", _RUNS_TEXT), ("xslt_process", _VOLATILE)),
    ),
    # PostGIS computes. Rasters can lie outside the database, in files and behind addresses.
    "postgis": _PURE,
    "postgis_raster": Reviewed(_FILES),
    "address_standardizer": Reviewed(
        _VOLATILE, reads=True, dangers=(("standardize_address*", _RUNS_TEXT),)
    ),
    "pgrouting": Reviewed(_RUNS_TEXT),
    # Looking into the server.
    "pg_stat_statements": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="pg_stat_statements pg_stat_statements_info",
        dangers=(("pg_stat_statements_reset", _server("resets statistics")),),
    ),
    "pg_buffercache": Reviewed(
        _VOLATILE,
        reads=True,
        harmless="pg_buffercache_pages pg_buffercache_summary pg_buffercache_usage_counts",
        dangers=(("pg_buffercache_evict*", _server("empties the cache of the server")),),
    ),
    "pg_freespacemap": Reviewed(_VOLATILE, reads=True, harmless="pg_freespace"),
    "pg_visibility": Reviewed(
        _SCANS,
        reads=True,
        dangers=(("pg_truncate_visibility_map", _server("truncates a table's visibility map")),),
    ),
    "pgstattuple": Reviewed(_SCANS, harmless="pg_relpages"),
    "pgrowlocks": Reviewed(_SCANS),
    "amcheck": Reviewed(_SCANS),
    "pg_prewarm": Reviewed(
        _SCANS, dangers=(("autoprewarm_*", _server("starts or drives a background process")),)
    ),
    "pageinspect": Reviewed(_PAGES),
    "pg_walinspect": Reviewed(_PAGES),
    "pg_surgery": Reviewed(
        Danger(Effect.DESTRUCTIVE, MarkKind.FUNCTION, "damages rows beyond what can be restored")
    ),
    # Functions for triggers.
    "autoinc": Reviewed(Danger(Effect.WRITE, None, "moves a sequence, which no rollback undoes")),
    "insert_username": Reviewed(_VOLATILE, harmless="insert_username"),
    "moddatetime": Reviewed(_VOLATILE, harmless="moddatetime"),
    "pgaudit": Reviewed(_VOLATILE, harmless="pgaudit_ddl_command_end pgaudit_sql_drop"),
    "lo": Reviewed(
        _VOLATILE,
        reads=True,
        dangers=(
            (
                "lo_manage",
                Danger(Effect.DESTRUCTIVE, MarkKind.LARGE_OBJECT, "removes a large object"),
            ),
        ),
    ),
    "refint": Reviewed(
        _unknown("reads, changes or removes rows of tables that its arguments name")
    ),
    "tcn": Reviewed(Danger(Effect.WRITE, None, "sends a notification to other sessions")),
    # Files, other servers, other sessions.
    "adminpack": Reviewed(_FILES),
    "file_fdw": Reviewed(_FILES),
    **_all(
        _FOREIGN,
        "aws_lambda aws_s3 clickhouse_fdw dblink mongo_fdw multicorn mysql_fdw odbc_fdw oracle_fdw "
        "pg_net redis_fdw tds_fdw wrappers",
    ),
    "http": Reviewed(_OUTSIDE, reads=True),
    "postgres_fdw": Reviewed(_OUTSIDE, harmless="postgres_fdw_get_connections"),
    "pg_background": Reviewed(_LATER),
    "pg_cron": Reviewed(_LATER),
    # Languages: their handlers are called for a body that nobody reads here.
    **_all(
        _HANDLER,
        "pljava plperl plperlu plpgsql plpython2u plpython3u plpythonu plr plrust plsh pltcl "
        "pltclu plv8",
    ),
}
"""Extensions by name. ``timescaledb``, ``pg_graphql``, ``orafce`` and the like are left out on
purpose: they run SQL, start jobs or reach files from functions that look like reads."""


def extension_call(extension: str, function: str, volatility: str) -> Danger | None:
    """What calling ``function`` of ``extension`` does; None when it only reads.

    ``volatility`` is ``pg_proc.provolatile``. A danger holds for functions in every language; None
    says something only of those in C, which need a superuser to define: whoever owns an extension
    can add functions in SQL to it, and the bodies of those are to be read.
    """
    reviewed = EXTENSIONS.get(extension)
    if reviewed is None:
        return _NOT_REVIEWED
    for pattern, danger in reviewed.dangers:
        if pattern == function or (pattern[-1] == "*" and function.startswith(pattern[:-1])):
            return danger
    if function in reviewed.harmless or (reviewed.reads and volatility in ("i", "s")):
        return None
    return reviewed.otherwise
