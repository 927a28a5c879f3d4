"""Judges statements without running them: what ``explain`` and ``check`` share.

Everything that costs is done once: the configuration is read, and each tier looked up, before the
first statement comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from holdpoint.impact import hazards
from holdpoint.model.case import Case
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Dialect, Reading, SessionView
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Fact, Impact
from holdpoint.model.limits import MEMO_ENTRIES_MAX, MEMO_TEXT_BYTES_MAX
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.policy.compile import compile_policy, nearest
from holdpoint.policy.decide import decide, facts_needed
from holdpoint.policy.rules import Policy
from holdpoint.sql import read

if TYPE_CHECKING:
    from holdpoint.config import Config

DIALECTS: Final = {"postgres": Dialect.POSTGRES, "postgresql": Dialect.POSTGRES}
DEFAULT_LEVEL: Final = AccessLevel.READ_WRITE


class UnknownTier(ValueError):
    """A tier that is neither an access level nor in the configuration; says the nearest name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement would run."""

    target: Target
    tier: Tier


# Answers the figures that policy needs for a reading. The seam for asking a live database: without
# one, nothing is asked, and policy treats the figures as such.
Figures = Callable[[Place, Reading, frozenset[Fact]], Impact]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What would happen to one statement, and why."""

    place: Place
    reading: Reading
    decision: Decision

    def document(self) -> dict[str, Any]:
        """The stable form of ``docs/reference/check.md``, without the id."""
        return {
            "verdict": self.decision.verdict.name.lower(),
            "effects": sorted(effect.value for effect in self.reading.effects),
            "objects": list(dict.fromkeys(use.label for use in self.reading.objects)),
            "functions": list(self.reading.functions),
            "findings": [finding_document(finding) for finding in self.decision.findings],
            "unknowns": list(self.reading.unknowns),
        }


def finding_document(finding: Finding) -> dict[str, str]:
    """A finding as JSON values."""
    return {
        "code": finding.code,
        "message": finding.message,
        "detail": finding.detail,
        "hint": finding.hint,
    }


class Places:
    """Looks up the tiers that statements name, each once."""

    def __init__(self, config: Config | None) -> None:
        self._targets = config.targets if config is not None else (_without_configuration(),)
        self._known: dict[str, Place] = {}
        self._usual = "" if config is not None else DEFAULT_LEVEL.value
        self.policy: Policy
        self.policy = config.policy if config is not None else compile_policy((), self._targets)

    def find(self, name: str) -> Place:
        """The place that ``target/tier``, a tier, an access level or nothing names.

        Nothing means the default tier of the first target. A bare tier is looked for in all targets
        in their order; an access level stands for the first tier that has it, or for one made up
        on the first target. Raises ``UnknownTier``.
        """
        place = self._known.get(name)
        if place is None:
            place = self._known[name] = self._find(name or self._usual)
        return place

    def _find(self, name: str) -> Place:
        before, slash, after = name.partition("/")
        targets = [each for each in self._targets if not slash or each.name == before]
        tier_name = after if slash else name
        if not targets:
            names = [target.name for target in self._targets]
            raise UnknownTier(_unknown("target", before, names))
        for target in targets if tier_name else targets[:1]:
            tier = target.tier(tier_name)
            if tier is not None:
                return Place(target, tier)
        levels = [level.value for level in AccessLevel]
        if tier_name not in levels:
            names = [tier.name for target in targets for tier in target.tiers]
            raise UnknownTier(_unknown("tier", tier_name, [*names, *levels]))
        for target in targets:
            for tier in target.tiers:
                if tier.access.value == tier_name:
                    return Place(target, tier)
        made_up = Tier(name=tier_name, access=AccessLevel(tier_name), url_source="")
        return Place(targets[0], made_up)


def _unknown(what: str, name: str, names: list[str]) -> str:
    """Words for a name that is not known."""
    shown = name if len(name) <= 80 else name[:79] + "…"
    hint = nearest(name, names)
    return f"unknown {what} `{shown}`" + (f"; {hint}" if hint else "")


def _without_configuration() -> Target:
    """A production database with one tier per access level, for judging without a configuration."""
    tiers = tuple(Tier(name=level.value, access=level, url_source="") for level in AccessLevel)
    return Target(name="database", environment="production", tiers=tiers)


class Judge:
    """Judges statements against one policy; ``figures`` asks a database, if there is one."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        figures: Figures | None = None,
        agent: str = "",
        task: str = "",
    ) -> None:
        self.places = Places(config)
        self._figures = figures
        self._agent = agent
        self._task = task
        self._readings: dict[str, Reading] = {}
        self._usual_view = SessionView()

    def judge(
        self, text: str, tier: str = "", dialect: str = "postgres", view: SessionView | None = None
    ) -> Judgement:
        """What would happen to ``text`` on a tier. Raises ``UnknownTier`` and ``UnknownDialect``.

        ``view`` is the session it would run in; one as it stands after connecting unless given.
        """
        place = self.places.find(tier)
        if dialect not in DIALECTS:
            raise UnknownDialect(_unknown("dialect", dialect, list(DIALECTS)))
        reading = self._read(text, DIALECTS[dialect], view)
        policy = self.places.policy
        impact = Impact()
        if self._figures is not None:
            needed = facts_needed(policy, place.target, place.tier, reading)
            impact = self._figures(place, reading, needed)
        case = Case(
            agent=self._agent,
            task=self._task,
            session="",
            target=place.target,
            tier=place.tier,
            role="",
            peer="",
            reading=reading,
            parameters=None,
            impact=impact,
            findings=hazards.findings_of(reading),
            policy_digest=policy.digest,
            at=datetime.now(UTC),
        )
        return Judgement(place, reading, decide(policy, case))

    def _read(self, text: str, dialect: Dialect, view: SessionView | None) -> Reading:
        """Read a text; what rests on the text alone is remembered, up to a number of texts."""
        if view is not None:
            return read(text, dialect, view)
        reading = self._readings.get(text)
        if reading is None:
            reading = read(text, dialect, self._usual_view)
            if reading.text_only and len(text) <= MEMO_TEXT_BYTES_MAX // 4:
                if len(self._readings) >= MEMO_ENTRIES_MAX:
                    self._readings.clear()
                self._readings[text] = reading
        return reading


class UnknownDialect(ValueError):
    """A dialect that cannot be read."""


def session_after(view: SessionView, reading: Reading) -> SessionView:
    """The session after the statements of a reading ran: what it has prepared by then."""
    prepared = dict(view.prepared)
    for statement in reading.statements:
        if statement.deallocates == "*":
            prepared.clear()
        prepared.pop(statement.deallocates, None)
        prepared.update(statement.prepares)
    if tuple(prepared.items()) == view.prepared:
        return view
    return replace(view, prepared=tuple(prepared.items()))
