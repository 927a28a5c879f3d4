"""The picture of a replay: what is drawn is what was counted."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from holdpoint.access.replay.plot import BAR_CHARS, SIGNS, lines_of, svg_of, whole_days
from holdpoint.access.replay.replay import Outcome

ALLOWED, HELD = Outcome.ALLOWED, Outcome.HELD
SAME = (Counter({ALLOWED: 10}), Counter({ALLOWED: 10}))
OTHER = (Counter({ALLOWED: 100, HELD: 1}), Counter({ALLOWED: 51, HELD: 50}))
RECT = "{http://www.w3.org/2000/svg}rect"


def test_days_without_statements_are_there() -> None:
    assert list(whole_days({"2030-05-01": SAME, "2030-05-04": SAME})) == [
        "2030-05-01",
        "2030-05-02",
        "2030-05-03",
        "2030-05-04",
    ]


def test_a_clock_that_jumped_makes_no_years_of_empty_days() -> None:
    assert list(whole_days({"1970-01-01": SAME, "2030-05-04": SAME})) == [
        "1970-01-01",
        "2030-05-04",
    ]


def test_lines() -> None:
    _, same, then, now = lines_of({"2030-05-01": SAME, "2030-05-02": OTHER})
    assert same.split() == ["2030-05-01", SIGNS[ALLOWED] * 5, "10"]
    # What is there at all has a sign, however little it is.
    assert then.split()[:3] == ["2030-05-02", "then", SIGNS[ALLOWED] * 50 + SIGNS[HELD]]
    assert now.split()[1] == SIGNS[ALLOWED] * 25 + SIGNS[HELD] * 25
    assert lines_of({}) == []
    assert BAR_CHARS == 50


def test_heights_are_in_proportion() -> None:
    picture = ElementTree.fromstring(svg_of({"2030-05-02": OTHER}, 'a <title> & "more"'))
    heights = {
        each[0].text: float(each.attrib["height"]) for each in picture.iter(RECT) if len(each)
    }
    assert set(heights) == {
        "2030-05-02 then: 100 allowed",
        "2030-05-02 then: 1 held",
        "2030-05-02 now: 51 allowed",
        "2030-05-02 now: 50 held",
    }
    one = heights["2030-05-02 then: 1 held"]
    assert abs(heights["2030-05-02 then: 100 allowed"] / one - 100) < 2
    assert abs(heights["2030-05-02 now: 50 held"] / one - 50) < 1


def test_nothing_is_drawn_of_nothing() -> None:
    picture = ElementTree.fromstring(svg_of({}, "nothing"))
    assert not [each for each in picture.iter(RECT) if len(each)]
