"""The settings that a startup packet may bring, each with the reason why it is harmless.

Not in the table means refused. The table is about the *start* of a session; what SET may do later
is decided by the gate like any other statement.
"""

import re
from typing import Final, NamedTuple

from holdpoint.wire.postgres.errors import (
    FEATURE_NOT_SUPPORTED,
    INVALID_PARAMETER_VALUE,
    ProtocolError,
)

TEXT: Final = 0  # any text without control characters
FLAG: Final = 1  # a boolean in one of the server's spellings
ON: Final = 2  # a boolean that must be on
WORD: Final = 3  # one of the listed words
ENCODING: Final = 4  # an encoding that the gate reads as the server does
DURATION: Final = 5  # milliseconds or a number with a unit; 0 (no limit) is refused
DIGITS: Final = 6  # -15 to 3

_VALUE_CHARS_MAX: Final = 1_000  # far above any value of these settings
_SHOWN_CHARS: Final = 60
_DURATION_MS_MAX: Final = 2**31 - 1  # PostgreSQL: INT_MAX


class Setting(NamedTuple):
    """A checked setting in the spelling to send to the server."""

    name: str
    value: str


class Rule(NamedTuple):
    """How a setting is checked (``kind``), what it may be, and why it may be set at all."""

    kind: int
    reason: str
    words: tuple[str, ...] = ()


_LEVELS: Final = (
    "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "notice", "warning", "error",
)  # fmt: skip
_TIMEOUT: Final = "ends work earlier; taking the limit away is not allowed"

ALLOWED: Final[dict[str, Rule]] = {
    "application_name": Rule(TEXT, "a label in logs and views"),
    "bytea_output": Rule(WORD, "output format only", ("hex", "escape")),
    "client_encoding": Rule(ENCODING, "the gate reads statements as UTF-8"),
    "client_min_messages": Rule(WORD, "which notices the client sees", _LEVELS),
    "datestyle": Rule(TEXT, "format and order of dates"),
    "extra_float_digits": Rule(DIGITS, "output format only"),
    "geqo": Rule(FLAG, "how the planner searches, not what a statement does"),
    "idle_in_transaction_session_timeout": Rule(DURATION, _TIMEOUT),
    "idle_session_timeout": Rule(DURATION, _TIMEOUT),
    "intervalstyle": Rule(
        WORD, "output format only", ("postgres", "postgres_verbose", "sql_standard", "iso_8601")
    ),
    "jit": Rule(FLAG, "how expressions run, not what a statement does"),
    "lock_timeout": Rule(DURATION, _TIMEOUT),
    "standard_conforming_strings": Rule(ON, "the gate reads backslashes in strings as plain"),
    "statement_timeout": Rule(DURATION, _TIMEOUT),
    "timezone": Rule(TEXT, "the session's time zone"),
    "transaction_timeout": Rule(DURATION, _TIMEOUT),
}
"""The settings a startup packet may bring, by lower-case name."""

# The server reports and documents these with capitals; some drivers look for them that way.
_SPELLED: Final[dict[str, str]] = {
    "datestyle": "DateStyle",
    "intervalstyle": "IntervalStyle",
    "timezone": "TimeZone",
}

_ROLE_HINT: Final = "the tier decides the role; ask for another tier in the database name"
_READ_ONLY_HINT: Final = "the tier decides whether a session may write; name it in the database"
_REFUSED: Final[dict[str, str]] = {
    "default_transaction_read_only": _READ_ONLY_HINT,
    "transaction_read_only": _READ_ONLY_HINT,
    "replication": "replication connections do not go through the gate",
    "role": _ROLE_HINT,
    "session_authorization": _ROLE_HINT,
    "is_superuser": _ROLE_HINT,
    "row_security": "row security stays as the database has it; remove the setting",
    "search_path": "write table names with their schema, or set the path for the role itself",
    "session_replication_role": "triggers and foreign keys stay on; remove the setting",
}
"""What to do instead, for the refused settings that clients are known to send."""

