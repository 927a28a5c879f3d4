"""The roles themselves: what they are, who is in which, and states too dangerous to touch.

What a role has beyond rights on objects decides first: a superuser, an owner of objects or a role
with other members cannot be brought to its grants by any GRANT or REVOKE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from holdpoint.access.desired import Desired, DesiredRole
from holdpoint.access.plan import statements
from holdpoint.access.plan.granted import Granted, Membership, RoleState
from holdpoint.access.plan.logins import verifier_of
from holdpoint.access.plan.statements import Step
from holdpoint.access.quoting import identifier
from holdpoint.policy.words import listed, quoted

OPTIONS_SINCE: Final = 16
NOT_PER_ROLE: Final = frozenset({"internal", "postmaster", "sighup"})
USERS: Final = frozenset({"backend", "user"})


@dataclass(slots=True, kw_only=True)
class Checked:
    """What becomes of the roles: by role, what comes before its rights and what after them."""

    first: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(desired: Desired, state: Granted, *, refused: Collection[str], adopt: bool) -> Checked:
    """Find what is to be done to the roles; ``refused`` cannot sign in with their password."""
    found = Checked()
    if state.in_recovery:
        found.problems.append("the server is a replica; `admin_url` must lead to the primary")
    for role in desired.roles:
        now = state.roles.get(role.name)
        if now is None:
            _make(role, desired, state, found)
        else:
            _refuse(role, now, desired, state, found, adopt=adopt)
            _change(role, now, desired, state, found, login_refused=role.name in refused)
        _settings(role, now, state, found)
        _memberships(role, now, desired, state, found)
    return found


def _make(role: DesiredRole, desired: Desired, state: Granted, found: Checked) -> None:
    if not (state.superuser or state.createrole):
        found.blocked.append(
            f"role {quoted(role.name)}: does not exist, and {quoted(state.admin)} may not make "
            "roles; it needs CREATEROLE"
        )
        return
    verifier = verifier_of(desired.target, role)
    if role.login and not verifier and not role.agent:
        found.notes.append(
            f"role {quoted(role.name)}: its URL has no password, so it gets none; it signs in by "
            "certificate or the like, or not at all"
        )
    found.first[role.name].append(statements.create_role(role, verifier))


def _refuse(
    role: DesiredRole,
    now: RoleState,
    desired: Desired,
    state: Granted,
    found: Checked,
    *,
    adopt: bool,
) -> None:
    """Find why the role must not be touched."""
    name = quoted(role.name)
    if role.name == state.admin:
        found.problems.append(
            f"tier `{role.tier}` uses {name}, which is the role of `admin_url`: it would take its "
            "own rights; give the tier a role of its own"
        )
    elif now.superuser:
        found.problems.append(
            f"role {name} is a superuser: no grant bounds it; give the tier another role"
        )
    owned = [each.what for each in state.owned if each.role == role.name]
    if owned:
        found.problems.append(
            f"role {name} owns {_few(owned)}: an owner may do everything with what it owns; give "
            "the objects to another role (`REASSIGN OWNED BY`), or the tier a role of its own"
        )
    others = _other_members(role, desired, state)
    if others and not adopt:
        found.problems.append(
            f"role {name} has other members: {listed([quoted(each) for each in others])}; what "
            "changes for it changes for them: take it from them "
            f"({quoted(_revoke(role.name, others))}), give the tier a role of its own, or take it "
            "over with `--adopt`"
        )
    elif others:
        found.notes.append(
            f"role {name} stays a role of {listed([quoted(each) for each in others])}: they get "
            "and lose what it does"
        )


def _revoke(role: str, members: list[str]) -> str:
    return f"REVOKE {identifier(role)} FROM {', '.join(identifier(each) for each in members)}"


def _other_members(role: DesiredRole, desired: Desired, state: Granted) -> list[str]:
    """Members that are neither in the plan nor the admin, nor made by the minting role."""
    minters = {each.name for each in desired.roles if each.admin_of == role.name}
    return sorted(
        {
            each.member
            for each in state.memberships
            if each.role == role.name
            and desired.role(each.member) is None
            and each.member != state.admin
            and each.grantor not in minters
        }
    )


def _change(
    role: DesiredRole,
    now: RoleState,
    desired: Desired,
    state: Granted,
    found: Checked,
    *,
    login_refused: bool,
) -> None:
    """Bring the attributes of a role that exists to what they should be."""
    more, less = _attributes(role, now, state, found)
    password = ""
    if role.login and (login_refused or not now.login):
        password = verifier_of(desired.target, role)
    if now.expired and role.login:
        found.notes.append(
            f"role {quoted(role.name)}: its password has expired (VALID UNTIL): nobody signs in as "
            "it until `ALTER ROLE ... VALID UNTIL 'infinity'`"
        )
    if not (more or less or password):
        return
    if not now.managed:
        words = [words for _, words in [*more, *less]] + (["gets its password"] if password else [])
        found.blocked.append(_unmanaged(role, state, words))
        return
    for changes, adds in ((less, False), (more, True)):
        if changes:
            options = [option for option, _ in changes]
            words = [words for _, words in changes]
            found.first[role.name].append(
                statements.alter_role(role.name, options, words, adds=adds)
            )
    if password:
        found.first[role.name].append(statements.set_password(role.name, password))


def _unmanaged(role: DesiredRole, state: Granted, words: list[str]) -> str:
    """Say what of a role cannot be changed, and what it would take."""
    needs = "CREATEROLE and ADMIN OPTION on it" if state.version >= OPTIONS_SINCE else "CREATEROLE"
    return (
        f"role {quoted(role.name)}: {quoted(state.admin)} may not alter it (that needs {needs}): "
        f"{listed(words)}"
    )


_Changes = list[tuple[str, str]]


def _attributes(
    role: DesiredRole, now: RoleState, state: Granted, found: Checked
) -> tuple[_Changes, _Changes]:
    """Options that give and that take, each with words."""
    more: _Changes = []
    less: _Changes = []
    admin = state.roles[state.admin]
    # Who may take these away (manual, ALTER ROLE): before 16 superusers; since then who has them.
    new = state.version >= OPTIONS_SINCE
    powers = (
        ("NOCREATEDB", now.createdb, "may no longer make databases", not new or admin.createdb),
        ("NOREPLICATION", now.replication, "may no longer replicate", new and admin.replication),
        (
            "NOBYPASSRLS",
            now.bypassrls,
            "no longer bypasses row-level security",
            new and admin.bypassrls,
        ),
    )
    for option, has, words, may in powers:
        if has and (state.superuser or may):
            less.append((option, words))
        elif has:
            found.blocked.append(
                f"role {quoted(role.name)}: {words.replace('no longer', 'still')}; only "
                f"{'a role that may as well' if new else 'a superuser'} can take that away"
            )
    for wanted, has, on, off, word in (
        (role.createrole, now.createrole, "CREATEROLE", "NOCREATEROLE", "make roles"),
        (role.login, now.login, "LOGIN", "NOLOGIN", "sign in"),
    ):
        if wanted and not has:
            more.append((on, f"may {word}"))
        elif has and not wanted:
            less.append((off, f"may no longer {word}"))
    if role.inherits and not now.inherit:
        more.append(("INHERIT", "has the rights of its roles by itself"))
    elif now.inherit and not role.inherits:
        less.append(("NOINHERIT", "no longer has the rights of its roles by itself"))
    if role.connection_limit != now.connection_limit:
        limit = role.connection_limit
        words = f"may have {limit} connections" if limit >= 0 else "may have any number of sessions"
        wider = limit < 0 or 0 <= now.connection_limit < limit
        (more if wider else less).append((f"CONNECTION LIMIT {limit}", words))
    return more, less


def _settings(role: DesiredRole, now: RoleState | None, state: Granted, found: Checked) -> None:
    """Bring what is set for a role to exactly what should be."""
    wanted = {name: statements.stored_value(name, value) for name, value in role.settings}
    steps: list[Step] = []
    held: dict[str, str] = {}
    for each in state.settings:
        if each.role != role.name:
            continue
        if each.database or each.name.lower() not in wanted:
            if _may_set(role, each.name, state, found):
                steps.append(statements.reset_setting(each))
        else:
            held[each.name.lower()] = each.value
    for name, value in role.settings:
        if held.get(name) != wanted[name] and _may_set(role, name, state, found):
            steps.append(statements.set_setting(role.name, name, value))
    if steps and now is not None and not now.managed:
        found.blocked.append(_unmanaged(role, state, [each.words for each in steps]))
        return
    found.last[role.name] += steps


def _may_set(role: DesiredRole, name: str, state: Granted, found: Checked) -> bool:
    """Tell whether a setting can be set for a role, and by the one who plans."""
    context = state.contexts.get(name.lower(), "user" if "." in name else "")
    if not context:
        found.problems.append(f"tier `{role.tier}`: the server has no setting {quoted(name)}")
    elif context in NOT_PER_ROLE:
        found.problems.append(
            f"tier `{role.tier}`: {quoted(name)} cannot be set for a role, only for the server"
        )
    elif context in USERS or state.superuser:
        return True
    else:
        found.blocked.append(
            f"role {quoted(role.name)}: only a superuser may set {quoted(name)} for it"
        )
    return False


def _memberships(
    role: DesiredRole, now: RoleState | None, desired: Desired, state: Granted, found: Checked
) -> None:
    """Take a role out of all others, and put it into the one whose rights it should have."""
    holder = role.member_of or role.admin_of
    fits = False
    for each in state.memberships:
        if each.member != role.name:
            continue
        if each.role == holder and not fits and _fits(each, role, state):
            fits = True
        elif _is_minted(each, role, state):
            continue
        elif not _may_leave(each, state):
            found.blocked.append(
                f"role {quoted(role.name)}: has the rights of {quoted(each.role)}, which only "
                f"{quoted(each.grantor)} or who may give {quoted(each.role)} can take away"
            )
        else:
            found.first[role.name].append(statements.leave(each, state.version, about=role.name))
    if not holder or fits:
        return
    there = state.roles.get(holder)
    if there is not None and not there.managed:
        found.blocked.append(
            f"role {quoted(role.name)}: {quoted(state.admin)} may not give it the rights of "
            f"{quoted(holder)}; it needs ADMIN OPTION on that role"
        )
        return
    found.last[role.name].append(statements.join(role, holder, state.version))


def _is_minted(each: Membership, role: DesiredRole, state: Granted) -> bool:
    """Whether it is what the server gives a minting role over a role that it made (since 16)."""
    return any(
        other.role == role.admin_of and other.member == each.role and other.grantor == role.name
        for other in state.memberships
    )


def _fits(each: Membership, role: DesiredRole, state: Granted) -> bool:
    mints = bool(role.admin_of)
    if each.admin != mints:
        return False
    return state.version < OPTIONS_SINCE or (each.inherit, each.may_set) == (not mints, False)


def _may_leave(each: Membership, state: Granted) -> bool:
    """Tell whether a membership can be ended (manual, REVOKE): since 16 as its grantor only."""
    if state.superuser:
        return True
    if state.version >= OPTIONS_SINCE:
        return state.acts_as(each.grantor)
    there = state.roles.get(each.role)
    return there is not None and there.managed and not there.superuser


def _few(words: list[str]) -> str:
    return listed([*words[:3], f"{len(words) - 3} more"] if len(words) > 3 else words)
