"""``settings`` of a tier: server settings that every session of it starts with."""

from __future__ import annotations

import re
from typing import Any, Final

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.model.limits import SETTING_CHARS_MAX
from holdpoint.sql.settings import judge_setting

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_OWN: Final = ("holdpoint.", "_pq_.")  # told to sessions; options of the protocol itself
_ROLE: Final = "the URL's user is whom sessions act as"
_READ: Final = "the gate reads statements as it stands; leave it out"
_SAFE: Final = "it takes away what holds agents to their tier; leave it out"
_ACCESS: Final = "`access` says whether a session may write"
_PATH: Final = "leave `pg_catalog` out of it, or first in it; leave `pg_temp` out"
# Settings that the gate sets itself, or that what it reads, counts or enforces rests on.
_NOT_HERE: Final = {
    "allow_system_table_mods": _SAFE,
    "application_name": "clients name themselves; leave it out",
    "backslash_quote": _READ,
    "client_encoding": _READ,
    "database": "the URL names the database",
    "default_transaction_read_only": _ACCESS,
    "dynamic_library_path": _SAFE,
    "idle_in_transaction_session_timeout": "write `idle_in_transaction` in the tier's `budget`",
    "is_superuser": _ROLE,
    "local_preload_libraries": _SAFE,
    "lo_compat_privileges": _SAFE,
    "lock_timeout": "write `lock_time` in the tier's `budget`",
    "options": "give each setting its own key",
    "replication": "replication does not go through the gate",
    "role": _ROLE,
    "plpgsql.variable_conflict": _READ,
    "row_security": "row security stays as the database has it; leave it out",
    "session_authorization": _ROLE,
    "session_preload_libraries": _SAFE,
    "session_replication_role": "triggers and foreign keys stay on; leave it out",
    "standard_conforming_strings": _READ,
    "statement_timeout": "write `statement_time` in the tier's `budget`",
    "track_counts": "the gate counts changed rows by it; leave it out",
    "transaction_read_only": _ACCESS,
    "transaction_timeout": "write `statement_time` in the tier's `budget`",
    "transform_null_equals": _READ,
    "user": _ROLE,
}


def read_settings(table: dict[str, Any], path: Path, notes: Notes) -> tuple[tuple[str, str], ...]:
    """Names in small letters and values as text."""
    found: dict[str, str] = {}
    for written, value in table.items():
        name, place = written.lower(), (*path, written)
        text = _text(value)
        if not _NAME.fullmatch(written):
            notes.problem(place, f"`{written}` cannot name a setting", "write `work_mem`")
        elif name in _NOT_HERE:
            notes.problem(place, f"`{written}` is not set here", _NOT_HERE[name])
        elif name.startswith(_OWN):
            notes.problem(place, f"`{written}` is the gate's own", "leave it out")
        elif name == "search_path" and judge_setting(name, [text]).effect is not None:
            notes.problem(place, "the search path could hide names of `pg_catalog`", _PATH)
        elif name in found:
            notes.problem(place, f"`{written}` stands twice")
        if not isinstance(value, str | bool | int | float):
            notes.problem(place, f"`{written}` must be text, a number, true or false")
        elif len(text) > SETTING_CHARS_MAX or _CONTROL.search(text):
            notes.problem(place, f"the value of `{written}` is too long or has control characters")
        found[name] = text
    return tuple(found.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
