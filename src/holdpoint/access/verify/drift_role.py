"""Where a role itself differs from what the configuration promises: attributes, settings, more.

Pure, as ``drift`` says. Memberships carry what they give: that is what to mend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from holdpoint.access.minting import KEPT as MINTED_KEPT
from holdpoint.access.minting import MARK as MINTED_MARK
from holdpoint.access.minting import PREFIX as MINTED_PREFIX
from holdpoint.access.quoting import identifier, literal
from holdpoint.access.verify.drift import NAMES_SHOWN, PREDEFINED, Drift, Kind, Through, shown
from holdpoint.access.verify.facts import Effective, Member, Owned, Reached, RoleFacts
from holdpoint.access.verify.promises import Promise
from holdpoint.access.verify.settings import same_value
from holdpoint.policy.words import listed, quoted

POWER_WORDS: Final[Mapping[str, str]] = {
    "superuser": "every check of the server is passed",
    "createrole": "it may make roles, and give itself others (before PostgreSQL 16 nearly all)",
    "createdb": "it may make databases",
    "replication": "it may copy the whole server",
    "bypassrls": "no row-level security holds for it",
}

# Predefined roles that only let more be read are within the promise of a tier without grants.
_READERS: Final = frozenset(
    {
        "pg_monitor",
        "pg_read_all_data",
        "pg_read_all_settings",
        "pg_read_all_stats",
        "pg_stat_scan_tables",
    }
)


def no_role(promise: Promise) -> Drift:
    """Return the drift of a role that does not exist."""
    return Drift(
        role=promise.role,
        kind=Kind.MISSING,
        about=f"role {quoted(promise.role)}",
        what="does not exist",
        source=f"tier {quoted(promise.tier)} needs it",
        mend=("-- `holdpoint access plan` shows how it would be made",) if promise.exact else (),
    )


def role_drift(found: Effective, promise: Promise, through: Sequence[Through]) -> Iterator[Drift]:
    """Yield what differs about the role itself; ``through`` is what its memberships give it."""
    yield from _attributes(found.role, promise)
    yield from _settings(found.role, promise)
    yield from _memberships(found, promise, through)
    yield from _members(found.role, promise)
    yield from _ownership(found, promise)


# --- attributes -----------------------------------------------------------------------------------


def _attributes(role: RoleFacts, promise: Promise) -> Iterator[Drift]:
    desired = promise.desired
    name = identifier(role.name)
    for power in role.powers:
        if power == "createrole" and desired is not None and desired.createrole:
            continue
        yield Drift(
            role=role.name,
            kind=Kind.SURPLUS,
            about=f"attribute {power.upper()}",
            what=f"the role has {power.upper()}: {POWER_WORDS[power]}",
            source="an attribute of the role",
            mend=(f"ALTER ROLE {name} NO{power.upper()};",),
            note=promise.only_noted,
        )
    if desired is None:
        return
    if desired.createrole and "createrole" not in role.powers and not role.superuser:
        yield _changed(role, "CREATEROLE", "without it no role can be made for a session",
                       f"ALTER ROLE {name} CREATEROLE;", Kind.MISSING)  # fmt: skip
    if desired.login and not role.login:
        yield _changed(role, "LOGIN", "without it nobody can sign in",
                       f"ALTER ROLE {name} LOGIN;", Kind.MISSING)  # fmt: skip
    if desired.login and role.expired:
        yield _changed(role, "VALID UNTIL", "has run out: its password is no longer taken",
                       f"ALTER ROLE {name} VALID UNTIL 'infinity';", Kind.MISSING)  # fmt: skip
    if role.login and not desired.login:
        yield _changed(role, "LOGIN", "it only holds rights, and can be signed in as",
                       f"ALTER ROLE {name} NOLOGIN;", Kind.SURPLUS)  # fmt: skip
    if role.version < 160000 and role.inherit != desired.inherits:
        word = "INHERIT" if desired.inherits else "NOINHERIT"
        yield _changed(role, word, f"the tier needs {word}", f"ALTER ROLE {name} {word};")
    if role.connection_limit != desired.connection_limit:
        wanted = desired.connection_limit
        now = "no limit" if role.connection_limit < 0 else f"{role.connection_limit:,}"
        kept = "none" if wanted < 0 else f"{wanted:,}"
        yield _changed(role, "CONNECTION LIMIT", f"is {now}, the tier says {kept}",
                       f"ALTER ROLE {name} CONNECTION LIMIT {wanted};")  # fmt: skip


def _changed(
    role: RoleFacts, attribute: str, what: str, mend: str, kind: Kind = Kind.CHANGED
) -> Drift:
    return Drift(
        role=role.name,
        kind=kind,
        about=f"attribute {attribute}",
        what=what,
        source="an attribute of the role",
        mend=(mend,),
    )


# --- settings -------------------------------------------------------------------------------------

# Settings that make a session another role's or take protection away, wherever they are set.
_HARMFUL: Final = frozenset(
    {"role", "session_authorization", "session_replication_role", "session_preload_libraries",
     "local_preload_libraries", "row_security"}
)  # fmt: skip


def _settings(role: RoleFacts, promise: Promise) -> Iterator[Drift]:
    own = [each for each in role.settings if not each.every_role]
    # Of the role in this database before of the role (manual, ALTER ROLE).
    own.sort(key=lambda each: each.every_database)
    now: dict[str, str] = {}
    for each in own:
        now.setdefault(each.name.lower(), each.value)
    wanted = dict(promise.desired.settings) if promise.desired is not None else {}
    name = identifier(role.name)
    for setting, value in wanted.items():
        if setting in now and same_value(setting, now[setting], value):
            continue
        is_now = f"is {quoted(now[setting])}" if setting in now else "is not set"
        yield Drift(
            role=role.name,
            kind=Kind.CHANGED,
            about=f"setting {quoted(setting)}",
            what=f"{is_now}, the tier says {quoted(value)}",
            source="ALTER ROLE … SET" if setting in now else "nothing is set for the role",
            mend=(
                *_resets(role, setting, in_database_only=True),
                f"ALTER ROLE {name} SET {identifier(setting)} = {literal(value)};",
            ),
        )
    for setting, value in now.items():
        if setting not in wanted and (promise.exact or setting in _HARMFUL):
            yield Drift(
                role=role.name,
                kind=Kind.SURPLUS,
                about=f"setting {quoted(setting)}",
                what=f"is {quoted(value)}, the tier does not set it",
                source="ALTER ROLE … SET",
                mend=_resets(role, setting, in_database_only=False),
                note=promise.only_noted,
            )
    for each in role.settings:
        if each.every_role and each.name.lower() in _HARMFUL and each.name.lower() not in now:
            yield Drift(
                role=role.name,
                kind=Kind.SURPLUS,
                about=f"setting {quoted(each.name)}",
                what=f"is {quoted(each.value)} for every role",
                source="ALTER DATABASE … SET",
                mend=(f"ALTER DATABASE {identifier(role.database)} RESET {each.name};",),
                note=promise.only_noted,
            )


def _resets(role: RoleFacts, setting: str, *, in_database_only: bool) -> tuple[str, ...]:
    """Statements that take a setting of the role away, where it stands."""
    name = identifier(role.name)
    return tuple(
        f"ALTER ROLE {name} RESET {identifier(setting)};"
        if each.every_database
        else f"ALTER ROLE {name} IN DATABASE {identifier(role.database)} "
        f"RESET {identifier(setting)};"
        for each in role.settings
        if not each.every_role
        and each.name.lower() == setting
        and not (in_database_only and each.every_database)
    )


# --- memberships ----------------------------------------------------------------------------------


def _memberships(found: Effective, promise: Promise, through: Sequence[Through]) -> Iterator[Drift]:
    role = found.role
    given: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in through:
        given[each.role][each.privileges].append(each.about)
    owns: dict[int, list[Owned]] = defaultdict(list)
    for owned in found.owned:
        owns[owned.owner].append(owned)
    for reached in role.reach:
        if reached.name in (promise.holder, promise.gives) or reached.name == "pg_database_owner":
            continue
        if promise.gives and not (reached.inherits or reached.sets):
            continue  # a role that it made: since 16 the server gives the maker ADMIN OPTION
        if promise.holder and _is_above(role, reached, promise.holder):
            continue  # the drift of the role that is in between
        words = _gives(reached, given.get(reached.name, {}), owns[reached.oid], promise)
        if not words:
            continue
        straight = reached.via == role.oid
        way = "" if straight else f", through {quoted(role.named(reached.via))}"
        yield Drift(
            role=role.name,
            kind=Kind.SURPLUS,
            about=f"membership in {quoted(reached.name)}",
            what=f"the role is a member of {quoted(reached.name)}{way}: it {'; '.join(words)}",
            source=f"membership in {quoted(reached.name)}",
            mend=_ended(reached.name, role.named(reached.via), reached.grantors, role.version),
            note=promise.only_noted,
        )
    yield from _holder(role, promise)


def _ended(role: str, member: str, grantors: Sequence[str], version: int) -> tuple[str, ...]:
    """End a membership: since 16 each grantor's by itself (manual, REVOKE)."""
    statement = f"REVOKE {identifier(role)} FROM {identifier(member)}"
    if version < 160000 or not grantors:
        return (f"{statement};",)
    return tuple(f"{statement} GRANTED BY {identifier(each)};" for each in grantors)