_TRUE: Final = frozenset(("on", "true", "tru", "tr", "t", "yes", "ye", "y", "1"))
_FALSE: Final = frozenset(("off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"))
_UTF8: Final = frozenset(("utf8", "unicode"))
_UNIT_US: Final[dict[str, int]] = {
    "": 1_000,
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_DURATION: Final = re.compile(r"\s*([0-9]{1,18})\s*(us|ms|s|min|h|d|)\s*", re.ASCII)
_DIGITS: Final = re.compile(r"\s*(-?[0-9]{1,2})\s*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check(name: str, value: str) -> Setting:
    """Return the setting to send to the server, or raise a ProtocolError that says why not.

    Names are compared without case, as the server does.
    """
    key = name.lower()
    rule = ALLOWED.get(key) if name.isascii() else None
    if rule is None:
        hint = _REFUSED.get(
            key, "remove it from the connection string, or set it for the role on the server"
        )
        raise ProtocolError(
            f"setting `{shown(name)}` is not allowed at the start of a session",
            FEATURE_NOT_SUPPORTED,
            hint,
        )
    if len(value) > _VALUE_CHARS_MAX or _CONTROL.search(value):
        raise _wrong(name, value, "is too long or has control characters")
    return Setting(_SPELLED.get(key, key), _checked_value(name, value, rule))


def _checked_value(name: str, value: str, rule: Rule) -> str:
    if rule.kind == TEXT:
        return value
    if rule.kind == FLAG or rule.kind == ON:
        return _flag(name, value, rule.kind == ON)
    if rule.kind == WORD:
        word = value.lower()
        if word not in rule.words:
            raise _wrong(name, value, "is none of " + ", ".join(rule.words))
        return word
    if rule.kind == ENCODING:
        return _encoding(name, value)
    if rule.kind == DIGITS:
        found = _DIGITS.fullmatch(value)
        if found is None or not -15 <= int(found.group(1)) <= 3:
            raise _wrong(name, value, "is not a number from -15 to 3")
        return str(int(found.group(1)))
    return _duration(name, value)


def _flag(name: str, value: str, must_be_on: bool) -> str:
    word = value.strip(" ").lower()
    if word in _TRUE:
        return "on"
    if word not in _FALSE:
        raise _wrong(name, value, "is neither on nor off")
    if must_be_on:
        raise _wrong(name, value, "must be on")
    return "off"


def _encoding(name: str, value: str) -> str:
    """Normalise an encoding's name as the server does: only letters and digits count.

    SQL_ASCII means that the server converts nothing; it reads the same bytes as the gate.
    """
    word = "".join([character for character in value.lower() if character.isalnum()])
    if word in _UTF8:
        return "UTF8"
    if word == "sqlascii":
        return "SQL_ASCII"
    raise _wrong(name, value, "is not UTF8: the gate reads statements as UTF-8 only")


def _duration(name: str, value: str) -> str:
    """Return whole milliseconds; what would round to 0 is refused, for 0 means no limit."""
    found = _DURATION.fullmatch(value)
    if found is None:
        raise _wrong(name, value, "is not a whole number with ms, s, min, h, d or no unit")
    milliseconds = int(found.group(1)) * _UNIT_US[found.group(2)] // 1_000
    if milliseconds == 0:
        raise _wrong(name, value, "would take the limit away")
    if milliseconds > _DURATION_MS_MAX:
        raise _wrong(name, value, f"is over {_DURATION_MS_MAX:,} ms")
    return str(milliseconds)


def shown(text: str) -> str:
    """Return ``text`` as fit for a message between backticks: short, printable, no backtick."""
    clean = "".join([c if c.isprintable() and c != "`" else "?" for c in text])
    return clean if len(clean) <= _SHOWN_CHARS else clean[: _SHOWN_CHARS - 1] + "…"


def _wrong(name: str, value: str, why: str) -> ProtocolError:
    return ProtocolError(
        f"setting `{shown(name)}` with value `{shown(value)}` {why}", INVALID_PARAMETER_VALUE
    )
