"""The way from what a database gives to what the configuration asks: statements, and words.

Pure: the same configuration and the same state give the same plan. What must not be done stops it
(``problems``); what the one who plans cannot do is said object by object (``blocked``); what a
REVOKE from our roles would not change, because everybody has it, is said with its mend
(``mends``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from holdpoint.access.desired import PUBLIC, DefaultRight, Desired, DesiredRole, Right, Wanted
from holdpoint.access.plan import mends, roles, statements
from holdpoint.access.plan.granted import Granted, Held
from holdpoint.access.plan.mends import Mend
from holdpoint.access.plan.notes import notes_of
from holdpoint.access.plan.resolve import rights_of
from holdpoint.access.plan.statements import Step, names_of
from holdpoint.policy.words import listed, quoted

BLOCKED_SHOWN: Final = 6  # objects of one line; all are counted
LOCKS_SINCE: Final = 18  # it locks each table that a GRANT names; 13, 16 and 17 do not (seen)
LOCKS_SHARE: Final = 0.5  # chosen: others need some too


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done to one database, by ``admin``; ``server`` is when the server started.

    ``problems``: nothing may be done while there is one. ``blocked``: what is asked for and cannot
    be done by the one who plans. ``notes``: what should be known. ``mends`` are offered beside the
    steps; once asked for they are among the steps, or blocked.
    """

    target: str
    admin: str
    database: str
    server: str = ""
    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mends: tuple[Mend, ...] = ()
    wanted: Mapping[str, Wanted] = field(default_factory=dict, repr=False)

    @property
    def settled(self) -> bool:
        """Whether the database gives what the configuration asks."""
        return not (self.steps or self.problems or self.blocked)

    @property
    def title(self) -> str:
        """What the statements are, in one line that is the same for the same plan."""
        names = dict.fromkeys(step.role for step in self.steps if step.role)
        return (
            f"access of target {quoted(self.target)} in database {quoted(self.database)}: "
            f"{len(self.steps)} statements, {len(names)} roles"
        )

    @property
    def sql(self) -> str:
        """Everything to run, in one transaction; it holds verifiers of passwords."""
        return statements.script(self.steps, self.title)

    @property
    def shown_sql(self) -> str:
        """The same without verifiers."""
        return statements.shown_script(self.steps, self.title)


def make_plan(
    desired: Desired,
    state: Granted,
    *,
    refused: Collection[str] = (),
    adopt: bool = False,
    mend: bool = False,
) -> Plan:
    """Return what is to be done.

    ``refused`` are roles that cannot sign in with their URL's password. ``adopt`` takes over roles
    that have other members. ``mend`` takes from everybody what our roles should not have.
    """
    wanted = {role.name: _wanted(desired, role, state) for role in desired.roles}
    checked = roles.check(desired, state, refused=refused, adopt=adopt)
    problems = [*desired.problems, *checked.problems]
    problems += [words for each in wanted.values() for words in each.missing]
    steps: list[Step] = []
    blocked = list(checked.blocked)
    for role in desired.roles:
        rights = _Difference(role.name, wanted[role.name], state)
        steps += [*checked.first[role.name], *rights.steps(), *checked.last[role.name]]
        blocked += rights.blocked()
    found = mends.find(desired, state, wanted)
    if mend:
        steps += [step for each in found if not each.obstacle for step in each.steps]
        blocked += [f"{each.words}; {each.obstacle}" for each in found if each.obstacle]
    named = len({table for step in steps for table in step.tables})
    if state.version >= LOCKS_SINCE and named > state.locks * LOCKS_SHARE:
        problems.append(
            f"{named:,} tables and sequences are named one by one, and each is locked: of the "
            f"server's {state.locks:,} locks (`max_locks_per_transaction` times "
            "`max_connections`) too few would be left; plan tier by tier with `--tier`"
        )
    return Plan(
        target=desired.target,
        admin=state.admin,
        database=state.objects.database,
        server=state.started,
        steps=tuple(steps),
        problems=tuple(dict.fromkeys(problems)),
        blocked=tuple(blocked),
        notes=(*desired.notes, *checked.notes, *notes_of(desired, state, wanted)),
        mends=() if mend else tuple(found),
        wanted=wanted,
    )


def _wanted(desired: Desired, role: DesiredRole, state: Granted) -> Wanted:
    """What a role should hold itself: nothing if it has all that it needs through another."""
    if role.member_of:
        return Wanted()
    return rights_of(role.grants, state.objects)


