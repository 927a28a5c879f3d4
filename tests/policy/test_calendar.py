"""Business hours by the clock on the target's wall, and freezes."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest
from policy_cases import SHOP

from holdpoint.model.target import BusinessHours, Freeze
from holdpoint.policy.calendar import freeze_at, in_business_hours, read_business_hours

WEEK = frozenset(range(5))


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("Mon-Fri 08:00-18:00", WEEK, time(8), time(18)),
        ("mon,WED 09:00-17:30", {0, 2}, time(9), time(17, 30)),
        ("Sat-Mon 22:00-06:00", {5, 6, 0}, time(22), time(6)),
        ("Mon-Sun 00:00-24:00", set(range(7)), time(0), time(0)),
        ("Mon-Tue,Fri 8:00 - 9:00", {0, 1, 4}, time(8), time(9)),
    ],
)
def test_reading(text: str, days: set[int], start: time, end: time) -> None:
    assert read_business_hours(text) == BusinessHours(days=frozenset(days), start=start, end=end)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("always", "write days and hours"),
        ("Mon-Fri 08:00", "write days and hours"),
        ("Mon-Fry 08:00-18:00", "`fry` is no day"),
        ("Mon, 08:00-18:00", "`` is no day"),
        ("Mon 08:00-24:30", "`24:30` is no time"),
        ("Mon 08:60-09:00", "`08:60` is no time"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_business_hours(text)


def hours(text: str, moment: str, zone: str = "Europe/Berlin") -> bool:
    target = replace(SHOP, timezone=zone, business_hours=read_business_hours(text))
    return in_business_hours(target, datetime.fromisoformat(moment).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-24T06:59:59", False),  # Tuesday, 07:59:59 in Berlin
        ("2026-11-24T07:00:00", True),
        ("2026-11-24T16:59:59", True),
        ("2026-11-24T17:00:00", False),  # the end is outside
        ("2026-11-22T10:00:00", False),  # Sunday
        # Clocks go back on Sunday, 25 October 2026: 8:00 is 6:00 UTC before and 7:00 UTC after it.
        ("2026-10-23T06:00:00", True),
        ("2026-10-26T06:00:00", False),
        ("2026-10-26T07:00:00", True),
        # Clocks go forward on Sunday, 29 March 2026.
        ("2026-03-27T06:59:00", False),
        ("2026-03-30T06:00:00", True),
    ],
)
def test_days_and_summer_time(moment: str, inside: bool) -> None:
    assert hours("Mon-Fri 08:00-18:00", moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-27T21:59:00", False),  # Friday, before the shift
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T05:59:00", True),  # Saturday morning belongs to Friday's shift
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T23:00:00", False),  # no shift starts on Saturday
        ("2026-11-23T03:00:00", False),  # nor did one on Sunday
    ],
)
def test_a_shift_over_midnight(moment: str, inside: bool) -> None:
    assert hours("Mon-Fri 22:00-06:00", moment, "UTC") is inside


def test_equal_ends_are_a_whole_day() -> None:
    assert hours("Sun 00:00-24:00", "2026-11-22T23:59:59", "UTC")
    assert not hours("Sun 00:00-24:00", "2026-11-23T00:00:00", "UTC")


def test_half_hour_zones() -> None:
    assert hours("Mon-Fri 08:00-18:00", "2026-11-24T02:30:00", "Asia/Kolkata")
    assert not hours("Mon-Fri 08:00-18:00", "2026-11-24T02:29:00", "Asia/Kolkata")


def test_no_hours_are_all_hours() -> None:
    night = datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert in_business_hours(replace(SHOP, business_hours=None), night)


def test_a_moment_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="no time zone"):
        in_business_hours(SHOP, naive)
    with pytest.raises(ValueError, match="no time zone"):
        freeze_at(SHOP, naive)


def test_a_freeze_has_its_start_and_not_its_end() -> None:
    start, end = datetime(2026, 12, 18, tzinfo=UTC), datetime(2027, 1, 6, tzinfo=UTC)
    longer = Freeze(name="year", start=start, end=end)
    shorter = Freeze(name="sale", start=start, end=datetime(2026, 12, 20, tzinfo=UTC))
    target = replace(SHOP, freezes=(shorter, longer))
    assert freeze_at(target, start) == longer, "of several, the one that ends last"
    assert freeze_at(target, end) is None
    assert freeze_at(target, datetime(2026, 12, 17, 23, 59, tzinfo=UTC)) is None
