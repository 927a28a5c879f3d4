"""Settings: an allow-list with a reason each."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Effect
from holdpoint.sql.settings import HARMLESS_SETTINGS, READ_ONLY_SETTINGS, judge_setting


def test_every_harmless_setting_says_why_and_is_in_lower_case() -> None:
    for name, (values, why) in HARMLESS_SETTINGS.items():
        assert name == name.lower()
        assert values, name
        assert why, name


def test_nothing_that_writes_is_on_the_list() -> None:
    never = {
        *READ_ONLY_SETTINGS,
        "role",
        "session_authorization",
        "session_replication_role",
        "local_preload_libraries",
        "session_preload_libraries",
        "dynamic_library_path",
        "default_tablespace",
        "temp_tablespaces",
        "allow_system_table_mods",
        "zero_damaged_pages",
        "lo_compat_privileges",
        "check_function_bodies",
        "debug_parallel_query",
        "synchronous_commit",
    }
    assert not never & set(HARMLESS_SETTINGS)


@pytest.mark.parametrize("value", ["on", "TRUE", "1", "yes"])
def test_read_only_may_be_turned_on(value: str) -> None:
    for name in READ_ONLY_SETTINGS:
        assert judge_setting(name, [value]).effect is None


@pytest.mark.parametrize("values", [["off"], ["0"], ["no"], [""], ["on", "off"], [], None])
def test_read_only_may_not_be_turned_off(values: list[str] | None) -> None:
    for name in READ_ONLY_SETTINGS:
        assert judge_setting(name, values).effect is Effect.SESSION_ESCAPE
        assert judge_setting(name.upper(), values).effect is Effect.SESSION_ESCAPE


@pytest.mark.parametrize(
    "path",
    [["pg_catalog", "app"], ["app", "public"], [""], ["pg_catalog"], ['"$user"', "public"]],
)
def test_paths_that_hide_nothing(path: list[str]) -> None:
    assert judge_setting("search_path", path).effect is None


@pytest.mark.parametrize(
    "path",
    [
        ["app", "pg_catalog"],
        ["app, pg_catalog"],
        ['app,"pg_catalog"'],
        ["pg_temp"],
        ["pg_catalog", "pg_temp_3"],
        ["app", "PG_CATALOG"],
        None,
    ],
)
def test_paths_that_could_hide_built_in_names(path: list[str] | None) -> None:
    assert judge_setting("search_path", path).effect is Effect.SESSION_ESCAPE
