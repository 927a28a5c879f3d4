"""Who else may use a table: roles that hold privileges on it."""

from __future__ import annotations

from collections.abc import Iterable

from holdpoint.model.catalog import Relation
from holdpoint.model.impact import TableUser


def users_of(relations: Iterable[Relation], own_role: str) -> tuple[TableUser, ...]:
    """Roles with grants on ``relations``, without the owner and the agent's own role."""
    found: list[TableUser] = []
    for relation in relations:
        privileges: dict[str, dict[str, None]] = {}
        for grant in relation.grants:
            if grant.grantee not in (relation.owner, own_role):
                privileges.setdefault(grant.grantee, {})[grant.privilege] = None
        for grantee, held in privileges.items():
            found.append(
                TableUser(
                    table=relation.label,
                    kind="role",
                    name=grantee or "PUBLIC",
                    detail=", ".join(held),
                )
            )
    return tuple(found)