class _Difference:
    """What a role holds and should not, and the other way round."""

    def __init__(self, name: str, wanted: Wanted, state: Granted) -> None:
        self._name = name
        self._wanted = wanted
        self._state = state
        self._held = [each for each in state.held if each.grantee == name]
        self._everybody = {each.right for each in state.held if each.grantee == PUBLIC}
        self._given_on: dict[Right, list[str]] = defaultdict(list)
        self._may_give: set[Right] = set()
        for each in state.held:
            if each.grantor == name and each.grantee != name:
                self._given_on[each.right].append(each.grantee)
            if each.grantable and state.acts_as(each.grantee):
                self._may_give.add(each.right)
        self._blocked: dict[str, list[str]] = defaultdict(list)
        self._takes = self._surplus()
        self._options = [
            each.right
            for each in self._held
            if each.grantable and each.right in wanted.rights and self._removable(each)
        ]
        self._gives = self._lacking()

    def steps(self) -> list[Step]:
        """What is taken first, then what is given."""
        name, names = self._name, names_of(self._state)
        has = {each.default for each in self._state.defaults if each.grantee == name}
        grantable = {
            each.default for each in self._state.defaults if each.grantee == name and each.grantable
        }
        surplus = self._reachable((has - self._wanted.defaults) | grantable)
        lacking = self._reachable(
            (self._wanted.defaults - has) | (grantable & self._wanted.defaults), adds=True
        )
        return [
            *statements.take(name, self._takes, names),
            *statements.take(name, self._options, names, option_only=True),
            *statements.give([name], self._gives, names),
            *statements.defaults(name, surplus, adds=False),
            *statements.defaults(name, lacking, adds=True),
        ]

    def blocked(self) -> list[str]:
        """What cannot be done, in words; those alike together."""
        return [
            f"role {quoted(self._name)}: {why}: {_some(labels)}"
            for why, labels in sorted(self._blocked.items())
        ]

    def _surplus(self) -> set[Right]:
        """What is taken away. A privilege taken from a table goes from its columns as well."""
        takes = {
            each.right
            for each in self._held
            if each.right not in self._wanted.rights and self._removable(each)
        }
        return {each for each in takes if not each.column or _whole(each) not in takes}

    def _lacking(self) -> set[Right]:
        """What is given: what is not held, and what of columns goes with its table's privilege."""
        has = {each.right for each in self._held}
        gives: set[Right] = set()
        for right in self._wanted.rights:
            if right in has and not (right.column and _whole(right) in self._takes):
                continue
            why = self._obstacle(right)
            if not why:
                gives.add(right)
            elif right not in self._everybody and _whole(right) not in self._everybody:
                self._blocked[why].append(_label(right))
        return gives

    def _removable(self, held: Held) -> bool:
        """Tell whether a REVOKE would take it, and note why not.

        REVOKE only takes what its grantor gave: the owner, when one acts as the owner, or else the
        one who holds the right to give it (manual, REVOKE).
        """
        state = self._state
        given_on = self._given_on.get(held.right)
        if given_on:
            others = listed([quoted(each) if each else "everybody" for each in given_on])
            why = f"cannot lose what it gave on to {others}; take it from them first"
        elif (
            held.grantor == held.owner if state.acts_as(held.owner) else state.acts_as(held.grantor)
        ):
            return True
        else:
            why = (
                f"only {quoted(held.grantor)}, who gave it, or a superuser acting as that role "
                "can take it away"
            )
        self._blocked[why].append(_label(held.right))
        return False

    def _obstacle(self, right: Right) -> str:
        """Say why a right cannot be given; empty if it can."""
        state = self._state
        owner = state.owners.get((right.on, right.schema, right.name), "")
        if owner and state.acts_as(owner):
            return ""
        if right in self._may_give or _whole(right) in self._may_give:
            return ""
        return f"{quoted(state.admin)} cannot give it, only the owner {quoted(owner)} can"

    def _reachable(
        self, rights: Iterable[DefaultRight], *, adds: bool = False
    ) -> list[DefaultRight]:
        """Those of owners one may act for; of what must go and cannot, note it."""
        found: list[DefaultRight] = []
        for each in sorted(rights):
            if self._state.acts_as(each.owner):
                found.append(each)
            elif not adds:
                owner = quoted(each.owner)
                why = f"only {owner} or a superuser can take away what it gives by default"
                self._blocked[why].append(f"{each.privilege.upper()} on {each.on.value}s to come")
        return found


def _whole(right: Right) -> Right:
    """The same privilege on all columns."""
    return Right(right.on, right.schema, right.name, right.privilege)


def _label(right: Right) -> str:
    column = f" ({right.column})" if right.column else ""
    kind = "" if right.on.value == "table" else f"{right.on.value} "
    return f"{right.privilege.upper()}{column} on {kind}{quoted(right.label)}"


def _some(labels: list[str]) -> str:
    shown = sorted(labels)[:BLOCKED_SHOWN]
    if len(labels) > len(shown):
        shown.append(f"{len(labels) - len(shown):,} more")
    return listed(shown)
