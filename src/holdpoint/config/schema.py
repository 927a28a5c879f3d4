"""The shape of each table of the file, and turning what does not fit into words.

pydantic stays in this module. Tables are checked one by one, so that a mistake in one does not
hide those in another.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.policy.compile import nearest


def _as_list(value: object) -> object:
    """One word stands for a list of one."""
    return [value] if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_as_list)]


class Table(BaseModel):
    """A table of the file: no unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ServerTable(Table):
    """``[server]``."""

    listen: str = "127.0.0.1:6543"
    web: str = "127.0.0.1:7433"
    web_url: str = ""
    store: str = "holdpoint.db"
    tls: str = ""
    tls_cert: str = ""
    tls_key: str = ""


class QuorumTable(Table):
    """One member of ``all`` or ``any``."""

    group: str = ""
    count: int = Field(default=1, ge=1, le=100)


class ApproveTable(Table):
    """``approve`` of a rule, of a tier or of ``[holds]``."""

    all: list[QuorumTable] = []
    any: list[QuorumTable] = []
    expires: str = ""


class HoldsTable(Table):
    """``[holds]``."""

    wait: str = ""
    approve: ApproveTable | None = None


class PolicyTable(Table):
    """``[policy]``: the numbers of the built-in policy."""

    write_rows_max: int | None = Field(default=None, ge=0)
    big_table_rows: int | None = Field(default=None, ge=0)


class FreezeTable(Table):
    """``[[targets.X.freezes]]``."""

    name: str
    start: datetime | date
    end: datetime | date


class BudgetTable(Table):
    """``[targets.X.tiers.Y.budget]``."""

    statement_time: str | None = None
    rows: int | None = Field(default=None, ge=1)
    bytes: Any = None
    statements_per_minute: int | None = Field(default=None, ge=1)
    sessions: int | None = Field(default=None, ge=1)
    rows_written: int | None = Field(default=None, ge=0)
    idle_in_transaction: str | None = None
    lock_time: str | None = None


class BudgetRuleTable(BudgetTable):
    """``[[budgets]]``."""

    agents: Words | None = None
    tasks: Words | None = None
    targets: Words | None = None
    tiers: Words | None = None


class AllowTable(Table):
    """One member of ``allow`` of a tier."""

    agents: Words | None = None
    tasks: Words | None = None
    hours: str = ""
    from_: datetime | date | None = Field(default=None, alias="from")
    until: datetime | date | None = None


class MintTable(Table):
    """``mint`` of a tier."""

    url: str
    valid: str = ""


Objects = dict[str, Words]


class TierTable(Table):
    """``[targets.X.tiers.Y]``; ``allow``, ``mint`` and ``budget`` are checked on their own."""

    access: str
    url: Words
    password: str | None = None
    probe_url: str = ""
    environment: str | None = None
    replica: bool | None = None
    lag_over: str | None = None
    when_lagging: str | None = None
    agents: Words | None = None
    allow: Any = None
    approve: ApproveTable | None = None
    role: str | None = None
    grants: Objects | None = None
    sequences: Objects | None = None
    schemas: Objects | None = None
    functions: Objects | None = None
    settings: dict[str, Any] = {}
    mint: Any = None
    budget: Any = None


class TargetTable(Table):
    """``[targets.X]``; tiers and freezes are checked on their own."""

    engine: str = "postgres"
    admin_url: str = ""
    environment: str = "production"
    timezone: str = "UTC"
    business_hours: str = ""
    exact_rows: str = ""
    read_cost_over: int | None = Field(default=None, ge=0)
    freezes: Any = None
    tiers: Any = None


class WhenTable(Table):
    """``when`` of a rule."""

    effect: Words = []
    effects: Words = []
    rows_over: int | None = Field(default=None, ge=0)
    rows_up_to: int | None = Field(default=None, ge=0)
    table_rows_over: int | None = Field(default=None, ge=0)
    table_rows_up_to: int | None = Field(default=None, ge=0)
    objects: Words = []
    access: Words = []
    functions: Words = []
    tags: Words = []
    targets: Words = []
    tiers: Words = []
    environments: Words = []
    agents: Words = []
    tasks: Words = []
    business_hours: bool | None = None
    freeze: bool | None = None


