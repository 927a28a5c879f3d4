"""HP2206: others use the table."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, listed
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact, TableUser

CODE: Final = "HP2206"
TITLE: Final = "others use the table"
EXAMPLES_HIT: Final = (
    Impact(
        users=(
            TableUser(table="orders", kind="application", name="billing", detail="active now"),
            TableUser(table="orders", kind="role", name="reports", detail="may SELECT"),
        )
    ),
)
EXAMPLES_MISS: Final = (Impact(),)

_KINDS: Final = {"application": "application", "agent": "agent", "role": "role"}


def _named(user: TableUser) -> str:
    return f"{_KINDS.get(user.kind, 'user')} `{clip(user.name)}`"


def describe(impact: Impact) -> tuple[Finding, ...]:
    """One finding for each table that somebody else uses; who is active now stands first."""
    tables: dict[str, list[TableUser]] = {}
    for user in impact.users:
        tables.setdefault(user.table, []).append(user)
    return tuple(_finding(table, users) for table, users in tables.items())


def _finding(table: str, users: list[TableUser]) -> Finding:
    ranked = sorted(
        users, key=lambda user: list(_KINDS).index(user.kind) if user.kind in _KINDS else 3
    )
    names = list(dict.fromkeys(_named(user) for user in ranked))
    details = dict.fromkeys(
        f"{clip(user.name)}: {clip(user.detail)}" for user in ranked if user.detail
    )
    return Finding(
        code=CODE,
        message=f"`{clip(table)}` is not yours alone: {listed(names)} use it"
        if len(names) > 1
        else f"`{clip(table)}` is not yours alone: {names[0]} uses it",
        detail="; ".join(details),
        hint="tell the people behind it before you change what they rely on",
    )
