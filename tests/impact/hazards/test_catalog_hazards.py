"""Hazards that only a catalog shows: their words, and their examples against real databases."""

from __future__ import annotations

import pytest

from holdpoint.impact.hazards import HAZARDS, findings_of
from holdpoint.model.effects import Effect, Mark, MarkKind, Reading, Statement

SAYS = [
    (
        Mark(MarkKind.TRIGGER_OUTSIDE, "shop.orders", "`tell` sends a notification"),
        "HP2203",
        "a trigger of `shop.orders` reaches outside: 'tell' sends a notification",
    ),
    (
        Mark(MarkKind.CASCADE, "items", "delete through items_order_id_fkey"),
        "HP2202",
        "a foreign key changes rows of `items` as well: delete through items_order_id_fkey",
    ),
    (
        Mark(MarkKind.THROUGH, "forget()", "bulk_write on orders"),
        "HP2201",
        "it sets off `forget()`, which does more: bulk_write on orders",
    ),
    (
        Mark(MarkKind.DYNAMIC_SQL, "close_all", "3"),
        "HP1007",
        "`close_all` builds SQL as it runs (line 3): nobody can read it",
    ),
    (
        Mark(MarkKind.UNREADABLE_BODY, "guess", "plpython3u"),
        "HP1008",
        "`guess` holds code in `plpython3u` that cannot be read",
    ),
    (
        Mark(MarkKind.DEFINER_CALL, "all_orders", "shop_owner"),
        "HP4104",
        "`all_orders` acts with the rights of its owner `shop_owner`",
    ),
    (
        Mark(MarkKind.ROLE_UNSURE, "role", "set inside a function"),
        "HP4204",
        "the role it runs as depends on `role`: set inside a function",
    ),
    (
        Mark(MarkKind.NAMES_UNSURE, "search_path", "set inside a function"),
        "HP1011",
        "which objects are meant depends on `search_path`: set inside a function",
    ),
    (
        Mark(MarkKind.EVENT_TRIGGER, "note", "write on log"),
        "HP3204",
        "the change sets off the event trigger `note`: write on log",
    ),
    (
        Mark(MarkKind.NO_CATALOG, "", "connection refused"),
        "HP1009",
        "the catalog is not known, so no trigger or function is: connection refused",
    ),
    (
        Mark(MarkKind.SHADOWED, "lower", "public"),
        "HP1010",
        "`lower` may not be the built-in: another one stands in schema `public`",
    ),
]


def with_mark(mark: Mark) -> Reading:
    statement = Statement(
        tag="SELECT", text="SELECT 1", effects=frozenset((Effect.READ,)), marks=(mark,)
    )
    return Reading(text="SELECT 1", statements=(statement,), effects=statement.effects)


@pytest.mark.parametrize(("mark", "code", "message"), SAYS, ids=lambda value: str(value)[:30])
def test_a_mark_becomes_a_finding_in_words(mark: Mark, code: str, message: str) -> None:
    (finding,) = findings_of(with_mark(mark))
    assert finding.code == code
    assert finding.message == message
    assert finding.hint


@pytest.mark.parametrize("mark", [mark for mark, _, _ in SAYS], ids=lambda mark: mark.kind.value)
def test_a_mark_without_details_still_makes_a_sentence(mark: Mark) -> None:
    (finding,) = findings_of(with_mark(Mark(mark.kind, mark.subject)))
    assert not finding.message.endswith((":", " ", "`)", "()"))
    assert "``" not in finding.message
    assert finding.message.count("`") % 2 == 0


def test_hazards_with_a_schema_show_what_hits_and_what_misses() -> None:
    for hazard in HAZARDS:
        if hasattr(hazard, "EXAMPLES_SCHEMA"):
            assert hazard.EXAMPLES_HIT
            assert hazard.EXAMPLES_MISS
