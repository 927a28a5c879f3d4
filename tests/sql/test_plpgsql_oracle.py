"""The same bodies read by libpg_query's parser of PL/pgSQL: what it finds, ours finds too.

It is no oracle for everything, and no part of the product: docs/decisions/0005.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from holdpoint.sql.plpgsql import code_of
from sql.plpgsql_corpus import BODIES, changed_bodies

_RESULT: Any = type(ctypes.Structure)(
    "PgQueryPlpgsqlParseResult",
    (ctypes.Structure,),
    {"_fields_": [("functions", ctypes.c_char_p), ("error", ctypes.c_void_p)]},
)


def _library() -> Any:
    spec = find_spec("postgast")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    library = ctypes.CDLL(str(next(folder.glob("libpg_query.*"))))
    library.pg_query_parse_plpgsql.argtypes = [ctypes.c_char_p]
    library.pg_query_parse_plpgsql.restype = _RESULT
    library.pg_query_free_plpgsql_parse_result.argtypes = [_RESULT]
    return library


LIBRARY = _library()


def queries_of(body: str) -> list[str] | None:
    """The SQL that libpg_query finds in ``body``; None where it refuses it."""
    head = "CREATE FUNCTION f(int) RETURNS SETOF int LANGUAGE plpgsql AS"
    result = LIBRARY.pg_query_parse_plpgsql(f"{head} $xx$ {body} $xx$".encode())
    try:
        tree = None if result.error else json.loads(result.functions)
    finally:
        LIBRARY.pg_query_free_plpgsql_parse_result(result)
    found: list[str] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if isinstance(item.get("query"), str):
                found.append(item["query"])
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return None if tree is None else found


def numbered(body: str) -> str:
    """``body`` with another name for each function and table that it names."""
    parts = re.split(r"\b([gtu])\b", body)
    return "".join(f"{part}{at}" if at % 2 else part for at, part in enumerate(parts))


def missing(body: str) -> set[str]:
    """The names in SQL that libpg_query finds in ``body`` and Holdpoint does not."""
    body = numbered(body)
    queries = queries_of(body)
    code = code_of(body)
    if queries is None or code.unknowns:
        return set()
    return names_in(queries) - names_in(code.statements)


def names_in(texts: Iterable[str]) -> set[str]:
    """The numbered names in some texts."""
    return {name for text in texts for name in re.findall(r"\b[gtu][0-9]+\b", text)}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[-40:])
def test_nothing_is_lost_that_the_other_parser_finds(body: str) -> None:
    assert queries_of(numbered(body)) is not None
    assert missing(body) == set()


@given(changed_bodies())
@settings(max_examples=300)
def test_nothing_is_lost_in_bodies_that_were_changed(body: str) -> None:
    assert missing(body) == set()
