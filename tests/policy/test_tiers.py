"""Which tier an agent gets: the least it may use, or the one it names and may use now."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from holdpoint.model.budget import NO_BUDGET, Budget
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy.calendar import hours_words, read_business_hours
from holdpoint.policy.tier_words import budget_words, who_words
from holdpoint.policy.tiers import NoTier, choose, fits, no_longer

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)
SUNDAY_NOON = datetime(2026, 11, 22, 12, tzinfo=BERLIN)
ROBIN = Login(name="robin", agent="robin", scram_verifier="")


def tier(name: str, access: AccessLevel = AccessLevel.READ_ONLY, *allowances: Allowance) -> Tier:
    return Tier(name=name, access=access, url_source="env:X", allowances=allowances)


def shop(*tiers: Tier) -> Target:
    return Target(name="shop", timezone="Europe/Berlin", tiers=tiers)


def only(**said: object) -> Target:
    """A target with one tier that may write, and one allowance for it."""
    return shop(tier("write", AccessLevel.READ_WRITE, Allowance(**said)))  # type: ignore[arg-type]


def of_task(task: str, *given: str) -> Login:
    return Login(name=task, agent="robin", scram_verifier="", task=task, tiers=given)


def is_open(target: Target, at: datetime, login: Login = ROBIN) -> bool:
    try:
        choose(target, "", login, at.astimezone(UTC))
    except NoTier:
        return False
    return True


def refusal(target: Target, name: str, login: Login = ROBIN, at: datetime = MONDAY_NOON) -> Finding:
    with pytest.raises(NoTier) as caught:
        choose(target, name, login, at)
    assert caught.value.finding.code == "HP8013"
    return caught.value.finding


# --- which one ------------------------------------------------------------------------------------


def test_no_name_means_the_least_access_wherever_it_stands_in_the_file() -> None:
    target = shop(
        tier("all", AccessLevel.OWNER), tier("write", AccessLevel.READ_WRITE), tier("replica")
    )
    assert choose(target, "", ROBIN, MONDAY_NOON).name == "replica"


def test_of_equal_ones_the_first_in_the_file() -> None:
    assert choose(shop(tier("b"), tier("a")), "", ROBIN, MONDAY_NOON).name == "b"


def test_no_name_means_the_least_that_this_agent_may_use_now() -> None:
    target = shop(
        tier("reports", AccessLevel.READ_ONLY, Allowance(agents=("mia",))),
        tier(
            "night", AccessLevel.READ_ONLY, Allowance(hours=read_business_hours("Mon 22:00-6:00"))
        ),
        tier("write", AccessLevel.READ_WRITE),
    )
    assert choose(target, "", ROBIN, MONDAY_NOON).name == "write"


def test_a_name_means_that_tier_and_nothing_near_it() -> None:
    target = shop(tier("replica"), tier("write", AccessLevel.READ_WRITE))
    assert choose(target, "write", ROBIN, MONDAY_NOON).name == "write"
    for near in ("Write", "writ", "write ", "*", "write/x"):
        assert "has no tier" in refusal(target, near).message


# --- who ------------------------------------------------------------------------------------------


def test_all_that_an_allowance_says_must_hold_and_one_allowance_is_enough() -> None:
    hours = read_business_hours("Mon-Fri 08:00-18:00")
    target = shop(
        tier(
            "write",
            AccessLevel.READ_WRITE,
            Allowance(agents=("robin",), hours=hours),
            Allowance(agents=("mia",)),
        )
    )
    mia = Login(name="mia", agent="mia", scram_verifier="")
    assert is_open(target, MONDAY_NOON)
    assert not is_open(target, SUNDAY_NOON)
    assert is_open(target, SUNDAY_NOON, mia)


def test_patterns_of_agents() -> None:
    for pattern in ("robin", "r*", "ro?in", "*", "[qr]obin"):
        assert fits((pattern,), "robin"), pattern
    for pattern in ("Robin", "rob", "obin", "r?", "robin?"):
        assert not fits((pattern,), "robin"), pattern
    assert fits((), "robin")
    assert fits(("mia", "rob*"), "robin")


def test_a_tier_for_tasks_is_closed_to_the_agents_own_secret() -> None:
    for pattern in ("t-*", "*"):
        target = only(tasks=(pattern,))
        assert not is_open(target, MONDAY_NOON)
        assert is_open(target, MONDAY_NOON, of_task("t-1"))
    assert not is_open(only(tasks=("t-1",)), MONDAY_NOON, of_task("t-12"))


def test_a_task_is_its_agents() -> None:
    assert is_open(only(agents=("robin",)), MONDAY_NOON, of_task("t-1"))
    assert not is_open(only(agents=("t-1",)), MONDAY_NOON, of_task("t-1"))


def test_a_tier_given_to_a_task_is_open_to_it_at_any_time_and_nothing_else_is() -> None:
    target = shop(
        tier("replica"),
        tier("write", AccessLevel.READ_WRITE, Allowance(agents=("mia",))),
        tier("all", AccessLevel.OWNER, Allowance(agents=("mia",))),
    )
    given = of_task("t-1", "shop/write", "other/all")
    assert choose(target, "write", given, SUNDAY_NOON).name == "write"
    assert choose(target, "", given, SUNDAY_NOON).name == "replica", "still the least"
    refusal(target, "all", given)
    refusal(target, "write", of_task("t-2"))


# --- when -----------------------------------------------------------------------------------------


def test_hours_are_by_the_clock_on_the_targets_wall() -> None:
    target = only(hours=read_business_hours("Mon-Fri 08:00-18:00"))
    opening = datetime(2026, 11, 23, 8, tzinfo=BERLIN)
    assert is_open(target, opening)
    assert not is_open(target, opening - timedelta(seconds=1))
    closing = datetime(2026, 11, 23, 18, tzinfo=BERLIN)
    assert not is_open(target, closing)
    assert is_open(target, closing - timedelta(seconds=1))
    # The same moments of UTC are other hours in summer.
    assert is_open(target, datetime(2026, 7, 6, 6, tzinfo=UTC))
    assert not is_open(target, datetime(2026, 11, 23, 6, tzinfo=UTC))


def test_hours_over_midnight_belong_to_the_day_they_start_on() -> None:
    target = only(hours=read_business_hours("Fri 22:00-06:00"))
    assert is_open(target, datetime(2026, 11, 27, 22, tzinfo=BERLIN))
    assert is_open(target, datetime(2026, 11, 28, 5, 59, tzinfo=BERLIN))
    assert not is_open(target, datetime(2026, 11, 28, 6, tzinfo=BERLIN))
    assert not is_open(target, datetime(2026, 11, 27, 5, tzinfo=BERLIN))
    assert not is_open(target, datetime(2026, 11, 28, 23, tzinfo=BERLIN))


def test_an_hour_that_summer_time_skips_never_comes() -> None:
    target = only(hours=read_business_hours("Sun 02:00-03:00"))
    before = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)  # 01:59:59; a second later it is 03:00
    assert not is_open(target, before)
    assert not is_open(target, before + timedelta(seconds=1))
    assert is_open(target, datetime(2026, 3, 22, 1, tzinfo=UTC)), "a week before, it came"


def test_an_hour_that_comes_twice_counts_twice() -> None:
    target = only(hours=read_business_hours("Sun 02:00-03:00"))
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00, summer time
    assert not is_open(target, first - timedelta(seconds=1))
    assert is_open(target, first)
    assert is_open(target, first + timedelta(minutes=119))
    assert not is_open(target, first + timedelta(hours=2))


def test_from_is_inside_and_until_is_not() -> None:
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    target = only(start=start, end=end)
    second = timedelta(seconds=1)
    assert [is_open(target, at) for at in (start - second, start, end - second, end)] == [
        False, True, True, False,
    ]  # fmt: skip


# --- what is said ---------------------------------------------------------------------------------


def test_a_closed_window_says_when_it_opens() -> None:
    hours = read_business_hours("Mon-Fri 08:00-18:00")
    end = datetime(2026, 11, 30, 23, tzinfo=UTC)
    target = shop(
        tier("replica"),
        tier("write", AccessLevel.READ_WRITE, Allowance(agents=("r*",), hours=hours, end=end)),
    )
    found = refusal(target, "write", at=SUNDAY_NOON)
    assert found.message == "agent `robin` may not use tier `write` of target `shop` now"
    assert found.detail == (
        "`shop/write` is open to it Mon-Fri 08:00-18:00, until 2026-12-01 00:00 Europe/Berlin; "
        "it may use `shop/replica`"
    )
    assert "`holdpoint task request shop/write --reason ...`" in found.hint


def test_a_tier_of_others_says_how_to_ask_and_not_whose_it_is() -> None:
    target = shop(
        tier("replica"),
        tier(
            "write",
            AccessLevel.READ_WRITE,
            Allowance(agents=("mia",), hours=read_business_hours("Mon 01:00-02:00")),
        ),
    )
    found = refusal(target, "write", of_task("t-1"))
    assert found.message == (
        "task `t-1` of agent `robin` may not use tier `write` of target `shop`"
    )
    assert found.detail == "it may use `shop/replica`"
    assert "mia" not in str(found)


def test_without_any_tier_all_windows_are_said() -> None:
    found = refusal(only(hours=read_business_hours("Sat,Sun 00:00-24:00")), "")
    assert found.message == "agent `robin` may not use any tier of target `shop` now"
    assert found.detail == (
        "`shop/write` is open to it Sat-Sun 00:00-24:00 Europe/Berlin; it may use no tier of it now"
    )


def test_a_name_that_is_no_tier_is_shown_on_one_line_and_not_endless() -> None:
    found = refusal(shop(tier("replica")), "x`\n" + "y" * 9000)
    assert len(found.message) < 300
    assert "\n" not in found.message
    assert "it is the least that you may use" in found.hint


def test_a_session_may_go_on_only_while_its_tier_is_open() -> None:
    target = only(agents=("robin",), hours=read_business_hours("Mon-Fri 08:00-18:00"))
    (write,) = target.tiers
    assert no_longer(target, write, ROBIN, MONDAY_NOON) is None
    found = no_longer(target, write, ROBIN, SUNDAY_NOON)
    assert found is not None
    assert found.code == "HP8017"
    assert "Mon-Fri 08:00-18:00 Europe/Berlin" in found.hint
    assert no_longer(target, write, of_task("t-1", "shop/write"), SUNDAY_NOON) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-18:00"),
        ("fri-mon 22:00-6:00", "Mon,Fri-Sun 22:00-06:00"),
        ("Wed 00:00-24:00", "Wed 00:00-24:00"),
    ],
)
def test_hours_in_words_read_as_the_same_hours(text: str, words: str) -> None:
    hours = read_business_hours(text)
    assert hours_words(hours) == words
    assert read_business_hours(words) == hours


def test_who_may_use_a_tier_in_words() -> None:
    hours = read_business_hours("Mon-Fri 08:00-18:00")
    target = shop(
        tier("replica"),
        tier(
            "write",
            AccessLevel.READ_WRITE,
            Allowance(agents=("robin", "ci-*")),
            Allowance(tasks=("t-*",), hours=hours),
        ),
    )
    replica, write = target.tiers
    assert who_words(target, replica) == "every agent"
    assert who_words(target, write) == (
        "robin, ci-*; or every agent, for tasks t-*, Mon-Fri 08:00-18:00 Europe/Berlin"
    )


def test_a_budget_in_words() -> None:
    assert budget_words(NO_BUDGET) == ""
    assert budget_words(Budget(rows=1000, statement_s=30.0, rows_written=0)) == (
        "30 s per statement; 1,000 rows per result; 0 rows written per task"
    )
    sizes = (200 * 1024**2, 1024**3, 1536, 1000)
    assert [budget_words(Budget(bytes=size)) for size in sizes] == [
        "200 MB per result",
        "1 GB per result",
        "1,536 bytes per result",
        "1,000 bytes per result",
    ]
