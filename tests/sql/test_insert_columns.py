"""Which columns an INSERT, MERGE or COPY names: grants narrowed to columns rest on it."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Verb
from holdpoint.sql import read
from holdpoint.sql.walk import COPIED


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("INSERT INTO t (a, b) VALUES (1, 2)", ("a", "b")),
        ("INSERT INTO t VALUES (1, 2)", ()),
        ("INSERT INTO t DEFAULT VALUES", ()),
        ('INSERT INTO t ("COPY FROM") VALUES (1)', ("COPY FROM",)),
        ("COPY t (a, b) FROM STDIN", ("a", "b")),
        ("COPY t FROM STDIN", ()),
        (
            "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
            ("a",),
        ),
    ],
)
def test_columns(text: str, columns: tuple[str, ...]) -> None:
    [use] = [each for each in read(text).statements[0].uses if each.verb is Verb.INSERT]
    assert use.columns == columns


def test_no_column_passes_for_a_copy() -> None:
    assert "\0" in COPIED[0]  # which no statement that reaches a server can hold
    assert read(f'INSERT INTO t ("{COPIED[0]}") VALUES (1)').problem is not None
