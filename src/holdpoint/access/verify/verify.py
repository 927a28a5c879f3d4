"""Prove that a database gives each tier what the configuration says: no more, and no less.

Each tier is read from the server that it really leads to, as its own role, or as who mints or
administers where nobody signs in as that. What differs is read twice: a finding is what both
readings say, for tables come and go while this runs. Then the tier's own role tries what must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from holdpoint.access.desired import Desired, Objects, UrlOf, desired_roles
from holdpoint.access.plan.reading import read_granted
from holdpoint.access.verify.attempts import SET_ROLE, Tried, try_all
from holdpoint.access.verify.drift import Drift, Kind, label
from holdpoint.access.verify.drift_objects import ObjectDrift
from holdpoint.access.verify.drift_rest import RestDrift
from holdpoint.access.verify.drift_role import no_role, role_drift
from holdpoint.access.verify.effective import Connection, read_effective, read_role
from holdpoint.access.verify.promises import Promise, promise_of_access, promise_of_grants
from holdpoint.access.verify.servers import Unreachable, connect, line_of, server_drift, sign_ins
from holdpoint.access.verify.tries import Found, with_tries
from holdpoint.model import limits
from holdpoint.model.target import Target, Tier
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.policy.words import quoted

_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ORDER: Final = {kind: number for number, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of one tier.

    ``problems`` are of the configuration. ``unreachable`` says why the server could not be asked,
    empty when it was; ``untried`` why nothing was tried as the tier's role.
    """

    target: str
    tier: str
    access: str
    roles: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    problems: tuple[str, ...] = ()
    unreachable: str = ""
    untried: str = ""
    statements: int = 0
    objects: int = 0
    of: int = 0
    notes: tuple[str, ...] = ()
    in_recovery: bool = False

    @property
    def drifted(self) -> int:
        """How many differences count."""
        return sum(not each.note for each in self.drift)


def verify_target(
    target: Target,
    url_of: UrlOf,
    tiers: Sequence[str] = (),
    *,
    attempts: bool = True,
    on_role: Callable[[str, str], None] = lambda tier, role: None,
) -> Iterator[Verified]:
    """Yield what is found of each tier, or of those named, in the file's order.

    ``on_role`` is told of each role before it is looked at. Nothing is raised for a server that
    cannot be asked: the tier says so, and the others are verified all the same.
    """
    shelf: dict[str, Objects] = {}
    for tier in target.tiers:
        if not tiers or tier.name in tiers:
            verifier = _Tier(target, tier, url_of, attempts=attempts, on_role=on_role, shelf=shelf)
            yield verifier.verify()


def roles_of(target: Target, tier: Tier, url_of: UrlOf) -> Desired:
    """Return a tier's roles: those that its grants need, or those that sign in to it."""
    if tier.grants is not None:
        return desired_roles(target, url_of, [tier.name])
    return Desired(target=target.name)


