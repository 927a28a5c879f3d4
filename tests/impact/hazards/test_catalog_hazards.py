"""Hazards that only a catalog shows: their words, and their examples against real databases."""

from __future__ import annotations

import psycopg
import pytest

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.impact.hazards import HAZARDS, Hazard, findings_of
from holdpoint.model.effects import Effect, Mark, MarkKind, Reading, Statement
from holdpoint.sql import read
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

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
        Mark(MarkKind.THROUGH, "function public.forget", "bulk_write, write"),
        "HP2201",
        "it sets off `function public.forget`, which changes every row of a table and changes rows",
    ),
    (
        Mark(MarkKind.DYNAMIC_SQL, "close_all", "builds SQL while it runs, in line 3"),
        "HP1007",
        "`close_all` builds SQL while it runs, in line 3",
    ),
    (
        Mark(MarkKind.UNREADABLE_BODY, "guess", "is written in `plpython3u`"),
        "HP1008",
        "`guess` is written in 'plpython3u'",
    ),
    (
        Mark(MarkKind.DEFINER_CALL, "all_orders", "shop_owner"),
        "HP4104",
        "`all_orders` acts with the rights of its owner `shop_owner`",
    ),
    (
        Mark(MarkKind.ROLE_UNSURE, "role", "the session may act as `a`"),
        "HP4204",
        "the role it would run as is not certain: the session may act as 'a'",
    ),
    (
        Mark(MarkKind.NAMES_UNSURE, "transaction", "it has defined code"),
        "HP1010",
        "what its names mean is not certain: it has defined code",
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


WITH_SCHEMA = [hazard for hazard in HAZARDS if hasattr(hazard, "EXAMPLES_SCHEMA")]


@pytest.mark.anyio
@pytest.mark.parametrize("hazard", WITH_SCHEMA, ids=lambda hazard: hazard.CODE)
async def test_examples_against_a_real_catalog(
    hazard: Hazard, postgres18: EmbeddedPostgres
) -> None:
    with fresh_database(postgres18, getattr(hazard, "EXAMPLES_SCHEMA", "")) as name:
        url = postgres18.url(database=name)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            catalog = Catalog(await read_catalog(connection))
    assert hazard.EXAMPLES_HIT
    assert hazard.EXAMPLES_MISS
    for text in hazard.EXAMPLES_HIT:
        found = findings_of(read(text, catalog=catalog))
        assert hazard.CODE in {finding.code for finding in found}, text
    for text in hazard.EXAMPLES_MISS:
        reading = read(text, catalog=catalog)
        assert reading.problem is None
        assert hazard.CODE not in {finding.code for finding in findings_of(reading)}, text
