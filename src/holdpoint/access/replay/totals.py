"""What a replay comes to: then against now, by rule, by agent and by day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from holdpoint.access.replay.replay import Outcome, Replayed
from holdpoint.access.suggest.workload import Evidence, evidence_of
from holdpoint.model.limits import REPLAY_DAYS_MAX
from holdpoint.store.times import from_us

Change = tuple[Outcome, Outcome]
"""From what it was decided to be, to what it would be."""


@dataclass(slots=True)
class Totals:
    """Counts of a replay, bounded in size however long the trail is.

    ``days`` map a day (UTC, ``2030-05-01``) to the counts of then and of now; ``changes`` have
    those that would be decided differently, ``unsure`` and ``left_out`` the reasons of the others.
    """

    count: int = 0
    matrix: Counter[Change] = field(default_factory=Counter)
    changes: dict[Change, Evidence] = field(default_factory=dict)
    rules: dict[tuple[Change, str], Evidence] = field(default_factory=dict)
    agents: Counter[tuple[str, Change]] = field(default_factory=Counter)
    unsure: dict[str, Evidence] = field(default_factory=dict)
    left_out: dict[str, Evidence] = field(default_factory=dict)
    days: dict[str, tuple[Counter[Outcome], Counter[Outcome]]] = field(default_factory=dict)

    def take(self, one: Replayed) -> None:
        """Count one statement."""
        change = (one.then, one.now)
        self.count += 1
        self.matrix[change] += 1
        day = f"{from_us(one.said.at_us):%Y-%m-%d}"
        then, now = self.days.setdefault(day, (Counter(), Counter()))
        then[one.then] += 1
        now[one.now] += 1
        if len(self.days) > REPLAY_DAYS_MAX:
            self._merge_oldest()
        if one.now is Outcome.UNSURE:
            evidence_of(self.unsure, one.why).take(one.said)
        elif one.now is Outcome.LEFT_OUT:
            evidence_of(self.left_out, one.why).take(one.said)
        elif one.changed:
            self._changed(one, change)

    def _changed(self, one: Replayed, change: Change) -> None:
        self.changes.setdefault(change, Evidence()).take(one.said)
        self.agents[one.said.agent, change] += 1
        rules = [*one.rules, *[f"no longer {each}" for each in one.gone]] or ["the same rules"]
        for rule in rules:
            self.rules.setdefault((change, rule), Evidence()).take(one.said)

    def _merge_oldest(self) -> None:
        """Put the two oldest days together."""
        first, second = sorted(self.days)[:2]
        then, now = self.days.pop(first)
        self.days[second][0].update(then)
        self.days[second][1].update(now)

    @property
    def changed(self) -> int:
        """How many statements would be decided differently."""
        return sum(each.count for each in self.changes.values())
