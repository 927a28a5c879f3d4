"""How many rows of a budget a statement wants before it runs, and has used when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from holdpoint import sql
from holdpoint.model.steps import Execution
from holdpoint.policy.bounds import rows_used, rows_wanted

TWO = "INSERT INTO a VALUES (1), (2)"
SOME = "UPDATE a SET x = 1 WHERE y = 2"
BOTH = f"{TWO}; {TWO}"


@pytest.mark.parametrize(
    ("text", "bound", "wanted"),
    [
        (TWO, None, 2),
        (TWO, 1_000, 2),
        (TWO, 1, 1),
        (BOTH, None, 4),
        (SOME, 1_000, 1_000),
        (SOME, None, None),
        (f"{TWO}; {SOME}", 500, 500),
    ],
)
def test_what_the_text_proves_or_policy_bounds(
    text: str, bound: int | None, wanted: int | None
) -> None:
    assert rows_wanted(sql.read(text), bound) == wanted


@pytest.mark.parametrize(
    ("text", "execution", "used"),
    [
        (SOME, {"tag": "UPDATE 3", "rows": 3, "changed": 7}, 7),
        (SOME, {"tag": "UPDATE 3", "rows": 3, "changed": 70, "rolled_back": True}, 0),
        (TWO, {"tag": "INSERT 0 1", "rows": 1}, 1),
        (TWO, {"sqlstate": "23505"}, 0),
        (TWO, {"ran": False, "sqlstate": "25P02"}, 0),
        # What is not known counts whole.
        (TWO, {"complete": False, "sqlstate": "08006"}, 9),
        (BOTH, {"tag": "INSERT 0 2", "rows": 2}, 9),
        (BOTH, {"sqlstate": "23505"}, 9),
        ("CALL tidy()", {"sqlstate": "23505"}, 9),
        (
            "WITH d AS (DELETE FROM a RETURNING 1) SELECT * FROM d",
            {"tag": "SELECT 0", "rows": 0},
            9,
        ),
    ],
)
def test_never_fewer_than_may_have_stayed(text: str, execution: dict[str, Any], used: int) -> None:
    assert rows_used(sql.read(text), Execution(**execution), granted=9) == used