class _Tier:
    """Verifies one tier."""

    def __init__(
        self,
        target: Target,
        tier: Tier,
        url_of: UrlOf,
        *,
        attempts: bool,
        on_role: Callable[[str, str], None],
        shelf: dict[str, Objects],
    ) -> None:
        self._target = target
        self._tier = tier
        self._url_of = url_of
        self._attempts = attempts
        self._on_role = on_role
        self._shelf = shelf
        self._desired = roles_of(target, tier, url_of)
        self._sign_ins = sign_ins(tier, url_of)
        self._problems = list(self._sign_ins.problems)
        self._servers: list[Drift] = []
        self._place = ""

    def verify(self) -> Verified:
        """Read, compare, try."""
        result = Verified(
            target=self._target.name,
            tier=self._tier.name,
            access=self._tier.access.value,
            problems=self._desired.problems,
            notes=self._desired.notes,
        )
        with ExitStack() as stack:
            try:
                reader = self._reader(stack)
                found = self._read(reader)
                if any(not each.note for role in found for each in role.drift):
                    self._shelf.pop(self._place, None)
                    found = _both(found, self._read(reader))
            except Unreachable as error:
                return replace(result, unreachable=str(error))
            except psycopg.Error as error:
                words = f"the server could not be asked: {line_of(error)}"
                return replace(result, unreachable=words)
        result = replace(
            result,
            roles=tuple(role.promise.role for role in found),
            drift=(*self._servers, *(each for role in found for each in role.drift)),
            in_recovery=any(role.in_recovery for role in found),
        )
        if self._attempts:
            result = self._try(result, found)
        return replace(result, unreachable="; ".join(dict.fromkeys(self._problems)))

    # --- reading

    def _reader(self, stack: ExitStack) -> Connection:
        """A connection to a server that the tier leads to; every other one is looked at, too.

        As the tier's own role first; else as who mints, for whom agents' roles are members, or as
        the administrator, whose server is the target's own: a tier elsewhere is not on it.
        """
        reader: Connection | None = None
        for url in self._sign_ins.places:
            connection = self._connected(url, stack)
            if connection is not None:
                self._servers += server_drift(self._tier, url, connection)
                if reader is None:
                    reader, self._place = connection, url.place
        mint = self._tier.mint
        others = [mint.url_source] if mint is not None else []
        if self._target.admin_source and not self._tier.environment:
            others.append(self._target.admin_source)
        for source in others if reader is None else ():
            try:
                url = self._url_of(source, "")
            except ValueError as error:
                self._problems.append(str(error))
                continue
            reader = self._connected(url, stack)
            if reader is not None:
                self._place = url.place
                if source is not self._target.admin_source:
                    self._problems.clear()  # nobody signs in as the minted roles' own role
                return reader
        if reader is None:
            raise Unreachable(self._problems[0] if self._problems else "no URL leads anywhere")
        return reader

    def _connected(self, url: UpstreamUrl, stack: ExitStack) -> Connection | None:
        try:
            return stack.enter_context(connect(url))
        except Unreachable as error:
            self._problems.append(str(error))
            return None

    def _read(self, connection: Connection) -> list[Found]:
        """Every role of the tier, with its drift."""
        found: list[Found] = []
        for promise in self._promises(connection):
            self._on_role(self._tier.name, promise.role)
            found.append(_drift(connection, promise))
        return found

    def _promises(self, connection: Connection) -> list[Promise]:
        minted = self._tier.mint is not None
        if self._tier.grants is None:
            name, access = self._tier.name, self._tier.access
            users = sorted(self._sign_ins.by_role)
            return [promise_of_access(name, user, access, minted=minted) for user in users]
        if not self._desired.roles:
            return []
        objects = self._objects(connection)
        return [
            promise_of_grants(role, self._desired, objects, minted=minted)
            for role in self._desired.roles
        ]

    def _objects(self, connection: Connection) -> Objects:
        """What the database has, for grants on all of a schema; tiers of one server share it."""
        objects = self._shelf.get(self._place)
        if objects is None:
            # Whose rights are read does not matter here, only which columns grants name.
            grants = tuple(each for tier in self._target.tiers for each in tier.grants or ())
            asked = replace(self._desired, roles=(replace(self._desired.roles[0], grants=grants),))
            objects = read_granted(connection, asked).objects
            self._shelf[self._place] = objects
        return objects

    # --- trying

    def _try(self, result: Verified, found: list[Found]) -> Verified:
        """Try as every role that signs in with the tier's URLs."""
        mine = [each for each in found if each.promise.role in self._sign_ins.by_role]
        if not mine:
            return replace(result, untried="nobody signs in with the tier's URLs themselves")
        for each in mine:
            url = self._sign_ins.by_role[each.promise.role]
            try:
                with connect(url, limits.VERIFY_TRY_S, limits.VERIFY_TRY_LOCK_S) as connection:
                    role = read_role(connection, url.user)
                    if role is None:
                        continue  # told already
                    tried = try_all(connection, role, each.promise)
            except Unreachable as error:
                self._problems.append(str(error))
                result = replace(result, untried=str(error))
                continue
            except psycopg.Error as error:
                self._problems.append(f"trying as {quoted(url.user)} ended: {line_of(error)}")
                continue
            result = replace(
                result,
                drift=with_tries(result.drift, each, tried),
                statements=result.statements + tried.statements,
                objects=max(result.objects, tried.objects),
                of=max(result.of, tried.of),
                notes=(*result.notes, *tried.notes, *_unanswered(tried)),
            )
        return result


def _unanswered(tried: Tried) -> Iterator[str]:
    if tried.unanswered:
        yield (
            f"{tried.unanswered:,} of {tried.statements:,} statements got no answer, from locks "
            "that others hold or from what was dropped meanwhile"
        )


def _drift(connection: Connection, promise: Promise) -> Found:
    """Everything that differs for one role, at one moment."""
    connection.execute(_BEGIN)
    try:
        role = read_role(connection, promise.role)
        if role is None:
            return Found(promise, (no_role(promise),))
        found = read_effective(connection, role, promise.bounds, promise.gives)
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
    objects, rest = ObjectDrift(found, promise), RestDrift(found, promise)
    told = [*objects.all(), *rest.all()]
    through = [*objects.through, *rest.through]
    drift = sorted([*role_drift(found, promise, through), *told], key=_order)
    known = {
        (label(each.schema, each.name), verb)
        for each in found.differences
        for verb in (*each.missing, *each.surplus)
    }
    known |= {(each.name, SET_ROLE) for each in role.reach}
    return Found(promise, tuple(drift), frozenset(known), role.in_recovery)


def _order(drift: Drift) -> tuple[Any, ...]:
    return (drift.note, _ORDER[drift.kind], drift.about, drift.source, drift.what)


def _both(first: Sequence[Found], second: Sequence[Found]) -> list[Found]:
    """What both readings found."""
    known = {each for role in first for each in role.drift}
    return [
        replace(role, drift=tuple(each for each in role.drift if each in known)) for role in second
    ]
