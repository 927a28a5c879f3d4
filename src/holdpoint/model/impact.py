"""Impact: how much a statement would change, and whom it would touch. Each figure has a basis."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Basis(StrEnum):
    """Where a figure comes from."""

    EXACT = "exact"
    ESTIMATE = "estimate"
    UNKNOWN = "unknown"  # asked, and no answer came: never to be read as "few"
    NOT_ASKED = "not asked"  # no database was given, or policy did not need the figure
    WHEN_RUN = "when run"  # nobody can know before; the bound that policy sets is enforced then


class Fact(StrEnum):
    """A figure that policy can need and a probe can bring."""

    ROWS = "rows"
    TABLE_ROWS = "table_rows"
    READ_COST = "read_cost"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its basis; ``value`` is None exactly when the basis gives none."""

    value: int | None = None
    basis: Basis = Basis.NOT_ASKED
    why: str = ""  # for UNKNOWN: what went wrong, in words; for ESTIMATE: why it is not exact


class LockMode(StrEnum):
    """Table-level lock modes, weakest first (manual, section 13.3.1)."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"


class Work(StrEnum):
    """What a definition does to the rows that are there."""

    NONE = "none"  # only the catalog changes
    SCAN = "scan"  # every row is read under the lock
    REWRITE = "rewrite"  # the table or index is written anew under the lock
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableImpact:
    """One table that a statement writes or defines.

    ``rows`` are those that change, ``table_rows`` those that are there. ``blocks`` says in words
    who waits behind the lock; ``busy`` counts sessions that use the table right now and would wait,
    or be waited for.
    """

    name: str
    rows: Figure = Figure()
    table_rows: Figure = Figure()
    size_bytes: Figure = Figure()
    indexes: tuple[str, ...] = ()  # that each changed row maintains
    partitions: int = 0
    lock: LockMode | None = None
    blocks: str = ""
    work: Work = Work.NONE
    why: str = ""  # why it scans or rewrites
    busy: Figure = Figure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Rows of another table that a foreign key removes or changes; ``level`` counts from 1."""

    level: int
    table: str
    constraint: str
    action: str  # delete, set null, set default, update
    through: str  # the table whose rows set it off
    rows: Figure = Figure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A trigger or rule that the statement sets off, and what it does, in words.

    ``outside`` is True when it reaches beyond the database's own tables: notifications, webhooks,
    other servers, programs.
    """

    table: str
    name: str
    when: str  # "after update, each row"
    function: str = ""
    does: tuple[str, ...] = ()
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """Something that stands on what is dropped or altered."""

    kind: str  # view, function, foreign key, ...
    name: str
    on: str
    goes: bool = False  # it is dropped as well: by CASCADE, or as a part of what is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUser:
    """Who else uses a table: ``kind`` is role (by grant), application (active now) or agent."""

    table: str
    kind: str
    name: str
    detail: str = ""


class Undo(StrEnum):
    """Whether what a statement does can be taken back once it is committed."""

    NOTHING = "nothing to undo"
    REVERSE = "by a statement that reverses it"
    WITH_OLD_ROWS = "only from a copy of the old rows"
    BACKUP = "only from a backup"
    NEVER = "not at all"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCost:
    """What the planner expects of a read: its total cost in planner units, rows, and the plan.

    ``basis`` is UNKNOWN when the planner gave no answer; ``why`` then says what went wrong, and the
    numbers mean nothing.
    """

    cost: int
    rows: int
    hurts: str = ""  # why it would hurt, in words; empty when it would not
    plan: tuple[str, ...] = ()  # lines as EXPLAIN writes them
    basis: Basis = Basis.ESTIMATE
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """How much: what policy decides on, and what a person needs to judge.

    ``rows`` counts rows that the statements themselves change, ``table_rows`` those of the largest
    table altered. The rest is gathered when people are asked. ``failed`` names what could not be
    found out, in words. ``words`` say the whole in plain sentences, most important first.
    """

    rows: Figure = Figure()
    table_rows: Figure = Figure()
    tables: tuple[TableImpact, ...] = ()
    cascades: tuple[Cascade, ...] = ()
    firings: tuple[Firing, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    users: tuple[TableUser, ...] = ()
    undo: Undo | None = None
    undo_how: str = ""
    read: ReadCost | None = field(default=None)
    failed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def most_rows(self) -> Figure:
        """The most rows that change in one table, those that foreign keys change included.

        What policy compares and a bound is set by: one row of a table can take a million others
        with it. A cascade whose rows are unknown makes the whole unknown.
        """
        if self.rows.value is None:
            return self.rows
        tables: dict[str, int] = {}
        most = self.rows
        for cascade in self.cascades:
            rows = cascade.rows
            if rows.basis is Basis.UNKNOWN:
                why = f"rows of `{cascade.table}` through `{cascade.constraint}`: {rows.why}"
                return Figure(None, Basis.UNKNOWN, why)
            tables[cascade.table] = tables.get(cascade.table, 0) + (rows.value or 0)
            if tables[cascade.table] > (most.value or 0):
                most = Figure(tables[cascade.table], rows.basis, rows.why)
        return most
