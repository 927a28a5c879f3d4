"""Every hazard: its examples, its page, its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdpoint.impact import hazards
from holdpoint.impact.hazards import (
    HAZARDS,
    IMPACT_HAZARDS,
    SILENT,
    Hazard,
    encoding,
    findings_of,
)
from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import MarkKind, SessionView
from holdpoint.model.limits import FINDING_QUOTE_CHARS_MAX
from holdpoint.sql import DEFAULT_VIEW, read

PAGES = Path(__file__).parents[3] / "docs" / "hazards"
# Made by policy, from more than the text.
RESERVED = {"HP2204", "HP3301", "HP3302", "HP7001", "HP7002", "HP7003", "HP7004"}
TITLES = {hazard.CODE: hazard.TITLE for hazard in HAZARDS} | {
    hazard.CODE: hazard.TITLE for hazard in IMPACT_HAZARDS
}
# Hazards that only a catalog shows bring the tables and functions of their examples along; see
# test_catalog_hazards.py.
FROM_TEXT = [hazard for hazard in HAZARDS if not hasattr(hazard, "EXAMPLES_SCHEMA")]
HIT = [(hazard, text) for hazard in FROM_TEXT for text in hazard.EXAMPLES_HIT]
MISS = [(hazard, text) for hazard in HAZARDS for text in hazard.EXAMPLES_MISS]


def session_of(hazard: Hazard) -> SessionView:
    return encoding.SESSION if hazard.CODE == encoding.CODE else DEFAULT_VIEW


def name(value: object) -> str:
    return value[:50] if isinstance(value, str) else str(getattr(value, "CODE", value))


@pytest.mark.parametrize(("hazard", "text"), HIT, ids=name)
def test_an_example_that_hits_gives_the_finding(hazard: Hazard, text: str) -> None:
    found = findings_of(read(text, session=session_of(hazard)))
    assert hazard.CODE in {finding.code for finding in found}


@pytest.mark.parametrize(("hazard", "text"), MISS, ids=name)
def test_an_example_that_misses_does_not(hazard: Hazard, text: str) -> None:
    reading = read(text, session=session_of(hazard))
    assert reading.problem is None or hazard.CODE == "HP1001"
    assert hazard.CODE not in {finding.code for finding in findings_of(reading)}


@pytest.mark.parametrize(("hazard", "text"), HIT, ids=name)
def test_messages_are_words_for_people(hazard: Hazard, text: str) -> None:
    for finding in findings_of(read(text, session=session_of(hazard))):
        assert finding.hint
        assert finding.message.count("`") % 2 == 0
        assert not re.search(r"\b(None|True|False|frozenset|object at)\b", finding.message)
        assert "``" not in finding.message


def test_codes_are_unique_in_order_and_well_formed() -> None:
    codes = [hazard.CODE for hazard in HAZARDS]
    assert codes == sorted(set(codes))
    of_impact = [hazard.CODE for hazard in IMPACT_HAZARDS]
    assert of_impact == sorted(set(of_impact) - set(codes))
    codes += of_impact
    assert all(re.fullmatch(r"HP\d{4}", code) for code in codes)
    assert not RESERVED & set(codes)


def test_every_module_of_the_package_is_in_the_list() -> None:
    folder = Path(hazards.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "wording"}
    assert len(files) == len(TITLES)
    assert {getattr(hazards, file).CODE for file in files} == set(TITLES)


def test_every_code_has_a_page_that_says_all_four_things() -> None:
    for code, title in TITLES.items():
        page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {code}: {title}\n")
    for code in set(TITLES) | RESERVED:
        page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
        for heading in ("What it does", "Why it is dangerous", "Example", "What to do instead"):
            assert f"\n## {heading}\n" in page, code


def test_every_kind_of_mark_has_a_hazard_that_speaks_of_it() -> None:
    spoken = frozenset[MarkKind]().union(*(hazard.MARKS for hazard in HAZARDS))
    assert spoken | SILENT == set(MarkKind)
    assert not spoken & SILENT


def test_a_plain_read_has_no_findings() -> None:
    assert findings_of(read("SELECT a FROM t WHERE id = 1")) == ()


def test_the_message_names_the_table() -> None:
    (finding,) = findings_of(read("DELETE FROM orders"))
    assert finding.message == "DELETE without WHERE removes every row of `orders`"
    (finding,) = findings_of(read("UPDATE shop.orders SET a = 1"))
    assert finding.message == "UPDATE without WHERE changes every row of `shop.orders`"


def test_the_same_danger_twice_is_one_finding() -> None:
    assert len(findings_of(read("DELETE FROM orders; DELETE FROM orders"))) == 1
    assert len(findings_of(read("DELETE FROM orders; DELETE FROM users"))) == 2


def test_what_users_wrote_cannot_break_out_of_its_quotes() -> None:
    (finding,) = findings_of(read('DELETE FROM "a`\nb"'))
    assert finding.message == "DELETE without WHERE removes every row of `a' b`"
    assert len(clip("x" * 1_000)) == FINDING_QUOTE_CHARS_MAX + 3


def test_what_does_not_print_cannot_hide_what_a_name_is() -> None:
    assert clip("a\x1b[2Kb") == "a?[2Kb"
    assert clip("\u202eresu") == "?resu"
    assert clip("grüße 表") == "grüße 表"
