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

from holdpoint.access.attempts import SET_ROLE, Answer, Outcome, Tried, try_all
from holdpoint.access.desired import AGENT, Desired, Objects, UrlOf, agents_of, desired_roles
from holdpoint.access.drift import Drift, Kind, label
from holdpoint.access.drift_objects import ObjectDrift
from holdpoint.access.drift_rest import RestDrift
from holdpoint.access.drift_role import no_role, role_drift
from holdpoint.access.effective import SETTINGS, Connection, read_effective, read_role
from holdpoint.access.promises import Promise, promise_of_access, promise_of_grants
from holdpoint.access.reading import read_granted
from holdpoint.engine.probes import conninfo_of
from holdpoint.model import limits
from holdpoint.model.target import Target, Tier
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.policy.words import quoted

VERSION_MIN: Final = 130000  # PostgreSQL 13, the oldest that the queries are made for
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


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of one role: ``known`` are rights that differ, as place and verb."""

    promise: Promise
    drift: tuple[Drift, ...]
    known: frozenset[tuple[str, str]] = frozenset()
    in_recovery: bool = False


class _Unreachable(Exception):
    """A server that cannot be asked; the text says why, without secrets."""


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
        self._shelf = shelf
        self._place = ""
        self._target = target
        self._tier = tier
        self._url_of = url_of
        self._attempts = attempts
        self._on_role = on_role
        self._desired = roles_of(target, tier, url_of)
        self._failures: list[str] = []
        self._elsewhere = False

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
            except _Unreachable as error:
                return replace(result, unreachable=str(error))
            except psycopg.Error as error:
                return replace(result, unreachable=f"the server could not be asked: {_line(error)}")
        result = replace(
            result,
            roles=tuple(role.promise.role for role in found),
            drift=tuple(each for role in found for each in role.drift),
            in_recovery=any(role.in_recovery for role in found),
        )
        if found and not self._elsewhere:
            result = replace(result, drift=(*_server(self._tier, found[0]), *result.drift))
        if self._failures:
            result = replace(result, unreachable=self._failures[0])
        return self._try(result, found) if self._attempts else result

    # --- reading

    def _reader(self, stack: ExitStack) -> Connection:
        """A connection to the server that the tier leads to; the tier's own role first."""
        own = [(source, self._tier.password_source) for source in
               (self._tier.url_source, *self._tier.more_sources)]  # fmt: skip
        if self._tier.mint is not None:
            own.append((self._tier.mint.url_source, ""))
        reasons: list[str] = []
        for source, password in own:
            connection = self._connected(source, password, stack, reasons)
            if connection is not None:
                return connection
        # The administrator's server is the target's own; a tier elsewhere is not on it.
        if self._target.admin_source and not self._tier.environment:
            connection = self._connected(self._target.admin_source, "", stack, reasons)
            if connection is not None:
                self._elsewhere = True
                self._failures = reasons[:1] if self._tier.mint is None else []
                return connection
        raise _Unreachable(reasons[0])

    def _connected(
        self, source: str, password: str, stack: ExitStack, reasons: list[str]
    ) -> Connection | None:
        try:
            url = self._url_of(source, password)
            if AGENT in url.user:
                reasons.append(f"the URL's user has `{AGENT}` in it: nobody signs in as that")
                return None
            connection = _connect(url)
            self._place = url.place
        except ValueError as error:
            reasons.append(str(error))
            return None
        except _Unreachable as error:
            reasons.append(str(error))
            return None
        return stack.enter_context(connection)

    def _read(self, connection: Connection) -> list[_Found]:
        """Every role of the tier, with its drift."""
        objects = self._objects(connection)
        found: list[_Found] = []
        for promise in self._promises(objects):
            self._on_role(self._tier.name, promise.role)
            found.append(_drift(connection, promise))
        return found

    def _objects(self, connection: Connection) -> Objects | None:
        """What the database has, for grants on all of a schema; tiers of one server share it."""
        if self._tier.grants is None or not self._desired.roles:
            return None
        objects = self._shelf.get(self._place)
        if objects is None:
            # Whose rights are read does not matter here, only which columns grants name.
            grants = tuple(each for tier in self._target.tiers for each in tier.grants or ())
            asked = replace(self._desired, roles=(replace(self._desired.roles[0], grants=grants),))
            objects = read_granted(connection, asked).objects
            self._shelf[self._place] = objects
        return objects

    def _promises(self, objects: Objects | None) -> list[Promise]:
        minted = self._tier.mint is not None
        if self._tier.grants is not None:
            return (
                []
                if objects is None
                else [
                    promise_of_grants(role, self._desired, objects, minted=minted)
                    for role in self._desired.roles
                ]
            )
        return [
            promise_of_access(self._tier.name, user, self._tier.access, minted=minted)
            for user in sorted(self._users())
        ]

    def _users(self) -> set[str]:
        """Who signs in to a tier that says no grants."""
        users: set[str] = set()
        for source in (self._tier.url_source, *self._tier.more_sources):
            try:
                user = self._url_of(source, self._tier.password_source).user
            except ValueError:
                continue  # told as a tier that cannot be reached
            if AGENT in user:
                users |= {user.replace(AGENT, agent) for agent in agents_of(self._tier)[0]}
            else:
                users.add(user)
        return users

    # --- trying

    def _try(self, result: Verified, found: list[_Found]) -> Verified:
        """Try as the role that the tier's URL signs in as."""
        try:
            url = self._url_of(self._tier.url_source, self._tier.password_source)
        except ValueError as error:
            return replace(result, untried=str(error))
        mine = next((each for each in found if each.promise.role == url.user), None)
        if mine is None:
            return replace(result, untried="nobody signs in with the tier's URL itself")
        try:
            with _connect(url, limits.VERIFY_TRY_S, limits.VERIFY_TRY_LOCK_S) as connection:
                role = read_role(connection, url.user)
                if role is None:
                    return replace(result, untried="the role was dropped meanwhile")
                tried = try_all(connection, role, mine.promise)
        except (_Unreachable, psycopg.Error) as error:
            words = str(error) if isinstance(error, _Unreachable) else _line(error)
            return replace(result, untried=words, unreachable=result.unreachable or words)
        return replace(
            result,
            drift=_with_tries(result.drift, mine, tried),
            statements=tried.statements,
            objects=tried.objects,
            of=tried.of,
            notes=(*result.notes, *tried.notes, *_unanswered(tried)),
        )


