"""How far a replica is behind: each trap of PostgreSQL's figures, and a bound that always holds."""

import random
from dataclasses import replace

import pytest

from holdpoint.engine.replicas_lag import HIDDEN, STREAMING, Course, Lag, Log, Look, shown
from holdpoint.model import limits

HOUR = 3600.0
UP_TO_DATE = Lag(seconds=0.0)
# An idle primary: everything has arrived and is applied, and the last commit was an hour ago.
IDLE = Look(
    in_recovery=True,
    pid=7,
    receiver=STREAMING,
    received=100,
    applied=100,
    end=100,
    silent_s=1.0,
    skew_s=0.0,
    patience_s=60.0,
    since_commit_s=HOUR,
)
LEAST_ROLE = replace(IDLE, receiver=HIDDEN, end=None, silent_s=None, skew_s=None)
CUT_OFF = replace(LEAST_ROLE, receiver="", pid=0)


def lags(*looks: tuple[float, Look]) -> list[Lag]:
    """The lag after each look, begun at that second."""
    course = Course()
    return [course.take(look, at) for at, look in looks]


def last(*looks: tuple[float, Look]) -> Lag:
    return lags(*looks)[-1]


# --- nothing is missing, whatever the clock says --------------------------------------------------


@pytest.mark.parametrize("look", [IDLE, LEAST_ROLE], ids=["sees all", "sees the pid only"])
def test_an_idle_primary_leaves_its_replica_up_to_date(look: Look) -> None:
    assert last((0, look), (2, look)) == UP_TO_DATE


def test_a_replica_that_has_never_applied_a_transaction_is_up_to_date() -> None:
    look = replace(IDLE, since_commit_s=None)
    assert last((0, look), (2, look)) == UP_TO_DATE


def test_one_look_cannot_tell_whether_a_walreceiver_has_only_just_connected() -> None:
    course = Course()
    assert course.take(IDLE, 0).seconds == HOUR
    assert course.is_unsure
    assert course.take(IDLE, 0.25) == UP_TO_DATE
    assert not course.is_unsure
    assert course.take(replace(IDLE, pid=8), 2).seconds == 1.75
    assert course.is_unsure


# --- behind ---------------------------------------------------------------------------------------


def test_what_is_not_applied_counts_since_all_was() -> None:
    """The last commit before was an hour ago; what is missing has come within 30 s."""
    behind = replace(IDLE, received=200, end=200, paused=True)
    lag = last((0, IDLE), (2, IDLE), (32, behind))
    assert lag == Lag(seconds=30.0, why="its replay is paused")
    assert str(lag) == "at most 30 s behind: its replay is paused"


def test_a_busy_replica_is_as_far_behind_as_its_last_commit() -> None:
    behind = replace(IDLE, received=300, end=300, applied=299, since_commit_s=0.4)
    lag = last((0, IDLE), (60, behind))
    assert (lag.seconds, lag.why) == (0.4, "it has not applied all that it received")


def test_what_the_primary_has_and_did_not_send_yet_counts() -> None:
    """Received is applied, and the primary says that it is further: a slow network."""
    behind = replace(IDLE, end=5_000, since_commit_s=40.0)
    assert last((0, behind), (2, behind)).seconds == 40.0


def test_a_delayed_replica_is_behind_by_its_delay() -> None:
    """``recovery_min_apply_delay``: applied is what was received ten seconds before."""
    course = Course()
    for at in range(0, 60, 2):
        look = replace(IDLE, received=at, end=at, applied=max(0, at - 10), since_commit_s=None)
        lag = course.take(look, at)
    assert lag.seconds == 10.0


# --- nothing is received any more -----------------------------------------------------------------


def test_without_a_walreceiver_all_applied_means_nothing() -> None:
    lag = last((0, CUT_OFF), (2, CUT_OFF))
    assert lag == Lag(seconds=HOUR, why="it receives nothing from its primary")


def test_cut_off_it_is_behind_since_it_was_seen_up_to_date() -> None:
    assert last((0, LEAST_ROLE), (2, LEAST_ROLE), (9, CUT_OFF)).seconds == 7.0


def test_recovery_from_an_archive_only_counts_by_commits() -> None:
    archive = replace(CUT_OFF, received=None, since_commit_s=90.0)
    assert last((0, archive), (2, archive)).seconds == 90.0


def test_nothing_received_and_nothing_applied_is_unknown() -> None:
    lag = last((0, replace(CUT_OFF, applied=None, received=None, since_commit_s=None)))
    assert lag.seconds is None
    assert lag.is_over(10.0 * HOUR)
    assert not lag.is_over(None)


@pytest.mark.parametrize("state", ["stopping", "waiting", "starting", "restarting", "stopped"])
def test_a_walreceiver_that_does_not_stream_receives_nothing(state: str) -> None:
    look = replace(IDLE, receiver=state)
    assert last((0, look), (2, look)).seconds == HOUR


def test_a_primary_that_does_not_answer_its_replica_is_silent() -> None:
    """The network is dead and nobody has noticed: after 30 s the replica asked in vain."""
    silent = replace(IDLE, silent_s=40.0)
    lag = last((0, IDLE), (2, IDLE), (42, silent))
    assert lag == Lag(seconds=40.0, why="its primary has been silent for 40 s")
    quiet = replace(IDLE, silent_s=29.0)
    assert last((0, quiet), (2, quiet)) == UP_TO_DATE


# --- a role that sees no more than the pid --------------------------------------------------------