class ExampleTable(Table):
    """An example with figures."""

    sql: str
    rows: int | None = Field(default=None, ge=0)
    table_rows: int | None = Field(default=None, ge=0)


class ExamplesTable(Table):
    """``[rules.examples]``; each is a statement or a table with figures."""

    allow: Any = None
    hold: Any = None
    deny: Any = None


class RuleTable(Table):
    """``[[rules]]``; ``when`` and ``examples`` are checked on their own."""

    id: str
    when: dict[str, Any]
    then: str
    reason: str
    approve: ApproveTable | None = None
    examples: dict[str, Any] = {}


SECTIONS: Final = ("budgets", "groups", "holds", "policy", "rules", "server", "targets")

_Kind = TypeVar("_Kind", bound=Table)

_MOMENTS: Final = ("start", "end", "from", "until")
_WORDS: Final = {
    "bool_type": "must be true or false",
    "date_type": "must be a date or a date and time",
    "datetime_type": "must be a date or a date and time",
    "dict_type": "must be a table",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "string_type": "must be text",
}


def checked(
    kind: type[_Kind], value: object, path: Path, notes: Notes
) -> tuple[_Kind | None, bool]:
    """The table, and whether it is whole.

    Notes each misfit. Keys that do not fit are then left out, so that the others can be checked
    against the rest of the file; None when too little is left.
    """
    try:
        return kind.model_validate(value), True
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=True, include_input=True):
            _note(kind, dict(each), path, notes)
        if not isinstance(value, dict):
            return None, False
        misfits = error.errors(include_url=False)
        wrong = {each["loc"][0] for each in misfits if each["loc"]}
        missing = [each["loc"][0] for each in misfits if each["type"] == "missing"]
    rest = {key: part for key, part in value.items() if key not in wrong}
    # Empty stands for a key that is missing, so that its neighbours are still looked at.
    rest.update({key: "" for key in missing if isinstance(key, str)})
    try:
        return kind.model_validate(rest), False
    except ValidationError:  # something required is among what did not fit: noted above
        return None, False


def _note(kind: type[Table], error: dict[str, Any], path: Path, notes: Notes) -> None:
    """One misfit in words."""
    inner: Path = tuple(error["loc"])
    if inner and inner[0] in _MOMENTS:  # a union's member is part of pydantic's place, not of ours
        inner = inner[:1]
    place: Path = (*path, *inner)
    key = next((part for part in reversed(inner) if isinstance(part, str)), "")
    name = f"`{key}`" if key else "this"
    problem = error["type"]
    if problem == "extra_forbidden":
        known = fields_of(kind, inner[:-1])
        notes.problem(place, f"unknown key {name}", nearest(key, known))
    elif problem == "missing":
        notes.problem(place[:-1], f"{name} is missing")
    elif problem in ("greater_than_equal", "less_than_equal"):
        context = error.get("ctx", {})
        bound = f"at least {context['ge']:,}" if "ge" in context else f"at most {context['le']:,}"
        notes.problem(place, f"{name} must be {bound}")
    else:
        notes.problem(place, f"{name} {_WORDS.get(problem, 'is not what this key takes')}")


def fields_of(kind: type[Table], inner: Path) -> list[str]:
    """The keys that a table inside another takes."""
    here: Any = kind
    for part in inner:
        if isinstance(part, int):
            continue
        found = here.model_fields.get(part)
        members = [found.annotation, *getattr(found.annotation, "__args__", ())] if found else []
        here = next(
            (each for each in members if isinstance(each, type) and issubclass(each, Table)), None
        )
        if here is None:
            return []
    return keys_of(here)


def keys_of(kind: type[Table]) -> list[str]:
    """The keys of a table as the file has them."""
    return [field.alias or name for name, field in kind.model_fields.items()]
