"""The table of built-ins and the judgements over it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

import holdpoint.sql.functions as functions
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect
from holdpoint.sql import read

TOOL = Path(__file__).parents[2] / "tools" / "generate_functions.py"

TABLE = json.loads(
    (Path(functions.__file__).parent / "data" / "builtins.json").read_text(encoding="utf-8")
)
BUILT_IN = {*TABLE["immutable"], *TABLE["stable"], *TABLE["volatile"]}


def test_the_table_comes_from_every_supported_major() -> None:
    majors = [int(version.split(".")[0]) for version in TABLE["servers"]]
    assert majors == list(range(functions.OLDEST, functions.NEWEST + 1))
    assert len(BUILT_IN) > 2_800


def test_every_volatile_built_in_is_harmless_dangerous_or_unknown_and_only_one() -> None:
    volatile = set(TABLE["volatile"])
    harmless = volatile & functions.HARMLESS
    dangerous = volatile & set(functions.DANGERS)
    unreviewed = volatile & functions.UNREVIEWED
    assert harmless | dangerous | unreviewed | {"set_config"} == volatile
    assert not harmless & dangerous
    assert not harmless & unreviewed
    assert not dangerous & unreviewed


def test_what_no_review_can_have_meant_is_not_harmless() -> None:
    words = ("terminate", "reload", "read_file", "slot", "import", "export", "reset", "sleep")
    suspects = {name for name in functions.HARMLESS if any(word in name for word in words)}
    reports = {name for name in suspects if name.startswith("pg_stat_get_")}
    assert suspects - reports == {"pg_export_snapshot", "pg_get_replication_slots"}


def test_reviewed_names_are_names_of_built_ins() -> None:
    known_elsewhere = {"coalesce", "greatest", "least", "nullif", "merge_action"}
    assert functions.HARMLESS - BUILT_IN - set(TABLE["types"]) == known_elsewhere


def test_every_danger_has_an_effect_and_a_reason() -> None:
    for name, danger in functions.DANGERS.items():
        assert danger.effect is not Effect.READ, name
        assert len(danger.why) > 10, name
        if danger.mark is None:
            assert danger.effect is Effect.WRITE, name


def test_what_returns_nothing_is_called_for_what_it_does() -> None:
    """Checked against 16 and 18: of the built-ins that return void, these alone are harmless."""
    assert not {"fmgr_c_validator", "fmgr_internal_validator", "fmgr_sql_validator"} & (
        functions.HARMLESS
    )


@pytest.fixture(scope="module")
def live(postgres: EmbeddedPostgres) -> dict[str, Any]:
    """What the tool writes for one server alone."""
    done = subprocess.run(
        [sys.executable, TOOL, postgres.url()], capture_output=True, text=True, check=True
    )
    table: dict[str, Any] = json.loads(done.stdout)
    return table


def test_the_table_says_nothing_safer_than_the_server_does(live: dict[str, Any]) -> None:
    missing = {*live["immutable"], *live["stable"], *live["volatile"]} - BUILT_IN
    assert not missing
    assert set(live["volatile"]) <= set(TABLE["volatile"])
    assert set(live["stable"]) <= {*TABLE["stable"], *TABLE["volatile"]}
    for key in ("information_schema", "types", "operators", "aggregate", "window"):
        assert set(live[key]) <= set(TABLE[key]), key


def test_a_server_has_the_names_it_is_said_to_have(
    live: dict[str, Any], postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url()) as connection:
        major = connection.info.server_version // 10_000
    names = {*live["immutable"], *live["stable"], *live["volatile"]}
    assert {name for name in BUILT_IN if functions.is_built_in(name, major)} == names


def test_names_that_only_some_versions_have() -> None:
    assert functions.is_built_in("pg_start_backup", 14)
    assert not functions.is_built_in("pg_start_backup", 15)
    assert not functions.is_built_in("uuidv7", 16)  # there it is a user's
    assert functions.is_built_in("uuidv7", 19)
    assert functions.is_built_in("lower", 12)
    assert not functions.is_built_in("recalculate_totals", 18)


def test_dangers_of_old_versions_have_been_reviewed() -> None:
    for name in ("pg_start_backup", "pg_stop_backup", "pg_rotate_logfile_old", "pg_read_file_old"):
        assert name in TABLE["partial"]
        assert functions.DANGERS[name].effect is Effect.SERVER_SIDE
    assert functions.DANGERS["currtid"].effect is Effect.UNKNOWN


# Input functions that nobody writes by hand: they run for a cast to, or a value of, such a type,
# and then a catalog shows the type.
TYPE_FUNCTIONS = {
    f"{kind}_{way}" for kind in ("array", "range", "multirange", "record") for way in ("in", "recv")
}
BEHIND = """
    SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p JOIN (
        SELECT castfunc FROM pg_catalog.pg_cast
        UNION SELECT unnest(ARRAY[oprcode, oprrest, oprjoin]) FROM pg_catalog.pg_operator
        UNION SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout])
            FROM pg_catalog.pg_type WHERE typtype IN ('b', 'r', 'm')
        UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,
            aggmtransfn, aggminvtransfn, aggmfinalfn]) FROM pg_catalog.pg_aggregate
        UNION SELECT prosupport FROM pg_catalog.pg_proc
    ) AS behind (function) ON behind.function = p.oid
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
"""


def test_what_runs_behind_operators_casts_types_and_aggregates_only_reads(
    postgres: EmbeddedPostgres,
) -> None:
    """So built-in operators, casts and aggregates pass without a look at their functions."""
    with psycopg.connect(postgres.url()) as connection:
        behind = {row[0] for row in connection.execute(BEHIND)}
    assert len(behind) > 1_000
    assert behind - functions.HARMLESS <= TYPE_FUNCTIONS


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pg_input_is_valid('1', 'evil_domain')",
        "SELECT domain_in('1', 16999, -1)",
        "SELECT pg_catalog.record_in('(1)', 16999, -1)",
    ],
)
def test_a_type_given_as_a_value_is_not_seen(call: str) -> None:
    assert Effect.UNKNOWN in read(call).effects
