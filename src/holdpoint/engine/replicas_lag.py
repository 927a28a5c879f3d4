"""How far a replica is behind: what to ask it, and what its answers mean together.

No single figure of PostgreSQL tells it. ``pg_last_xact_replay_timestamp()`` grows older on an idle
primary, though nothing is missing; received equals replayed when nothing is received any more; the
details of ``pg_stat_wal_receiver`` are for members of ``pg_read_all_stats`` only. So several are
taken together, and what comes out is a bound: the replica is **at most** so far behind.

1. It receives, and has applied what it received: 0.
2. It had applied, at some look, all that it had received at an earlier one: at most the time since
   that. This counts on our own clock, which does not jump.
3. The last transaction it applied was committed so long ago: at most that. Both times are read at
   the server, and where it tells how its clock differs from its primary's, that is taken off.

The least of what is known counts. Nothing known is unknown, never 0.

Where a primary of the same cluster can be asked for its position, that takes the place of what the
replica has received: nobody can be wrong about it, not even a replica of a replica.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from holdpoint.model import limits

STREAMING: Final = "streaming"
HIDDEN: Final = "hidden"  # it runs; only members of pg_read_all_stats see more

# One row. Every function is open to every role (manual, 9.28.4 and 9.28.5); of pg_stat_wal_receiver
# others see the pid only. `latest_end_lsn` is how far the primary was by its latest message.
LOOK_QUERY: Final = """
SELECT pg_is_in_recovery(), coalesce(r.pid, 0),
       pg_last_wal_receive_lsn() - '0/0'::pg_lsn,
       pg_last_wal_replay_lsn() - '0/0'::pg_lsn,
       CASE WHEN r.pid IS NOT NULL THEN coalesce(r.status, 'hidden') ELSE '' END,
       r.latest_end_lsn - '0/0'::pg_lsn,
       extract(epoch FROM clock_timestamp() - r.last_msg_receipt_time)::float8,
       extract(epoch FROM r.last_msg_receipt_time - r.last_msg_send_time)::float8,
       extract(epoch FROM current_setting('wal_receiver_timeout')::interval)::float8,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END
  FROM (SELECT 1) AS one LEFT JOIN pg_stat_wal_receiver AS r ON true
"""
# Which log a server follows, and how far a primary's goes. A replica's timeline is that of its last
# restartpoint: after a failover the two differ for a while, and then nothing is compared.
LOG_QUERY: Final = """
SELECT s.system_identifier,
       CASE WHEN pg_is_in_recovery() THEN c.timeline_id
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int END,
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END
  FROM pg_control_system() AS s, pg_control_checkpoint() AS c
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One answer to ``LOOK_QUERY``. Positions are bytes of the log; times are the server's, in s.

    ``receiver`` is the state of the walreceiver with that ``pid``, ``HIDDEN``, or empty when none
    runs. ``end`` is how far the primary was by its latest message, ``silent_s`` ago; ``skew_s`` is
    how much later than the primary says it was sent that message arrived, on the replica's clock.
    ``patience_s`` is its ``wal_receiver_timeout``, 0 for none. ``since_commit_s`` is how long ago
    the last transaction it applied was committed.
    """

    in_recovery: bool
    pid: int = 0
    received: int | None = None
    applied: int | None = None
    receiver: str = ""
    end: int | None = None
    silent_s: float | None = None
    skew_s: float | None = None
    patience_s: float = 0.0
    since_commit_s: float | None = None
    paused: bool = False

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Look:
        """Read the row."""
        return cls(
            in_recovery=row[0],
            pid=row[1],
            received=_position(row[2]),
            applied=_position(row[3]),
            receiver=row[4],
            end=_position(row[5]),
            silent_s=row[6],
            skew_s=row[7],
            patience_s=row[8],
            since_commit_s=row[9],
            paused=row[10],
        )

    @property
    def is_silent(self) -> bool:
        """Tell whether the primary has not answered the replica when it asked.

        After half its patience without a message the replica asks for one (walreceiver.c).
        """
        if self.silent_s is None or not self.patience_s:
            return False
        return self.silent_s > self.patience_s / 2 + limits.REPLICA_ANSWER_S

    @property
    def heard(self) -> int:
        """How far the log goes, by all that the replica has heard."""
        return max(self.received or 0, self.end or 0)

    @property
    def receives(self) -> bool:
        """Tell whether it receives, and has come past what is applied already.

        The first walreceiver of a server asks for the log from the start of a segment.
        """
        if self.receiver not in (STREAMING, HIDDEN) or self.is_silent:
            return False
        return self.applied is not None and self.heard >= self.applied

    @property
    def is_behind(self) -> bool:
        """Tell whether something that it has heard of is not applied yet."""
        return self.applied is None or self.heard > self.applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """An answer to ``LOG_QUERY`` that was asked ``at``, by our own clock.

    ``position`` is how far a primary's log goes, None for a replica.
    """

    cluster: int
    timeline: int
    position: int | None
    at: float

    @classmethod
    def of(cls, row: tuple[Any, ...], at: float) -> Log:
        """Read the row."""
        return cls(cluster=row[0], timeline=row[1], position=_position(row[2]), at=at)

    def is_of(self, other: Log) -> bool:
        """Tell whether both are of one cluster and one course of it: positions can be compared."""
        return (self.cluster, self.timeline) == (other.cluster, other.timeline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a replica is behind: at most ``seconds``, None when nobody can tell.

    ``why`` says what keeps it, empty when everything is applied.
    """

    seconds: float | None
    why: str = ""

    def __str__(self) -> str:
        if self.seconds is None:
            return f"behind by nobody knows how much: {self.why}"
        if not self.why:
            return "up to date"
        return f"at most {shown(self.seconds)} behind: {self.why}"

    def is_over(self, limit_s: float | None) -> bool:
        """Tell whether it may be further behind than the limit; without one it never is."""
        return limit_s is not None and (self.seconds is None or self.seconds > limit_s)