def test_catching_up_over_a_slow_network_is_not_being_up_to_date() -> None:
    """Received equals applied at each look, but both move on, and commits are old."""
    course = Course()
    for at in range(0, 20, 2):
        look = replace(LEAST_ROLE, received=at + 1, applied=at + 1, since_commit_s=HOUR - at)
        assert course.take(look, at).seconds == HOUR - at


def test_the_log_of_an_idle_primary_may_move_now_and_then() -> None:
    """A checkpoint writes a few bytes, and nobody is behind because of it."""
    course = Course()
    for at, position in ((0, 100), (2, 100), (4, 140), (6, 140), (8, 140), (10, 190)):
        lag = course.take(replace(LEAST_ROLE, received=position, applied=position), at)
    assert lag == UP_TO_DATE


def test_the_first_walreceiver_starts_before_what_is_applied() -> None:
    begun = replace(LEAST_ROLE, received=50)
    assert last((0, begun), (2, begun)).seconds == HOUR


# --- the primary's own word -----------------------------------------------------------------------


def log_at(at: float, position: int) -> Log:
    return Log(cluster=1, timeline=1, position=position, at=at)


def test_what_the_primary_has_stands_over_what_the_replica_has_heard() -> None:
    """A replica of a replica whose source is cut off: it has all that it was sent."""
    course = Course()
    course.take(IDLE, 0, log_at(0, 100))
    for at in (2, 4, 6):
        lag = course.take(IDLE, at, log_at(at - 1, 500))
    assert lag.seconds == 6.0
    assert course.take(replace(IDLE, applied=500, received=500), 8, log_at(7, 500)) == UP_TO_DATE


def test_cut_off_from_an_idle_primary_nothing_is_missing() -> None:
    assert Course().take(CUT_OFF, 0, log_at(0, 100)) == UP_TO_DATE


def test_catching_up_is_measured_by_when_the_primary_was_there() -> None:
    course = Course()
    for at in range(0, 20, 2):
        moving = replace(LEAST_ROLE, received=at, applied=max(0, at - 6), since_commit_s=None)
        lag = course.take(moving, at, log_at(at, at))
    assert lag.seconds == 6.0


def test_a_copy_of_the_primary_is_not_taken_for_it() -> None:
    """Made from the same files, it has the same identity; but the replica has more than it."""
    course = Course()
    course.take(CUT_OFF, 0, log_at(-1, 50))
    assert course.take(CUT_OFF, 2, log_at(1, 50)).seconds == HOUR


def test_without_the_primary_it_goes_on_with_what_the_replica_has_heard() -> None:
    course = Course()
    course.take(IDLE, 0, log_at(0, 100))
    assert course.take(IDLE, 2) == UP_TO_DATE


# --- clocks ---------------------------------------------------------------------------------------


def test_a_replica_whose_clock_is_behind_does_not_hide_its_lag() -> None:
    behind = replace(IDLE, received=200, end=200, since_commit_s=1.0, skew_s=-30.0)
    assert last((0, behind)).seconds == 31.0


def test_a_commit_from_the_future_tells_nothing() -> None:
    behind = replace(LEAST_ROLE, received=200, since_commit_s=-30.0)
    assert last((0, behind)).seconds is None
    near = replace(behind, since_commit_s=-0.2)  # as clocks are that follow a time service
    assert last((0, near)).seconds == 0.0


def test_another_server_at_the_same_place_begins_anew() -> None:
    course = Course()
    course.take(IDLE, 0)
    course.take(IDLE, 2)
    course.forget()
    assert course.take(CUT_OFF, 4).seconds == HOUR


# --- the bound holds ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_it_is_never_further_behind_than_told(seed: int) -> None:
    """A primary, a network that breaks and a replay that stops, at random; the truth is known."""
    rng = random.Random(seed)
    course, commits, now = Course(), [0.0], 0.0
    received = applied = 0
    pid, up, paused = 1, True, False
    for _ in range(4 * limits.REPLICA_MARKS_MAX):
        now += rng.random()
        if rng.random() < 0.7:
            commits.append(now)
        if rng.random() < 0.02:
            up = not up
            pid += up
        if rng.random() < 0.01:
            paused = not paused
        received = len(commits) - 1 if up else received
        applied = applied if paused else received
        look = replace(
            IDLE if up else CUT_OFF,
            pid=pid if up else 0,
            received=received,
            end=received if up else None,
            applied=applied,
            since_commit_s=now - commits[applied] if rng.random() < 0.5 else None,
        )
        lag = course.take(look, now)
        missing = commits[applied + 1] if applied + 1 < len(commits) else now
        assert lag.seconds is None or lag.seconds >= now - missing - 1e-9


def test_a_long_stop_is_remembered_coarsely_and_still_a_bound() -> None:
    course = Course()
    for at in range(10 * limits.REPLICA_MARKS_MAX):
        course.take(replace(IDLE, received=at, end=at, applied=0), at)
    assert len(course._marks) <= limits.REPLICA_MARKS_MAX
    at += 1
    lag = course.take(replace(IDLE, received=at, end=at, applied=at - 5, since_commit_s=None), at)
    assert lag.seconds is not None
    assert 5 <= lag.seconds < at


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (34.2, "34 s"), (200, "3 min"), (7_380, "2 h 3 min")],
)
def test_a_lag_reads_like_what_people_say(seconds: float, words: str) -> None:
    assert shown(seconds) == words


def test_up_to_date_and_unknown_have_words_of_their_own() -> None:
    assert str(UP_TO_DATE) == "up to date"
    assert str(Lag(seconds=None, why="x")) == "behind by nobody knows how much: x"
