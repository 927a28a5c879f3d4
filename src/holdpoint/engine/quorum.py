"""Whether the people who approved are enough: distinct humans, one seat each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdpoint.model.decision import ApprovalNeed, Quorum

Approvers = Mapping[str, frozenset[str]]
"""Who approved, each with the groups they are in."""


def satisfied(need: ApprovalNeed, approvers: Approvers) -> bool:
    """Tell whether every seat of ``need`` can be filled with a different approver.

    All of ``all_of`` must be filled and, if ``any_of`` is given, one of its quorums besides. Nobody
    fills two seats, however many groups they are in. Without any approver nothing is satisfied.
    """
    if not approvers:
        return False
    choices: Sequence[tuple[Quorum, ...]] = [(quorum,) for quorum in need.any_of] or [()]
    return any(_seats_filled(_seats(need.all_of + choice), approvers) for choice in choices)


def eligible(need: ApprovalNeed, groups: frozenset[str]) -> bool:
    """Tell whether a person in these groups could fill any seat at all."""
    quorums = need.all_of + need.any_of
    return not quorums or any(_fits(quorum.group, groups) for quorum in quorums)


def _seats(quorums: Sequence[Quorum]) -> list[str]:
    """One entry per seat: the group it asks for. A quorum below one still asks for one."""
    return [quorum.group for quorum in quorums for _ in range(max(1, quorum.count))]


def _seats_filled(seats: Sequence[str], approvers: Approvers) -> bool:
    return len(_match(seats, approvers)) == len(seats)


def _fits(group: str, groups: frozenset[str]) -> bool:
    return not group or group in groups


def _match(seats: Sequence[str], approvers: Approvers) -> dict[int, str]:
    """Return a largest assignment of approvers to seats (augmenting paths, Kuhn 1955)."""
    seat_of: dict[str, int] = {}

    def place(seat: int, tried: set[str]) -> bool:
        for person, groups in approvers.items():
            if person in tried or not _fits(seats[seat], groups):
                continue
            tried.add(person)
            if person not in seat_of or place(seat_of[person], tried):
                seat_of[person] = seat
                return True
        return False

    for seat in range(len(seats)):
        place(seat, set())
    return {seat: person for person, seat in seat_of.items()}
