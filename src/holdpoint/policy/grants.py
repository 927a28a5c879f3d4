"""What a tier grants, as the gate's second line: the database's own grants are the first.

A tier that names `grants` gives its agents those tables and verbs and no others, whatever the
database's role may do besides. What counts is what the server's own privileges would be asked for:
what a statement itself names, and what functions reach that run as their caller. What a view or a
SECURITY DEFINER function reaches is checked against its owner; what triggers do, which columns a
SELECT reads and what filters of writes read are left to the database. Relations of the catalog that
show rows of tables (samples, large objects, chunks of long values) are given like tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdpoint.model.case import Case
from holdpoint.model.effects import Reading, RelationUse, Statement, Verb
from holdpoint.model.finding import Finding
from holdpoint.model.grants import Grant, ObjectClass
from holdpoint.policy.tiers import how_to_ask, may_use
from holdpoint.policy.words import described, listed, quoted
from holdpoint.sql import is_built_in

OUTSIDE = "HP7007"
GRANTS_RULE = "grants"

ANY = "*"
# A name that no catalog has resolved is looked for where the configuration would put it.
USUAL_SCHEMA = "public"
# Of the server's own relations, those with values that tables hold, or secrets of other servers
# (manual, chapter "System Catalogs"); the server filters some of them by the role's privileges.
TOAST = "pg_toast"
SHOW_DATA = frozenset(
    {
        "pg_largeobject",
        "pg_statistic",
        "pg_statistic_ext_data",
        "pg_stats",
        "pg_stats_ext",
        "pg_stats_ext_exprs",
        "pg_subscription",
        "pg_user_mapping",
        "pg_user_mappings",
        "user_mapping_options",
    }
)


@dataclass(frozen=True, slots=True)
class Granted:
    """The privileges of a tier by schema and name; ``*`` is every table of a schema.

    Columns are those that a privilege covers, None for all of them.
    """

    tables: dict[tuple[str, str], dict[str, frozenset[str] | None]]

    def gives(self, use: RelationUse) -> bool:
        """Tell whether the use is within the grants."""
        schema = use.schema or USUAL_SCHEMA
        left = set(use.columns)
        for name in (use.name, ANY):
            columns = self.tables.get((schema, name), {}).get(use.verb.value, frozenset())
            loose = use.verb is Verb.SELECT or use.as_caller  # its columns are not known
            if columns is None or (columns and loose):
                return True
            left -= columns
        return bool(use.columns) and not left

    def of(self, use: RelationUse) -> list[str]:
        """Return what the tier gives of the use's table, in words."""
        schema = use.schema or USUAL_SCHEMA
        found: dict[str, None] = {}
        for name in (use.name, ANY):
            for privilege, columns in self.tables.get((schema, name), {}).items():
                words = "" if columns is None else f"({', '.join(sorted(columns))})"
                found[privilege.upper() + words] = None
        return list(found)


def granted_of(grants: tuple[Grant, ...] | None) -> Granted | None:
    """Return the grants of a tier, ready to be asked; None where it names none."""
    if grants is None:
        return None
    tables: dict[tuple[str, str], dict[str, frozenset[str] | None]] = {}
    for grant in grants:
        if grant.kind is not ObjectClass.TABLE:
            continue
        entry = tables.setdefault((grant.schema, grant.name), {})
        for privilege in grant.privileges:
            known = entry.get(privilege.name, frozenset())
            if known is None or not privilege.columns:
                entry[privilege.name] = None
            else:
                entry[privilege.name] = known | set(privilege.columns)
    return Granted(tables)


def outside(granted: Granted | None, statement: Statement) -> tuple[RelationUse, ...]:
    """Return the uses that the grants do not cover, in the statement's order."""
    if granted is None:
        return ()
    return tuple(
        [use for use in statement.uses if is_checked(use) and not granted.gives(use)],
    )


def all_inside(granted: Granted | None, reading: Reading) -> bool:
    """Tell whether the grants cover everything that a message names."""
    if granted is None:
        return True
    return not any(outside(granted, each) for each in reading.statements)


def is_checked(use: RelationUse) -> bool:
    """Tell whether a grant must cover the use: not the server's own, nor a session's own tables.

    What defines is judged by the access level: no grant gives it.
    """
    if use.through and not use.as_caller:
        return False
    if use.verb is Verb.DEFINE or use.schema.startswith("pg_temp"):
        return False
    if use.verb is not Verb.SELECT or not is_built_in(use):
        return True
    return use.schema == TOAST or use.name in SHOW_DATA


def not_granted(case: Case, granted: Granted, statement: Statement, use: RelationUse) -> Finding:
    """Return the reason of a refusal: what the tier gives of the table, and where more is given."""
    given = granted.of(use)
    label = f"{use.schema}.{use.name}" if use.schema else use.name
    columns = f" ({', '.join(use.columns)})" if use.columns else ""
    words = f"only {listed(given)}" if given else "nothing"
    return Finding(
        code=OUTSIDE,
        message=f"{described(statement)}: {use.verb.value.upper()}{columns} on {quoted(label)} is "
        f"outside the grants of tier {quoted(case.tier.name)}",
        detail=f"it gives {words} on {quoted(label)}",
        hint=_where(case, use),
    )


def _where(case: Case, use: RelationUse) -> str:
    """Name the tier with the least access that grants the use, and how to get there."""
    for tier in case.target.by_access():
        granted = granted_of(tier.grants)
        if tier is case.tier or granted is None or not granted.gives(use):
            continue
        path = f"{case.target.name}/{tier.name}"
        if may_use(case.target, tier, case.agent, case.task, case.task_tiers, case.at):
            return f"connect to database {quoted(path)}, which grants it"
        return how_to_ask(path)
    if path := _unbounded(case):
        return f"no `grants` give this; database {quoted(path)} has none and asks its role alone"
    return "no tier grants this; the people who run this gate can add it to `grants` of a tier"


def _unbounded(case: Case) -> str:
    """Return the least tier that the agent may use, with no less access and without ``grants``."""
    tiers = case.target.by_access()
    for tier in tiers[tiers.index(case.tier) + 1 :]:
        if tier.grants is None and may_use(
            case.target, tier, case.agent, case.task, case.task_tiers, case.at
        ):
            return f"{case.target.name}/{tier.name}"
    return ""
