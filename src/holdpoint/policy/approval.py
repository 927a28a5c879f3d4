"""Putting together what several rules ask of the people who approve."""

from __future__ import annotations

from collections.abc import Sequence

from holdpoint.model.decision import ApprovalNeed, Quorum


def combined(needs: Sequence[ApprovalNeed]) -> ApprovalNeed:
    """The need that meets each of ``needs``; the order never matters.

    Per group the largest count is asked for, and as many people in all as the most demanding need.
    Of several lists of alternatives, those common to all are left; where nothing is common, each
    alternative of the further list is asked for, which is stricter than either. The shortest expiry
    counts. Raises ``ValueError`` for no need at all.
    """
    if not needs:
        raise ValueError("nothing to put together")
    ordered = sorted(set(needs), key=_order)
    if len(ordered) == 1:
        return ordered[0]
    groups: dict[str, int] = {}
    any_of: tuple[Quorum, ...] = ()
    for need in ordered:
        for quorum in need.all_of:
            if quorum.group:
                groups[quorum.group] = max(groups.get(quorum.group, 0), quorum.count)
        if not any_of:
            any_of = need.any_of
        elif need.any_of:
            common = tuple(quorum for quorum in any_of if quorum in need.any_of)
            if not common:
                for quorum in need.any_of:
                    groups[quorum.group] = max(groups.get(quorum.group, 0), quorum.count)
            any_of = common or any_of
    people = max(people_of(need) for need in ordered)
    named = sum(count for name, count in groups.items() if name)
    named += min((quorum.count for quorum in any_of), default=0)
    groups[""] = max(groups.get("", 0), people - named)
    all_of = tuple(
        Quorum(group=name, count=groups[name]) for name in sorted(groups) if groups[name]
    )
    expires_s = min(need.expires_s for need in ordered)
    return ApprovalNeed(all_of=all_of, any_of=any_of, expires_s=expires_s)


def people_of(need: ApprovalNeed) -> int:
    """How many distinct people at least must say yes."""
    every = sum(quorum.count for quorum in need.all_of)
    return every + min((quorum.count for quorum in need.any_of), default=0)


def _order(need: ApprovalNeed) -> tuple[list[tuple[str, int]], list[tuple[str, int]], float]:
    """A total order, so that putting together does not depend on the order of rules."""
    return (
        sorted((quorum.group, quorum.count) for quorum in need.all_of),
        sorted((quorum.group, quorum.count) for quorum in need.any_of),
        need.expires_s,
    )
