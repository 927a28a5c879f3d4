"""What of a policy can matter on one tier, worked out once so that deciding is quick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from holdpoint.model.decision import Decision
from holdpoint.model.effects import Effect
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.careful import BITS, EVERY_EFFECT, TABLE, Answer
from holdpoint.policy.grants import granted_of
from holdpoint.policy.rules import Condition, Glob, Policy, Rule, Settled, TierTable

# A rule about `write` means writes without a filter, too; an allow rule must spell them out.
_IMPLIED: Final = {Effect.WRITE: Effect.BULK_WRITE}
_HARMLESS: Final = (frozenset[Effect](), frozenset({Effect.READ}))


def table_of(policy: Policy, target: Target, tier: Tier) -> TierTable:
    """The table of a tier; built on the spot for one that the policy was not compiled with."""
    table = policy.tables.get((target.name, tier.name))
    if table is None or table.target is not target or table.tier is not tier:
        return build_table(policy.rules, target, tier)
    return table


def build_table(rules: Iterable[Rule], target: Target, tier: Tier) -> TierTable:
    """Keep the rules that can match on this tier, and the effect sets nothing can object to."""
    here = [rule for rule in rules if _applies(rule.when, target, tier)]
    refusing = tuple((_mask(rule), rule) for rule in here if rule.then is not Verdict.ALLOW)
    allowing = tuple((_mask(rule), rule) for rule in here if rule.then is Verdict.ALLOW)
    settled: dict[frozenset[Effect], Settled] = {}
    for effects in _HARMLESS:
        bits = sum(BITS[effect] for effect in effects)
        if any(mask & bits or mask == EVERY_EFFECT for mask, _ in refusing):
            continue
        if all(TABLE[tier.access][effect] is Answer.ALLOW for effect in effects):
            names = tuple(f"careful:{effect.value}" for effect in effects)
            settled[effects] = Settled(
                remembered=Decision(verdict=Verdict.ALLOW, rules=names, memoisable=True),
                once=Decision(verdict=Verdict.ALLOW, rules=names),
            )
    return TierTable(
        target=target,
        tier=tier,
        refusing=refusing,
        allowing=allowing,
        settled=settled,
        granted=granted_of(tier.grants),
    )


def widened(rule: Rule) -> Rule:
    """The rule with the effects that its effects imply, if it holds or denies."""
    if rule.then is Verdict.ALLOW or not rule.when.effects:
        return rule
    implied = {_IMPLIED[effect] for effect in rule.when.effects if effect in _IMPLIED}
    effects = rule.when.effects | implied
    return replace(rule, when=replace(rule.when, effects=effects))


def _mask(rule: Rule) -> int:
    """The effects a rule can match, as bits; a rule that names none can match every statement."""
    if not rule.when.effects:
        return EVERY_EFFECT
    return sum(BITS[effect] for effect in rule.when.effects)


def _applies(when: Condition, target: Target, tier: Tier) -> bool:
    """Whether target, tier and environment meet the condition."""
    return (
        _one_fits(when.targets, target.name)
        and _one_fits(when.tiers, tier.name)
        and _one_fits(when.environments, target.environment_of(tier))
    )


def _one_fits(globs: tuple[Glob, ...], name: str) -> bool:
    """Whether no pattern is given or one fits."""
    return not globs or any(glob.matches(name) for glob in globs)
