"""Decides statements of the trail again, under a configuration that is not in force yet. Pure.

What a statement does is taken from its record, as the catalog of its day showed it; so are the
figures that a database gave, and the moment. Its text is read again for what records leave out: how
it uses which table. What neither tells is never assumed: the answer is then that it cannot be told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from holdpoint import sql
from holdpoint.access.history import Ending, Said
from holdpoint.access.replay.impact import impact_of
from holdpoint.audit.redact import MARK
from holdpoint.model.case import Case
from holdpoint.model.decision import Decision
from holdpoint.model.effects import (
    Access,
    Dialect,
    Effect,
    ObjectKind,
    ObjectUse,
    Reading,
    SessionView,
    Statement,
)
from holdpoint.model.impact import Basis, Fact, Figure, Impact, ReadCost
from holdpoint.model.limits import WORKLOAD_TEXTS_MAX
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.decide import decide, facts_needed
from holdpoint.policy.rules import Policy
from holdpoint.policy.tiers import NO_TIER, may_use
from holdpoint.sql.names import Catalog
from holdpoint.store.times import from_us


class Outcome(StrEnum):
    """What became, or would become, of a statement."""

    ALLOWED = "allowed"
    HELD = "held"
    REFUSED = "refused"
    UNSURE = "cannot be told"
    LEFT_OUT = "cannot be replayed"


OUTCOMES: Final = {
    Verdict.ALLOW: Outcome.ALLOWED,
    Verdict.HOLD: Outcome.HELD,
    Verdict.DENY: Outcome.REFUSED,
}
_THEN: Final = {Ending.DENIED: Outcome.REFUSED, Ending.HELD: Outcome.HELD}
_READ: Final = frozenset({Effect.READ})
_FACT_WORDS: Final = {
    Fact.ROWS: "how many rows it changes",
    Fact.TABLE_ROWS: "how large its table was",
    Fact.READ_COST: "what it cost to read",
}
_ENORMOUS: Final = 2**62
_NOT_RECORDED: Final = "it was not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One statement, decided then and now.

    ``rules`` speak now and did not then; ``gone`` spoke then. ``why`` says in words what decided,
    or what is not known.
    """

    said: Said
    then: Outcome
    now: Outcome
    rules: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether it is known to be decided differently."""
        return self.now in OUTCOMES.values() and self.now is not self.then


@dataclass(slots=True)
class Replay:
    """Decides by ``policy`` over ``targets``. ``catalogs`` are of tiers whose grants bound them.

    A hold and the run that it let through are one statement: it was held.
    """

    policy: Policy
    targets: tuple[Target, ...]
    catalogs: Mapping[tuple[str, str], Catalog] = field(default_factory=dict)
    _readings: OrderedDict[tuple[str, str, str], Reading] = field(default_factory=OrderedDict)
    _holds: set[str] = field(default_factory=set)

    def take(self, said: Said) -> Replayed | None:
        """Decide a statement again; None for the run of one that was held before."""
        then = _THEN.get(said.ending, Outcome.ALLOWED)
        if said.hold:
            if said.hold in self._holds:
                return None
            self._holds.add(said.hold)
            then = Outcome.HELD
        if MARK in said.text:
            why = "its text was redacted"
            return Replayed(said=said, then=then, now=Outcome.LEFT_OUT, why=why)
        target = next((each for each in self.targets if each.name == said.target), None)
        tier = target.tier(said.tier) if target is not None and said.tier else None
        if target is None or tier is None:
            if not said.target or not said.tier:
                why = "its session is not in the trail"
                return Replayed(said=said, then=then, now=Outcome.LEFT_OUT, why=why)
            why = f"there is no tier `{said.target}/{said.tier}`"
            return self._said(said, then, Outcome.REFUSED, (NO_TIER,), why)
        at = from_us(said.at_us)
        if not may_use(target, tier, said.agent, said.task, said.given or (), at):
            why = f"the agent may not use `{target.name}/{tier.name}`"
            if said.task and said.given is None:
                why = f"whether task `{said.task}` was given the tier is not recorded"
                return Replayed(said=said, then=then, now=Outcome.UNSURE, why=why)
            return self._said(said, then, Outcome.REFUSED, (NO_TIER,), why)
        try:
            return self._decided(said, then, target, tier)
        except (AttributeError, KeyError, TypeError, ValueError):  # it was edited, or is of old
            why = "its record is not as this version writes them"
            return Replayed(said=said, then=then, now=Outcome.LEFT_OUT, why=why)

    def _said(
        self, said: Said, then: Outcome, now: Outcome, rules: Iterable[str], why: str
    ) -> Replayed:
        before = set(_rules_of(said))
        after = set(rules)
        return Replayed(
            said=said,
            then=then,
            now=now,
            rules=tuple(sorted(after - before)),
            gone=tuple(sorted(before - after)),
            why=why,
        )

    def _decided(self, said: Said, then: Outcome, target: Target, tier: Tier) -> Replayed:
        reading = self._reading(said, target, tier)
        doubt = self._doubt(reading, target, tier)
        if doubt:
            return Replayed(said=said, then=then, now=Outcome.UNSURE, why=doubt)
        impact = impact_of((said.body or {}).get("impact"))
        case = Case(
            agent=said.agent,
            task=said.task,
            session=said.session,
            target=target,
            tier=tier,
            role=said.role,
            peer="",
            reading=reading,
            parameters=None,
            impact=impact,
            findings=(),
            policy_digest=self.policy.digest,
            at=from_us(said.at_us),
            task_tiers=said.given or (),
        )
        decision = decide(self.policy, case)
        missing = _missing(facts_needed(self.policy, target, tier, reading), impact)
        for guess in _guesses(impact, missing):
            if decide(self.policy, replace(case, impact=guess)).verdict is not decision.verdict:
                words = " and ".join(_FACT_WORDS[each] for each in missing)
                why = f"it rests on {words}, which was not recorded"
                return Replayed(said=said, then=then, now=Outcome.UNSURE, why=why)
        now = OUTCOMES[decision.verdict]
        return self._said(said, then, now, decision.rules, _why(decision))

    def _reading(self, said: Said, target: Target, tier: Tier) -> Reading:
        """The text, read again, with what its record says that it does."""
        key = (said.text, target.name, tier.name)
        known = self._readings.get(key)
        if known is None:
            catalog = self.catalogs.get((target.name, tier.name))
            known = sql.read(said.text, Dialect.POSTGRES, SessionView(), catalog)
            self._readings[key] = known
            if len(self._readings) > WORKLOAD_TEXTS_MAX:
                self._readings.popitem(last=False)
        else:
            self._readings.move_to_end(key)
        if known.problem is not None:
            return known
        if said.body is None:
            return _as_plain_read(known)
        return _as_recorded(known, said.body)

    def _doubt(self, reading: Reading, target: Target, tier: Tier) -> str:
        """Why the tier's grants cannot be held against the statement; empty where they can."""
        if tier.grants is None:
            return ""
        catalog = self.catalogs.get((target.name, tier.name))
        for statement in reading.statements:
            named = [each for each in statement.objects if each.kind is ObjectKind.RELATION]
            if named and not statement.uses:
                return "which tables it uses was not recorded"
            for use in statement.uses:
                if catalog is not None and not use.oid and not sql.is_built_in(use):
                    return f"`{use.name}` is not there any more"
        return ""


