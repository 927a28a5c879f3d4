"""A picture of a database's catalog: what stands behind the names that statements use.

Plain rows, as ``engine.catalogs`` reads them and ``sql.names`` looks them up. Names are as the
server stores them; expressions and definitions are texts that the server itself has written
(``pg_get_expr``, ``pg_get_viewdef``, …; PostgreSQL manual, section 9.27), so they can be read with
its grammar. An oid of 0 stands for nothing. Objects of ``pg_catalog`` and ``information_schema``
are not in here: the table of built-ins, shipped with Holdpoint, speaks of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RelationKind(StrEnum):
    """What a relation is; the values are those of ``pg_class.relkind``."""

    TABLE = "r"
    PARTITIONED = "p"
    VIEW = "v"
    MATERIALIZED_VIEW = "m"
    FOREIGN_TABLE = "f"
    SEQUENCE = "S"
    COMPOSITE = "c"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; ``default`` is the text of its default or generating expression."""

    name: str
    type_oid: int
    not_null: bool = False
    default: str = ""
    generated: bool = False  # GENERATED ALWAYS AS (expression)
    identity: bool = False
    type_modifier: int | None = None  # pg_attribute.atttypmod: -1 none; None when it was not read


@dataclass(frozen=True, slots=True)
class Index:
    """An index: ``columns`` in order, an empty name for an expression.

    ``expressions`` and ``predicate`` are texts, for what evaluating them calls. ``unique`` counts
    only when it is ``valid`` and ``immediate`` or not alike.
    """

    oid: int
    name: str
    columns: tuple[str, ...]
    unique: bool = False
    primary: bool = False
    valid: bool = True
    method: str = "btree"
    expressions: str = ""
    predicate: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint; ``kind`` is ``pg_constraint.contype``: c, f, n, p, u, x, t.

    For a foreign key, ``references`` is the oid of the table referred to, ``on_delete`` and
    ``on_update`` are ``a`` no action, ``r`` restrict, ``c`` cascade, ``n`` set null, ``d`` set
    default. ``expression`` is the text of a check.
    """

    name: str
    kind: str
    columns: tuple[str, ...] = ()
    references: int = 0
    referenced_columns: tuple[str, ...] = ()
    on_delete: str = "a"
    on_update: str = "a"
    expression: str = ""
    valid: bool = True
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that is no part of a foreign key. ``events`` are words: insert, update, ...

    ``enabled`` is ``pg_trigger.tgenabled``: O origin, A always, R replica, D disabled.
    ``columns`` are those of UPDATE OF. ``when`` is the text of its condition.
    """

    name: str
    function: int
    events: frozenset[str]
    timing: str  # before, after, instead
    per_row: bool
    enabled: str = "O"
    columns: tuple[str, ...] = ()
    when: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite rule other than a view's SELECT; ``definition`` is the whole CREATE RULE."""

    name: str
    event: str  # insert, update, delete, select
    instead: bool
    enabled: str
    definition: str


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """A row-level security policy; ``command`` is ``pg_policy.polcmd``: r, a, w, d or *."""

    name: str
    command: str
    using: str = ""
    check: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A privilege held on a relation or function: by whom (empty for PUBLIC), which."""

    grantee: str
    privilege: str  # SELECT, INSERT, ... as aclexplode writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, view, sequence or the like, with all that hangs on it.

    ``rows`` is the planner's count (``reltuples``), -1 when never analysed; ``size_bytes`` counts
    the main fork of the relation itself. ``parents`` are the tables it is a partition of or
    inherits from. ``definition`` is the query of a view or materialized view. ``extension`` names
    the extension it belongs to.
    """

    oid: int
    schema: str
    name: str
    kind: RelationKind
    owner: str
    rows: int = -1
    size_bytes: int = 0
    temporary: bool = False
    row_security: bool = False
    type_oid: int = 0  # its row type
    columns: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    rules: tuple[Rule, ...] = ()
    policies: tuple[RowPolicy, ...] = ()
    grants: tuple[Grant, ...] = ()
    parents: tuple[int, ...] = ()
    definition: str = ""
    security_invoker: bool = False
    extension: str = ""

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function, procedure, aggregate or window function of a user or an extension.

    ``kind`` is ``pg_proc.prokind``: f, p, a, w. ``arguments`` are the types of input arguments in
    order (of a variadic one the array's), ``defaults`` how many at the end may be left out.
    ``argument_names`` are all its arguments' names, those it returns included: variables inside it.
    ``body`` is ``prosrc``, or for a body in standard SQL (``BEGIN ATOMIC``) the text between.
    ``volatility`` is i, s or v. ``uses`` are functions it stands on: an aggregate's transition and
    final functions. ``settings`` are those of its SET clauses.
    """

    oid: int
    schema: str
    name: str
    kind: str = "f"
    language: str = "sql"
    owner: str = ""
    arguments: tuple[int, ...] = ()
    argument_names: tuple[str, ...] = ()
    defaults: int = 0
    variadic: bool = False
    returns: int = 0
    volatility: str = "v"
    security_definer: bool = False
    body: str = ""
    standard_body: bool = False
    settings: tuple[str, ...] = ()
    uses: tuple[int, ...] = ()
    extension: str = ""
    default_expressions: str = ""  # the arguments' defaults, as one text
    support: int = 0  # prosupport: the planner calls it

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of a user or an extension, and the function it calls.

    ``estimators`` are the functions that the planner calls for its selectivity.
    """

    oid: int
    schema: str
    symbol: str
    left: int
    right: int
    function: int
    extension: str = ""
    estimators: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast that calls a function outside ``pg_catalog``; ``context`` is e, a or i."""

    source: int
    target: int
    function: int
    context: str
    extension: str = ""


@dataclass(frozen=True, slots=True)
class DataType:
    """A type outside ``pg_catalog``; ``kind`` is ``pg_type.typtype``: b, c, d, e, r, m.

    ``base`` is a domain's base type or an array's element type. ``checks`` are a domain's checks,
    ``default`` its default. ``functions`` are user functions that input, output or, for a range,
    canonical and difference call.
    """

    oid: int
    schema: str
    name: str
    kind: str
    base: int = 0
    relation: int = 0
    not_null: bool = False
    checks: tuple[str, ...] = ()
    default: str = ""
    functions: tuple[int, ...] = ()
    extension: str = ""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An event trigger: DDL sets it off. ``event`` as in the manual, ``tags`` empty for all."""

    name: str
    event: str
    function: int
    enabled: str = "O"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """A role and what it may."""

    name: str
    superuser: bool = False
    bypass_row_security: bool = False
    can_login: bool = False
    member_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """An installed extension."""

    name: str
    schema: str
    version: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something outside its table that stands on a relation or function: views, functions, ...

    ``kind`` is a word (view, materialized view, function, policy, ...); ``on`` is the oid of what
    it stands on, ``column`` the column it needs, if only that.
    """

    on: int
    kind: str
    name: str
    column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRows:
    """One consistent picture, read in one transaction.

    ``built_ins`` are oid and name of each function of the server's own that these rows refer to.
    ``version`` is the server's (180001). ``search_path`` and ``role`` are those a fresh session of
    the reader has, ``$user`` resolved. ``schemas`` are all the reader may use. ``mark`` changes
    when the catalog does: a digest that the server computes over what it stores.
    """

    version: int
    role: str
    search_path: tuple[str, ...]
    schemas: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()
    functions: tuple[Function, ...] = ()
    operators: tuple[Operator, ...] = ()
    casts: tuple[Cast, ...] = ()
    types: tuple[DataType, ...] = ()
    event_triggers: tuple[EventTrigger, ...] = ()
    roles: tuple[Role, ...] = ()
    extensions: tuple[Extension, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    built_ins: tuple[tuple[int, str], ...] = ()
    mark: str = ""
