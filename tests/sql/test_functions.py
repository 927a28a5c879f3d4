"""The table of built-ins and the judgements over it."""

from __future__ import annotations

import json
from pathlib import Path

import holdpoint.sql.functions as functions
from holdpoint.model.effects import Effect

TABLE = json.loads(
    (Path(functions.__file__).parent / "data" / "builtins.json").read_text(encoding="utf-8")
)
BUILT_IN = {*TABLE["immutable"], *TABLE["stable"], *TABLE["volatile"]}


def test_the_table_comes_from_both_supported_servers() -> None:
    assert [version.split(".")[0] for version in TABLE["servers"]] == ["16", "18"]
    assert len(BUILT_IN) > 2_700


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