def _rules_of(said: Said) -> list[str]:
    rules = (said.body or {}).get("rules", [])
    return [str(each) for each in rules] if isinstance(rules, list) else []


def _why(decision: Decision) -> str:
    if decision.verdict is Verdict.ALLOW or not decision.findings:
        return ""
    return f"{decision.findings[0].code}: {decision.findings[0].message}"


# --- readings -------------------------------------------------------------------------------------


def _as_plain_read(reading: Reading) -> Reading:
    """What passed on its text alone did no more than read, whatever functions it named."""
    statements = tuple(
        replace(each, effects=_READ, unknowns=(), marks=()) for each in reading.statements
    )
    return replace(reading, statements=statements, effects=_READ, unknowns=(), text_only=True)


def _as_recorded(reading: Reading, body: Mapping[str, Any]) -> Reading:
    """The reading with effects, objects and functions as they were recorded."""
    documents: list[Mapping[str, Any]] = list(body.get("statements", []))
    if len(documents) == len(reading.statements):
        again: list[Statement | None] = list(reading.statements)
    else:
        again = [None] * len(documents)
    statements = tuple(
        _statement(document, known) for document, known in zip(documents, again, strict=True)
    )
    return replace(
        reading,
        statements=statements,
        effects=_effects(body.get("effects", [])),
        objects=tuple(dict.fromkeys(use for each in statements for use in each.objects)),
        functions=tuple(dict.fromkeys(name for each in statements for name in each.functions)),
        unknowns=tuple(dict.fromkeys(words for each in statements for words in each.unknowns)),
    )


def _statement(document: Mapping[str, Any], known: Statement | None) -> Statement:
    tag = str(document.get("tag", ""))
    base = known if known is not None else Statement(tag=tag, text="", effects=frozenset())
    return replace(
        base,
        tag=tag,
        effects=_effects(document.get("effects", [])),
        objects=tuple(_object(each) for each in document.get("objects", [])),
        functions=tuple(str(each) for each in document.get("functions", [])),
        unknowns=tuple(str(each) for each in document.get("unknowns", [])),
    )


def _effects(names: Iterable[str]) -> frozenset[Effect]:
    """Effects by name; one that this version does not know is unknown."""
    known = {effect.value: effect for effect in Effect}
    return frozenset(known.get(str(name), Effect.UNKNOWN) for name in names)


def _object(document: Mapping[str, Any]) -> ObjectUse:
    schema, dot, name = str(document["name"]).partition(".")
    return ObjectUse(
        name=name if dot else schema,
        schema=schema if dot else "",
        kind=ObjectKind(document.get("kind", ObjectKind.RELATION)),
        access=Access(document.get("access", Access.READ)),
    )


# --- figures --------------------------------------------------------------------------------------


def _missing(needed: frozenset[Fact], impact: Impact) -> list[Fact]:
    """The figures that the policy asks for, and that nobody asked for then."""
    asked = {
        Fact.ROWS: impact.most_rows.basis is not Basis.NOT_ASKED,
        Fact.TABLE_ROWS: impact.table_rows.basis is not Basis.NOT_ASKED,
        Fact.READ_COST: impact.read is not None and impact.read.basis is not Basis.NOT_ASKED,
    }
    return [fact for fact in Fact if fact in needed and not asked[fact]]


def _guesses(impact: Impact, missing: list[Fact]) -> list[Impact]:
    """The impact with each figure that is missing not known, none, and enormous."""
    if not missing:
        return []
    figures = (
        Figure(None, Basis.UNKNOWN, _NOT_RECORDED),
        Figure(0, Basis.EXACT),
        Figure(_ENORMOUS, Basis.EXACT),
    )
    found: list[Impact] = []
    for figure in figures:
        guess = impact
        if Fact.ROWS in missing:
            guess = replace(guess, rows=figure)
        if Fact.TABLE_ROWS in missing:
            guess = replace(guess, table_rows=figure)
        if Fact.READ_COST in missing:
            read = ReadCost(cost=figure.value or 0, rows=0, basis=figure.basis, why=figure.why)
            guess = replace(guess, read=read)
        found.append(guess)
    return found
