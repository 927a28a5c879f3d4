"""What everybody may do (PUBLIC), and so our roles too, whatever they are given or not.

A REVOKE from a role takes nothing away that PUBLIC holds. The mend takes it from PUBLIC and gives
it, by name, to every other role, those too that nobody signs in as: views and functions have their
owner's rights. So nobody else loses anything. Roles made later do not get it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from holdpoint.access.desired import PUBLIC, Desired, On, Right, Wanted
from holdpoint.access.plan import statements
from holdpoint.access.plan.granted import Granted, Held
from holdpoint.access.plan.statements import Step, names_of
from holdpoint.policy.words import listed, quoted

ROLES_SHOWN: Final = 4
# Of these PUBLIC usually holds something that gives little by itself, and only this counts.
_TELLING: Final = {
    On.DATABASE: frozenset({"create", "temporary"}),
    On.SCHEMA: frozenset({"create"}),
    On.TYPE: frozenset[str](),
    On.LANGUAGE: frozenset[str](),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """Something that everybody may do, in ``words``, and the statements that would end it.

    ``obstacle`` says why the one who plans cannot do it; empty if that one can.
    """

    words: str
    steps: tuple[Step, ...]
    obstacle: str = ""


def find(desired: Desired, state: Granted, wanted: Mapping[str, Wanted]) -> list[Mend]:
    """Return what everybody may do and some role of ``desired`` should not."""
    alike: dict[tuple[On, str, str, tuple[str, ...]], list[Held]] = defaultdict(list)
    open_schemas = {
        each.right.name
        for each in state.held
        if each.grantee == PUBLIC and each.right == _usage(each.right.name)
    }
    holders = [each.name for each in desired.roles if not each.member_of and not each.admin_of]
    for held in state.held:
        if held.grantee != PUBLIC or not _tells(held.right, state):
            continue
        too_much = tuple(
            name
            for name in holders
            if _whole(held.right) not in wanted[name].rights
            and held.right not in wanted[name].rights
            # A role that has no USAGE of a schema cannot name what is in it.
            and (
                not held.right.schema
                or held.right.schema in open_schemas
                or _usage(held.right.schema) in wanted[name].rights
            )
        )
        if too_much:
            right = held.right
            alike[right.on, right.privilege, _obstacle(held, state), too_much].append(held)
    return [
        _mend(held, roles, obstacle, desired, state)
        for (_, _, obstacle, roles), held in sorted(alike.items())
    ]


def _tells(right: Right, state: Granted) -> bool:
    """Whether it is more than everybody has anyway and needs."""
    if right.on is On.FUNCTION:  # others run with the rights of who calls them
        return (right.on, right.schema, right.name) in state.definers
    telling = _TELLING.get(right.on)
    return telling is None or right.privilege in telling


def _usage(schema: str) -> Right:
    return Right(On.SCHEMA, "", schema, "usage")


def _obstacle(held: Held, state: Granted) -> str:
    if state.acts_as(held.owner):
        if held.grantor == held.owner:
            return ""
    elif state.acts_as(held.grantor):
        return ""
    return f"only {quoted(held.grantor)}, who gave it, or a superuser can take it away"


def _mend(
    held: list[Held], roles: tuple[str, ...], obstacle: str, desired: Desired, state: Granted
) -> Mend:
    rights = [each.right for each in held]
    names = names_of(state)
    mine = {each.name for each in desired.roles} | desired.siblings
    minters = {each.name for each in desired.roles if each.admin_of}
    mine |= {each.member for each in state.memberships if each.grantor in minters}
    owners = {each.owner for each in held}
    others = sorted(
        name
        for name, each in state.roles.items()
        if not (each.superuser or name in mine or name in owners or name.startswith("pg_"))
    )
    may = " and ".join(each.words for each in statements.give([PUBLIC], rights, names))
    if rights[0].on is On.FUNCTION:
        may += ", with the rights of its owner"
    # What others keep is part of taking it from everybody, not of any role's own plan.
    steps = [
        replace(each, words=f"everybody {each.words}")
        for each in statements.take(PUBLIC, rights, names)
    ]
    shown = [quoted(name) for name in others[:ROLES_SHOWN]]
    if len(others) > len(shown):
        shown.append(f"{len(others) - len(shown):,} more roles")
    keep = ""
    if others:
        keep = f"; {listed(shown)} would keep it, by name"
        steps += [
            replace(each, role="", words=f"{listed(shown)} {each.words}, by name")
            for each in statements.give(others, rights, names)
        ]
    return Mend(
        words=f"everybody {may}: PUBLIC holds it, so "
        f"{listed([quoted(each) for each in roles])} may too, whatever is taken from "
        f"{'it' if len(roles) == 1 else 'them'}{keep}",
        steps=tuple(steps),
        obstacle=obstacle,
    )


def _whole(right: Right) -> Right:
    return Right(right.on, right.schema, right.name, right.privilege)
