"""Judges statements without running them: what ``explain`` and ``check`` share.

Everything that costs is done once: the configuration is read, and each tier looked up, before the
first statement comes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from holdpoint import gate
from holdpoint.audit.impacts import impact_document
from holdpoint.impact.assess import gather
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Dialect, Reading, SessionView
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Basis, Figure, Impact, ReadCost
from holdpoint.model.steps import (
    EstimateReadCost,
    EstimateRows,
    EstimateTableRows,
    LookUpCatalog,
    Now,
    Step,
    Submission,
)
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.policy.compile import compile_policy, nearest
from holdpoint.policy.rules import Policy
from holdpoint.sql.settings import paths_of

if TYPE_CHECKING:
    from holdpoint.config import Config

_Result = TypeVar("_Result")

DIALECTS: Final = {"postgres": Dialect.POSTGRES, "postgresql": Dialect.POSTGRES}
DEFAULT_LEVEL: Final = AccessLevel.READ_WRITE


class UnknownTier(ValueError):
    """A tier that is neither an access level nor in the configuration; says the nearest name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement would run."""

    target: Target
    tier: Tier


class Database(Protocol):
    """Answers the steps of judging that only a database can answer."""

    def answer(self, step: Step[Any]) -> Any:
        """The reply to ``step``; what the database does not tell is a figure that is unknown."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What would happen to one statement, and why."""

    place: Place
    reading: Reading
    decision: Decision
    impact: Impact | None = None  # None where no database was asked

    def document(self) -> dict[str, Any]:
        """The stable form of ``docs/reference/check.md``, without the id."""
        document: dict[str, Any] = {
            "verdict": self.decision.verdict.name.lower(),
            "effects": sorted(effect.value for effect in self.reading.effects),
            "objects": list(dict.fromkeys(use.label for use in self.reading.objects)),
            "functions": list(self.reading.functions),
            "findings": [finding_document(finding) for finding in self.decision.findings],
            "unknowns": list(self.reading.unknowns),
        }
        if self.impact is not None:
            document["impact"] = impact_document(self.impact)
        return document


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
    """Judges statements against one policy, as the gate does; ``database`` is asked if given."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        database: Database | None = None,
        agent: str = "",
        task: str = "",
    ) -> None:
        self.places = Places(config)
        self._database = database
        self._agent = agent
        self._task = task
        self._usual_view = SessionView()

    def judge(
        self,
        text: str,
        tier: str = "",
        dialect: str = "postgres",
        view: SessionView | None = None,
        *,
        thorough: bool = False,
    ) -> Judgement:
        """What would happen to ``text`` on a tier. Raises ``UnknownTier`` and ``UnknownDialect``.

        ``view`` is the session it would run in; one as it stands after connecting unless given.
        ``thorough`` has the database tell all that it tells people who are asked.
        """
        place = self.places.find(tier)
        if dialect not in DIALECTS:
            raise UnknownDialect(_unknown("dialect", dialect, list(DIALECTS)))
        submission = Submission(
            agent=self._agent,
            task=self._task,
            session="",
            peer="",
            target=place.target,
            tier=place.tier,
            role="",
            text=text,
            dialect=DIALECTS[dialect],
            view=view if view is not None else self._usual_view,
        )
        case, decision = self._run(gate.judge(self.places.policy, submission))
        impact = None
        if self._database is not None:
            impact = case.impact
            if thorough and case.reading.problem is None:
                impact = self._run(gather(submission, case.reading, impact))
        return Judgement(place, case.reading, decision, impact)

    def _run(self, steps: Generator[Step[Any], Any, _Result]) -> _Result:
        """Carry out the steps of the gate up to their result; nothing is run or written."""
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                result: _Result = stop.value
                return result
            if isinstance(step, Now):
                reply = datetime.now(UTC)
            elif self._database is not None:
                reply = self._database.answer(step)
            else:
                reply = _not_asked(step)


def _not_asked(step: Step[Any]) -> Any:
    """The reply where there is no database."""
    if isinstance(step, EstimateRows | EstimateTableRows):
        return Figure()
    if isinstance(step, EstimateReadCost):
        return ReadCost(cost=0, rows=0, basis=Basis.NOT_ASKED)
    assert isinstance(step, LookUpCatalog), step
    return None


class UnknownDialect(ValueError):
    """A dialect that cannot be read."""


def session_after(view: SessionView, reading: Reading) -> SessionView:
    """The session after the statements of a reading ran: what it has prepared and set by then."""
    prepared = dict(view.prepared)
    paths, any_path = view.search_paths, view.any_path
    for statement in reading.statements:
        if statement.deallocates == "*":
            prepared.clear()
        prepared.pop(statement.deallocates, None)
        prepared.update(statement.prepares)
        for name, values in statement.sets:
            if name == "search_path" or name == "*":
                paths = paths_of(list(values), "") if values else ()
                any_path = values is None
    return replace(view, prepared=tuple(prepared.items()), search_paths=paths, any_path=any_path)