def _is_above(role: RoleFacts, reached: Reached, holder: str) -> bool:
    """Whether a role is reached only by way of the holder."""
    by_oid = {each.oid: each for each in role.reach}
    at = reached
    for _ in role.reach:
        if at.via == role.oid or at.via not in by_oid:
            return False
        at = by_oid[at.via]
        if at.name == holder:
            return True
    return False


def _gives(
    reached: Reached,
    given: Mapping[str, Sequence[str]],
    owned: Sequence[Owned],
    promise: Promise,
) -> list[str]:
    """Say what a membership gives beyond the promise; nothing when it is within it."""
    words: list[str] = []
    if reached.name in PREDEFINED and (promise.exact or reached.name not in _READERS):
        words.append(PREDEFINED[reached.name])
    if reached.powers and (reached.sets or reached.admin):
        words.append(f"may SET ROLE to one with {', '.join(reached.powers).upper()}")
    if reached.admin:
        words.append("may give that role to anybody (ADMIN OPTION)")
    for privileges, objects in given.items():
        words.append(f"has {privileges} on {shown(objects)}")
    if owned and not promise.only_noted:
        things = listed([counted(each) for each in owned])
        words.append(f"may alter and drop what that role owns, {things}")
    if not words and promise.exact and (reached.inherits or reached.sets):
        words.append("has whatever that role is given" if reached.inherits else "may SET ROLE")
    return words


