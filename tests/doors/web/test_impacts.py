"""The impact on the case page: sentences first, bars in proportion, names never markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from holdpoint import sql
from holdpoint.audit.impacts import impact_document
from holdpoint.doors.web.impacts import impact_view
from holdpoint.doors.web.render import environment
from holdpoint.doors.web.views import hold_view
from holdpoint.impact.words import sentences
from holdpoint.model.finding import Finding
from holdpoint.model.impact import (
    Basis,
    Cascade,
    Figure,
    Firing,
    Impact,
    LockMode,
    ReadCost,
    TableImpact,
    TableUser,
    Undo,
)
from support.web import Review

pytestmark = pytest.mark.anyio

TEXT = "DELETE FROM orders WHERE created_at < '2025-01-01'"


def estimate(value: int) -> Figure:
    return Figure(value, Basis.ESTIMATE)


def table(name: str, whole: int, **more: Figure) -> TableImpact:
    return TableImpact(
        name=name,
        table_rows=estimate(whole),
        lock=LockMode.ROW_EXCLUSIVE,
        blocks="only changes of the same rows, and what locks the table, wait",
        **more,
    )


IMPACT = Impact(
    rows=estimate(48_211),
    tables=(
        table("public.orders", 192_844, rows=estimate(48_211)),
        table("public.order_items", 131_002),
        table("public.shipments", 9_000_000),
    ),
    cascades=(
        Cascade(
            level=2,
            table="public.shipments",
            constraint="s",
            action="delete",
            through="public.order_items",
            rows=Figure(None, Basis.UNKNOWN, "counting took over 2 s"),
        ),
        Cascade(
            level=1,
            table="public.order_items",
            constraint="i",
            action="delete",
            through="public.orders",
            rows=Figure(131_002, Basis.EXACT),
        ),
    ),
    firings=(
        Firing(
            table="public.orders",
            name="<b>webhook</b>",
            when="after delete, each row",
            does=("sends a notification",),
            outside=True,
        ),
    ),
    users=(TableUser(table="public.orders", kind="application", name="checkout", detail="3 now"),),
    undo=Undo.WITH_OLD_ROWS,
)
IMPACT = replace(IMPACT, words=sentences(IMPACT, sql.read(TEXT)))


def test_a_bar_for_each_table_in_the_order_of_the_levels():
    view = impact_view(impact_document(IMPACT))
    assert [(bar.table, bar.level, bar.rows, bar.whole) for bar in view.bars] == [
        ("orders", 0, "about 48,211", "of 192,844"),
        ("order_items", 1, "131,002", "of 131,002"),
        ("shipments", 2, "not known", "of 9,000,000"),
    ]
    assert [bar.part for bar in view.bars] == [25.0, 100.0, None]
    assert [bar.doubtful for bar in view.bars] == [False, False, True]


@pytest.mark.parametrize(("rows", "part"), [(0, 0.0), (1, 1.5), (2_000_000, 100.0)])
def test_few_rows_are_seen_and_too_many_stay_inside(rows: int, part: float):
    impact = Impact(tables=(table("t", 1_000_000, rows=estimate(rows)),))
    assert impact_view(impact_document(impact)).bars[0].part == part


@pytest.mark.parametrize(
    "document", [None, {}, {"tables": 3, "words": []}, {"cascades": [{}, 4], "tables": [{}]}]
)
def test_a_document_of_another_form_is_no_accident(document: object):
    assert impact_view(document).words == ()


async def test_the_page_says_first_what_would_happen(door: Review):
    hold = await door.hold(TEXT, impact=impact_document(IMPACT))
    async with door.signed_in("anna") as browser:
        page = (await browser.get(f"/h/{hold.id}")).text
    body = page[page.index('class="body"') :]
    said = [
        body.index(words)
        for words in (
            "removes about 48,211 rows (estimate) of <code>orders</code>, 25% of the table",
            'width="25.00"',
            "by cascade it removes 131,002 rows of <code>order_items</code>",
            "reaches outside",
            "only a copy of the old rows can undo it",
            "Locks, triggers, who else",
            "Why it is held",
        )
    ]
    assert said == sorted(said)
    assert "<b>webhook</b>" not in page
    assert re.search(r'\sstyle="|<style', page) is None


async def test_a_plan_is_shown_as_the_database_wrote_it(door: Review):
    read = ReadCost(cost=9_812, rows=48, plan=("Seq Scan on events  (rows=48)", "  Filter: <x>"))
    impact = Impact(read=read)
    impact = replace(impact, words=sentences(impact, sql.read("SELECT * FROM events")))
    hold = await door.hold("SELECT * FROM events", impact=impact_document(impact))
    async with door.signed_in("anna") as browser:
        page = (await browser.get(f"/h/{hold.id}")).text
    assert "  Filter: &lt;x&gt;" in page
    assert "at a cost of 9,812 planner units (estimate)" in page


async def test_a_case_without_sentences_shows_its_figures_as_before(door: Review):
    hold = await door.hold()
    async with door.signed_in("anna") as browser:
        page = (await browser.get(f"/h/{hold.id}")).text
    assert "What would happen" not in page
    assert "48,211" in page


async def test_what_decided_stands_open_and_the_rest_unfolds(door: Review):
    hold = await door.hold()
    many = tuple(Finding(code=f"HP220{n}", message=f"reason {n}") for n in range(6))
    view = hold_view(replace(hold, findings=many), door.now())
    page = (
        environment()
        .get_template("case.html")
        .render(view=view, person="anna", csrf="", nav="", title="", error="")
    )
    open_part, folded, rest = page.partition("2 more findings")
    assert folded
    assert "reason 3" in open_part
    assert "reason 4" not in open_part
    assert "reason 5" in rest
