"""What agents have used: a minute that slides, and rows that are set aside before they change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdpoint.doors.postgres.metering import Ledger, Meter
from holdpoint.model.budget import NO_BUDGET, Budget


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.25

    def __call__(self) -> float:
        return self.now


def meter(clock: Clock, per_minute: int) -> Meter:
    made = Meter(clock)
    made.apply(Budget(statements_per_minute=per_minute))
    return made


def test_without_a_budget_nothing_is_counted() -> None:
    plain = Meter(Clock())
    assert all(plain.take(1_000_000) for _ in range(10))
    plain.apply(NO_BUDGET)
    assert plain.is_idle()


def test_room_comes_back_a_minute_later() -> None:
    clock = Clock()
    rated = meter(clock, 3)
    assert [rated.take() for _ in range(4)] == [True, True, True, False]
    assert rated.seconds_to_room() == 61
    clock.now += 59.5
    assert not rated.take()
    clock.now += 1.5
    assert [rated.take() for _ in range(4)] == [True, True, True, False]


def test_a_message_counts_all_its_statements_or_none() -> None:
    clock = Clock()
    rated = meter(clock, 5)
    assert rated.take(4)
    assert not rated.take(2)
    assert rated.take(1)
    assert rated.seconds_to_room(6) == -1


def test_a_budget_that_changes_keeps_what_was_used() -> None:
    clock = Clock()
    rated = meter(clock, 5)
    assert rated.take(4)
    rated.apply(Budget(statements_per_minute=2))
    assert not rated.take()
    rated.apply(Budget(statements_per_minute=5))
    assert rated.take()


def test_it_is_kept_while_anything_counts() -> None:
    clock = Clock()
    rated = meter(clock, 5)
    rated.sessions = 1
    assert not rated.is_idle()
    rated.sessions = 0
    rated.take()
    assert not rated.is_idle()
    clock.now += 3_600
    assert rated.is_idle()


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 3)), max_size=60))
def test_no_sixty_seconds_hold_too_many(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    rated = meter(clock, 4)
    passed: list[tuple[float, int]] = []
    for wait, count in steps:
        clock.now += wait
        if rated.take(count):
            passed.append((clock.now, count))
        else:
            clock.now += rated.seconds_to_room(count)
            assert rated.take(count), "it said when there would be room"
            passed.append((clock.now, count))
    for start, _ in passed:
        assert sum(count for at, count in passed if start <= at <= start + 60) <= 4


def test_two_statements_never_fit_into_one_remainder() -> None:
    ledger = Ledger(written=90)
    first = ledger.reserve(8, limit=100)
    second = ledger.reserve(8, limit=100)
    assert (first, second, ledger.left(100)) == (8, 2, 0)
    ledger.settle(first, 3)
    assert ledger.left(100) == 5
    ledger.settle(second, 0)
    assert (ledger.written, ledger.reserved, ledger.left(100)) == (93, 0, 7)


def test_more_than_was_set_aside_counts_all_the_same() -> None:
    ledger = Ledger()
    ledger.settle(ledger.reserve(5, limit=10), 25)
    assert ledger.left(10) == 0