def _holder(role: RoleFacts, promise: Promise) -> Iterator[Drift]:
    """The role that rights are to come from must be there, and its rights must count."""
    for name, needs in ((promise.holder, "inherits"), (promise.gives, "admin")):
        if not name or role.superuser:
            continue
        reached = next((each for each in role.reach if each.name == name), None)
        if reached is not None and getattr(reached, needs):
            continue
        options = " WITH ADMIN OPTION" if needs == "admin" else ""
        if needs == "inherits" and role.version >= 160000:
            options = " WITH INHERIT TRUE"
        state = (
            "is not a member of" if reached is None else "is a member, and has not the rights of"
        )
        if needs == "admin":
            state = "may not give to others"
        yield Drift(
            role=role.name,
            kind=Kind.MISSING,
            about=f"membership in {quoted(name)}",
            what=f"the role {state} {quoted(name)}, which holds the tier's grants",
            source="a membership was taken away",
            mend=(f"GRANT {identifier(name)} TO {identifier(role.name)}{options};",),
        )


# --- others that have the role --------------------------------------------------------------------


def _members(role: RoleFacts, promise: Promise) -> Iterator[Drift]:
    for member in role.members:
        if member.name in promise.members or member.name == role.reader:
            continue
        drift = _member(role, member, promise)
        if drift is not None:
            yield drift


def _member(role: RoleFacts, member: Member, promise: Promise) -> Drift | None:
    made = member.name.startswith(MINTED_PREFIX) and member.comment.startswith(MINTED_MARK)
    kept = member.comment == MINTED_KEPT
    if kept or (member.login and member.expired):
        state = "owns something and could not be dropped" if kept else "has run out"
        return Drift(
            role=role.name,
            kind=Kind.LEFT_OVER,
            about=f"role {quoted(member.name)}",
            what=f"the login {quoted(member.name)} {state}, and is still a member of "
            f"{quoted(role.name)}",
            source="made for one session, and left over" if made or kept
            else "a login made for a while, and left over",
            mend=(
                *((f"REASSIGN OWNED BY {identifier(member.name)} TO NEW_OWNER;",) if kept else ()),
                f"DROP ROLE {identifier(member.name)};",
            ),
        )  # fmt: skip
    good = made and member.valid_until is not None and promise.minted
    if not promise.exact or not member.acts or good:
        return None
    return Drift(
        role=role.name,
        kind=Kind.SURPLUS,
        about=f"role {quoted(member.name)}",
        what=f"{quoted(member.name)} is a member of {quoted(role.name)} and has all that the tier "
        "gives" + (", for anybody who knows its password" if member.login else ""),
        source=f"a membership that the configuration of tier {quoted(promise.tier)} does not name",
        mend=_ended(role.name, member.name, member.grantors, role.version),
    )


# --- ownership ------------------------------------------------------------------------------------


def _ownership(found: Effective, promise: Promise) -> Iterator[Drift]:
    role = found.role
    for owned in found.owned:
        if owned.owner != role.oid:
            continue
        yield Drift(
            role=role.name,
            kind=Kind.SURPLUS,
            about=f"ownership of {counted(owned)}",
            what=f"the role owns {counted(owned)}: it may alter and drop, and grant to others",
            source="ownership",
            mend=_new_owner(owned),
            note=promise.only_noted,
        )
    for database, number in found.owned_elsewhere:
        yield Drift(
            role=role.name,
            kind=Kind.SURPLUS,
            about=f"ownership in database {quoted(database)}",
            what=f"the role owns {number:,} object{'' if number == 1 else 's'} in another "
            f"database, {quoted(database)}",
            source="ownership",
            note=True,
        )


def _new_owner(owned: Owned) -> tuple[str, ...]:
    """Give objects to another owner; only for kinds whose statement is plain."""
    if owned.kind not in _ALTERABLE:
        return ("-- REASSIGN OWNED BY … TO … gives everything to another role",)
    return tuple(
        f"ALTER {owned.kind.upper()} {name} OWNER TO NEW_OWNER;"
        for name in owned.names[:NAMES_SHOWN]
    )


_ALTERABLE: Final = frozenset(
    {"table", "view", "materialized view", "sequence", "schema", "function", "procedure",
     "type", "database", "foreign table"}
)  # fmt: skip


def counted(owned: Owned) -> str:
    """Say what is owned: one object by its name, more by their number."""
    if owned.number == 1:
        return f"{owned.kind} `{owned.names[0]}`"
    return f"{owned.number:,} objects of kind {owned.kind} ({shown(owned.names, owned.number)})"