class Course:
    """The looks at one replica, one after the other. ``at`` counts seconds and never goes back."""

    def __init__(self) -> None:
        # When it had received how much; the first is the latest that it has applied since.
        self._marks: list[tuple[float, int]] = []
        self._before: Look | None = None
        self._before_at = 0.0
        self._moved = True
        self.is_unsure = False
        """Whether only one more look can tell if it receives all that there is."""

    def forget(self) -> None:
        """Begin anew: another server may answer now."""
        self._marks.clear()
        self._before = None

    def take(self, look: Look, at: float, primary: Log | None = None) -> Lag:
        """Take a look that was begun ``at``, and return the lag as it was then.

        ``primary`` is the log of its primary, asked a moment before.
        """
        position = self._position_of(primary)
        current, marked_at = self._is_current(look), at
        self._before_at = at
        if primary is not None and position is not None:
            self.is_unsure, current, marked_at = False, True, primary.at
            look = replace(look, received=None, end=position)
        if current:
            self._mark(marked_at, look.heard)
            if not look.is_behind:
                self._marks = self._marks[-1:]
                return Lag(seconds=0.0)
        bounds = [self._since_mark(look, at), _since_commit(look)]
        seconds = min((bound for bound in bounds if bound is not None), default=None)
        return Lag(seconds=seconds, why=_why(look, seconds is not None))

    def _position_of(self, primary: Log | None) -> int | None:
        """Return how far the primary's log goes; a copy of one gives itself away.

        A clone has its identity. But no replica has ever applied what its primary does not have.
        """
        before = self._before
        if primary is None or primary.position is None or before is None:
            return primary.position if primary is not None else None
        if primary.at > self._before_at and (before.applied or 0) > primary.position:
            self._marks.clear()
            return None
        return primary.position

    def _is_current(self, look: Look) -> bool:
        """Tell whether what it has received is all that its primary has, as of a moment ago.

        A walreceiver that has just connected has heard nothing yet. Where the primary's position
        is hidden, one that catches up over a slow network looks like one that has everything: it
        keeps receiving, while that on an idle primary rests. Then only commits tell.
        """
        before, self._before = self._before, look
        self.is_unsure = look.receives and (before is None or before.pid != look.pid)
        if self.is_unsure or not look.receives:
            self._moved = True
            return False
        if look.end is not None:
            return True
        moved = before is None or look.received != before.received
        moves, self._moved = moved and self._moved, moved
        return not moves

    def _mark(self, at: float, position: int) -> None:
        self._marks.append((at, position))
        if len(self._marks) > limits.REPLICA_MARKS_MAX:  # coarser: the bound only grows by that
            del self._marks[1:-1:2]

    def _since_mark(self, look: Look, at: float) -> float | None:
        """Return how long ago it had received nothing that is not applied by now."""
        if look.applied is None:
            return None
        while len(self._marks) > 1 and self._marks[1][1] <= look.applied:
            del self._marks[0]
        if not self._marks or self._marks[0][1] > look.applied:
            return None
        return at - self._marks[0][0]


def _since_commit(look: Look) -> float | None:
    """Return how long ago the last transaction that it applied was committed."""
    if look.since_commit_s is None:
        return None
    # Its clock is behind its primary's when a message seems to arrive before it was sent.
    seconds = look.since_commit_s + max(0.0, -(look.skew_s or 0.0))
    return None if seconds < -limits.REPLICA_SKEW_MAX_S else max(0.0, seconds)


def _why(look: Look, known: bool) -> str:
    """Say what keeps it behind, as far as it tells."""
    if not look.receiver:
        why = "it receives nothing from its primary"
    elif look.is_silent:
        why = f"its primary has been silent for {shown(look.silent_s or 0.0)}"
    elif look.paused and look.is_behind:
        why = "its replay is paused"
    elif look.is_behind:
        why = "it has not applied all that it received"
    else:
        why = "it may still be receiving what it missed"
    return why if known else f"{why}, and nothing tells since when"


def shown(seconds: float) -> str:
    """Return a lag for people: ``0.4 s``, ``34 s``, ``1 h 2 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def _position(value: Any) -> int | None:
    return None if value is None else int(value)