def _server(tier: Tier, found: _Found) -> Iterator[Drift]:
    """The server itself, where the tier says whether it is a replica or a primary."""
    if tier.replica is None or tier.replica is found.in_recovery:
        return
    now, wanted = ("a replica", "a primary") if found.in_recovery else ("a primary", "a replica")
    yield Drift(
        role=found.promise.role,
        kind=Kind.CHANGED,
        about="server",
        what=f"the tier's server is {now}, the tier says {wanted}: "
        + ("it takes no writes" if found.in_recovery else "nothing but grants keeps writes out"),
        source="the URL leads to another server" + ("" if found.in_recovery else ", or it was "
        "promoted"),
        mend=(f"-- let the tier's `url` lead to {wanted}",),
    )  # fmt: skip


def _unanswered(tried: Tried) -> Iterator[str]:
    if tried.unanswered:
        yield (
            f"{tried.unanswered:,} of {tried.statements:,} statements got no answer, from locks "
            "that others hold or from what was dropped meanwhile"
        )


def _connect(
    url: UpstreamUrl, statement_s: float = 0, lock_s: float = 0
) -> psycopg.Connection[Any]:
    options = SETTINGS
    if statement_s:
        options += f" -c statement_timeout={int(statement_s * 1000)}"
        options += f" -c lock_timeout={int(lock_s * 1000)}"
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            conninfo_of(url),
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=int(limits.UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint verify",
            options=options,
        )
    except psycopg.Error as error:
        raise _Unreachable(
            f"cannot connect to {url.place} as {quoted(url.user)}: {_line(error)}"
        ) from error
    if connection.info.server_version < VERSION_MIN:
        connection.close()
        raise _Unreachable(f"{url.place} is older than PostgreSQL 13, and is not read correctly")
    return connection


def _drift(connection: Connection, promise: Promise) -> _Found:
    """Everything that differs for one role, at one moment."""
    connection.execute(_BEGIN)
    try:
        role = read_role(connection, promise.role)
        if role is None:
            return _Found(promise, (no_role(promise),))
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
    return _Found(promise, tuple(drift), frozenset(known), role.in_recovery)


def _order(drift: Drift) -> tuple[Any, ...]:
    return (drift.note, _ORDER[drift.kind], drift.about, drift.source, drift.what)


def _both(first: Sequence[_Found], second: Sequence[_Found]) -> list[_Found]:
    """What both readings found."""
    known = {each for role in first for each in role.drift}
    return [
        replace(role, drift=tuple(each for each in role.drift if each in known)) for role in second
    ]


# --- what was tried, beside what was read ---------------------------------------------------------


def _with_tries(drift: Sequence[Drift], mine: _Found, tried: Tried) -> tuple[Drift, ...]:
    """Mark drift that trying has proved; what only trying has shown is drift of its own."""
    found = list(drift)
    for outcome in tried.surprises:
        known = (outcome.attempt.place, outcome.attempt.verb) in mine.known
        for place, each in enumerate(found):
            if each.role == mine.promise.role and _is_about(each, outcome):
                found[place] = replace(each, tried=f"tried: the database {outcome.answer.value}")
                known = True
        if not known:
            found.append(_shown_by_trying(mine.promise, outcome))
    return tuple(found)


def _is_about(drift: Drift, outcome: Outcome) -> bool:
    attempt = outcome.attempt
    if attempt.verb == SET_ROLE:
        return drift.about == f"membership in {quoted(attempt.place)}"
    if (drift.kind is Kind.MISSING) is not attempt.must_work:
        return False
    if attempt.verb == "temporary":
        return "temporary" in drift.privileges
    return attempt.place in drift.places and attempt.verb in drift.privileges


def _shown_by_trying(promise: Promise, outcome: Outcome) -> Drift:
    attempt = outcome.attempt
    statement = attempt.statement.removeprefix("EXPLAIN ")
    if outcome.answer is Answer.REFUSED:
        return Drift(
            role=promise.role,
            kind=Kind.MISSING,
            about=f"table `{attempt.place}`",
            what=f"the tier gives {attempt.verb.upper()}, and the database refused "
            f"`{statement}`: {outcome.words}",
            source="seen when it was tried",
            tried="tried: the database refused it",
        )
    return Drift(
        role=promise.role,
        kind=Kind.SURPLUS,
        about=f"{attempt.verb} {quoted(attempt.place)}",
        what=f"the database took `{statement}`, which the tier does not give",
        source="seen when it was tried; no access list tells why",
        tried="tried: the database took it",
    )


def _line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason was given"
