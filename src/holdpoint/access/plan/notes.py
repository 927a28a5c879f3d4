"""What grants do not tell: row-level security, owners' rights, other databases, tables to come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from holdpoint.access.desired import PUBLIC, Desired, DesiredRole, On, Wanted
from holdpoint.access.plan.granted import Granted
from holdpoint.policy.words import listed, quoted

SHOWN: Final = 6
# The commands of policies (server catalog, pg_policy.polcmd).
_COMMANDS: Final = {"select": "r", "insert": "a", "update": "w", "delete": "d"}
ALL_COMMANDS: Final = "*"
SETS_OF_ROLES_SINCE: Final = 16


def notes_of(desired: Desired, state: Granted, wanted: Mapping[str, Wanted]) -> list[str]:
    """Return what people should know before they rely on the grants."""
    notes: list[str] = []
    for role in desired.roles:
        if role.member_of:
            continue
        if role.admin_of:
            if state.version < SETS_OF_ROLES_SINCE:
                notes.append(
                    f"role {quoted(role.name)} may make roles, and before PostgreSQL "
                    f"{SETS_OF_ROLES_SINCE} may so give itself every role but superusers: keep its "
                    "URL as safe as `admin_url`"
                )
            continue
        notes += _of_rows(role, desired, state, wanted[role.name])
        notes += _of_views(role, state, wanted[role.name])
        notes += _of_definers(role, state, wanted[role.name])
        notes += _to_come(role, state, wanted[role.name])
    notes += [
        f"role {quoted(name)} has rights in database {quoted(database)} too; this plan does not "
        "touch them"
        for name, database in state.elsewhere
    ]
    notes += [
        f"role {quoted(name)} signs in to foreign server {quoted(server)} by a user mapping: what "
        "it may do there is not seen from here"
        for name, server in state.mappings
    ]
    notes += [
        f"everybody gets {each.default.privilege.upper()} on what {quoted(each.default.owner)} "
        f"makes in {quoted(each.default.schema)}, by default privileges"
        for each in state.defaults
        if each.grantee == PUBLIC
    ]
    return notes


def _of_rows(role: DesiredRole, desired: Desired, state: Granted, wanted: Wanted) -> Iterator[str]:
    """Tables whose row-level security hides everything from a role."""
    names = {PUBLIC, role.name}
    names |= {each.name for each in desired.roles if each.member_of == role.name}
    policies: dict[tuple[str, str], set[str]] = {}
    for policy in state.policies:
        if names.intersection(policy.roles):
            policies.setdefault((policy.schema, policy.table), set()).add(policy.command)
    hidden: dict[str, set[str]] = {}
    for right in wanted.rights:
        place = (right.schema, right.name)
        command = _COMMANDS.get(right.privilege)
        if right.on is not On.TABLE or command is None or place not in state.secured:
            continue
        if not policies.get(place, set()) & {command, ALL_COMMANDS}:
            hidden.setdefault(right.label, set()).add(right.privilege.upper())
    for label in sorted(hidden):
        yield (
            f"role {quoted(role.name)}: row-level security of {quoted(label)} has no policy that "
            f"lets it {listed(sorted(hidden[label]))} any row"
        )


def _of_views(role: DesiredRole, state: Granted, wanted: Wanted) -> Iterator[str]:
    mine = {(right.schema, right.name) for right in wanted.rights if right.on is On.TABLE}
    for each in state.passing:
        if (each.schema, each.view) in mine:
            yield (
                f"role {quoted(role.name)}: view {quoted(f'{each.schema}.{each.view}')} reads "
                f"{quoted(each.table)} as {quoted(each.owner)}, past its row-level security"
            )


def _of_definers(role: DesiredRole, state: Granted, wanted: Wanted) -> Iterator[str]:
    for right in sorted(wanted.rights):
        place = (right.on, right.schema, right.name)
        if place in state.definers:
            yield (
                f"role {quoted(role.name)}: function {quoted(right.label)} runs with the rights of "
                f"its owner {quoted(state.owners[place])} (SECURITY DEFINER)"
            )


def _to_come(role: DesiredRole, state: Granted, wanted: Wanted) -> Iterator[str]:
    """Owners for whom one may not set default privileges."""
    out_of_reach = sorted(
        {(each.owner, each.schema) for each in wanted.defaults if not state.acts_as(each.owner)}
    )
    for owner, schema in out_of_reach[:SHOWN]:
        yield (
            f"role {quoted(role.name)}: what {quoted(owner)} will make in {quoted(schema)} is not "
            f"covered: only {quoted(owner)} or a superuser can set its default privileges; run "
            "the plan again after it made something"
        )
