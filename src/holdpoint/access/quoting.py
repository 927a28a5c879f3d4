"""Names and literals in SQL, quoted where the server needs it (manual, section 4.1).

Plain names stay plain: people read these statements before they approve them.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")

# Every key word of PostgreSQL 13 to 18 that is not free to be any name: `pg_get_keywords()`
# without the category `U`. What a later server adds needs no quoting to be safe: the statement
# would not parse, and nothing would be done.
_KEY_WORDS_TEXT: Final = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
boolean both case cast char character check coalesce collate collation column concurrently
constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user dec decimal default deferrable desc distinct do else end except
exists extract false fetch float for foreign freeze from full grant greatest group grouping
having ilike in initially inner inout int integer intersect interval into is isnull join json
json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
json_serialize json_table json_value lateral leading least left like limit localtime
localtimestamp merge_action national natural nchar none normalize not notnull null nullif
numeric offset on only or order out outer overlaps overlay placing position precision primary
real references returning right row select session_user setof similar smallint some
substring symmetric system_user table tablesample then time timestamp to trailing treat trim
true union unique user using values varchar variadic verbose when where window with
xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
xmlserialize xmltable
"""
_KEY_WORDS: Final = frozenset(_KEY_WORDS_TEXT.split())


def identifier(name: str) -> str:
    """Return a name as SQL writes it."""
    if _PLAIN.fullmatch(name) and name not in _KEY_WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """Return ``schema.name``, or the name alone where there is no schema."""
    return f"{identifier(schema)}.{identifier(name)}" if schema else identifier(name)


def literal(text: str) -> str:
    """Return a string literal that reads the same whatever the session's settings are."""
    quoted = text.replace("'", "''")
    if "\\" in text:
        return "E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"
