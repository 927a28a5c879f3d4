"""What works but should not stay: tiers open to all, replicas unproven, boundaries in name only."""

from __future__ import annotations

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.policy.tiers import fits


def advise(targets: tuple[Target, ...], notes: Notes) -> None:
    """Note advice about tiers."""
    for target in targets:
        for tier in target.tiers:
            path: Path = ("targets", target.name, "tiers", tier.name)
            _about(tier, path, notes)
            _about_allowances(tier, path, notes)
            _about_source(target, tier, path, notes)


def _about(tier: Tier, path: Path, notes: Notes) -> None:
    if tier.access is AccessLevel.READ_ONLY:
        if tier.replica is None:
            words = "nothing says whether this is a replica, so none is demanded"
            notes.advise(
                path, words, "write `replica = true`, or `false` for a role on the primary"
            )
    elif not tier.allowances:
        words = f"every agent may use it, with access `{tier.access.value}`"
        notes.advise(path, words, 'name those that need it: `agents = ["..."]`')


def _about_allowances(tier: Tier, path: Path, notes: Notes) -> None:
    """One allowance is enough: a window beside one that is always open closes nothing."""
    always = [each for each in tier.allowances if each == Allowance(agents=each.agents)]
    patterns = tuple(pattern for each in always for pattern in each.agents)
    for allowance in tier.allowances:
        names = allowance.agents
        if allowance not in always and names and patterns and all(fits(patterns, n) for n in names):
            words = f"`{', '.join(names)}` may use it at any time anyway: one member is enough"
            notes.advise((*path, "allow"), words, "leave the agent out of `agents`, or this out")


def _about_source(target: Target, tier: Tier, path: Path, notes: Notes) -> None:
    """The same URL is the same role, which may then do what the higher tier may."""
    sources = (tier.url_source, *tier.more_sources)
    place = (*path, "url")
    if target.admin_source in sources and tier.access is not AccessLevel.OWNER:
        words = "the URL is `admin_url`, whose role may grant anything"
        notes.advise(place, words, "give the tier a role of its own")
    for other in target.by_access():
        if other.name == tier.name:
            return  # the ones behind it have more access, and are advised about themselves
        if other.access is not tier.access and {other.url_source, *other.more_sources} & {*sources}:
            words = f"the URL is that of tier `{other.name}`, with access `{other.access.value}`"
            hint = "give each its own role: only the gate keeps them apart"
            notes.advise(place, words, hint)
            return
