"""What a statement does: the closed set of effects, and what they touch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdpoint.model.changes import Change


class Effect(StrEnum):
    """The closed set of the design, section 4."""

    READ = "read"
    WRITE = "write"  # INSERT, filtered UPDATE/DELETE/MERGE
    BULK_WRITE = "bulk_write"  # UPDATE/DELETE/MERGE without an effective filter
    DDL = "ddl"
    DESTRUCTIVE = "destructive"  # DROP, TRUNCATE, column drop: data that cannot come back
    PRIVILEGE = "privilege"  # GRANT, REVOKE, role changes, SET ROLE, SECURITY DEFINER
    SESSION_ESCAPE = "session_escape"  # leaving the read-only state, shadowing names
    SERVER_SIDE = "server_side"  # files, programs, dblink/FDW, extensions, ALTER SYSTEM, backends
    EXHAUSTION = "exhaustion"  # sleep, lock-taking, unbounded products
    UNKNOWN = "unknown"


class Dialect(StrEnum):
    """Whose grammar a text is read with."""

    POSTGRES = "postgres"


class Access(StrEnum):
    """How a statement uses an object."""

    READ = "read"
    WRITE = "write"
    DEFINE = "define"


class ObjectKind(StrEnum):
    """Kinds of objects a statement can name; ``RELATION`` when only a catalog could tell."""

    RELATION = "relation"
    INDEX = "index"
    SEQUENCE = "sequence"
    VIEW = "view"
    SCHEMA = "schema"
    DATABASE = "database"
    FUNCTION = "function"
    TYPE = "type"
    ROLE = "role"
    EXTENSION = "extension"
    OTHER = "other"


class TransactionMark(StrEnum):
    """Transaction control in a statement, for tracking what a session has open."""

    NONE = ""
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    ROLLBACK_TO = "rollback_to"
    PREPARE_TRANSACTION = "prepare_transaction"


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """One object of the database and how a statement uses it. Names as the server folds them."""

    name: str
    schema: str = ""
    kind: ObjectKind = ObjectKind.RELATION
    access: Access = Access.READ

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Verb(StrEnum):
    """What is done to a relation, as triggers, rules and privileges tell verbs apart."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"
    DEFINE = "define"


@dataclass(frozen=True, slots=True)
class RelationUse:
    """One relation and what is done to it, by the statement or by what it sets off.

    ``columns`` are those an UPDATE or INSERT names, empty for all. ``oid`` is 0 when no catalog
    shows the relation. ``through`` names the views, triggers, rules, functions and foreign keys on
    the way, outermost first; empty when the statement itself names the relation. ``as_caller`` says
    that functions on the way reach it with the rights of the session's own role.
    """

    schema: str
    name: str
    verb: Verb
    columns: tuple[str, ...] = ()
    oid: int = 0
    through: tuple[str, ...] = ()
    as_caller: bool = field(default=False, compare=False)


class MarkKind(StrEnum):
    """What the reader noticed about a statement; one or more hazards speak of each kind."""

    NO_WHERE = "no_where"  # subject: table; detail: UPDATE, DELETE
    CONSTANT_WHERE = "constant_where"  # the filter is true for every row
    MERGE_UNFILTERED = "merge_unfiltered"
    TRUNCATE = "truncate"
    DROP = "drop"  # subject: object; detail: TABLE, INDEX, SCHEMA, ...
    DROP_COLUMN = "drop_column"  # subject: table; detail: column
    ALTER_TABLE = "alter_table"  # subject: table; detail: what is altered
    CREATE = "create"
    CREATE_INDEX = "create_index"  # subject: table; detail: "concurrently" or ""
    PRIVILEGE = "privilege"  # GRANT, REVOKE, roles, ownership, policies
    ASSUME_ROLE = "assume_role"  # SET ROLE, SET SESSION AUTHORIZATION
    SECURITY_DEFINER = "security_definer"
    READ_WRITE = "read_write"  # leaves the read-only state
    SEARCH_PATH = "search_path"
    READING_SETTING = "reading_setting"  # changes how later text is read
    UNSAFE_SETTING = "unsafe_setting"  # subject: setting; one the gate does not know as harmless
    PROGRAM = "program"  # COPY ... PROGRAM
    SERVER_FILE = "server_file"  # subject: path or function
    FUNCTION = "function"  # subject: known dangerous built-in; detail: why
    UNKNOWN_FUNCTION = "unknown_function"
    EXTENSION = "extension"
    LANGUAGE = "language"
    SYSTEM_SETTING = "system_setting"  # ALTER SYSTEM, ALTER DATABASE/ROLE ... SET
    FOREIGN = "foreign"  # dblink, FDW servers, subscriptions, publications
    LARGE_OBJECT = "large_object"
    BACKEND = "backend"  # pg_terminate_backend, pg_cancel_backend
    SLEEP = "sleep"
    LOCK = "lock"  # LOCK TABLE, advisory locks
    PRODUCT = "product"  # unbounded products
    UNBOUNDED = "unbounded"  # subject: what makes rows without an end; detail: how many
    MAINTENANCE = "maintenance"  # VACUUM FULL, CLUSTER, REINDEX
    CODE = "code"  # DO, CALL, function bodies
    TWO_PHASE = "two_phase"  # PREPARE TRANSACTION and its ends
    UNREADABLE = "unreadable"  # the text, its encoding or a node the reader does not know
    # What only a catalog shows.
    TRIGGER_OUTSIDE = "trigger_outside"  # subject: table; detail: trigger and what it reaches
    CASCADE = "cascade"  # subject: child table; detail: what becomes of its rows, and through what
    THROUGH = "through"  # subject: view, function, trigger; detail: what it does that is not read
    DYNAMIC_SQL = "dynamic_sql"  # subject: function; detail: line
    UNREADABLE_BODY = "unreadable_body"  # subject: function; detail: language
    DEFINER_CALL = "definer_call"  # subject: SECURITY DEFINER function called; detail: owner
    ROLE_UNSURE = "role_unsure"  # subject: setting; detail: why the session's role is not certain
    NAMES_UNSURE = "names_unsure"  # subject: setting; detail: why names could mean something else
    EVENT_TRIGGER = "event_trigger"  # subject: event trigger; detail: what its function does
    NO_CATALOG = "no_catalog"  # detail: why the catalog could not be read


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing the reader noticed: of which kind, about what, in which detail."""

    kind: MarkKind
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """The server's grammar refuses the text. ``position`` counts characters from 1, 0 = unknown."""

    message: str
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a message, read.

    ``tag`` is the command tag without counts (``DELETE``, ``CREATE TABLE``). ``marks`` are what the
    hazards of ``impact/hazards`` turn into findings. ``unknowns`` say in words what was not
    understood; non-empty exactly when ``Effect.UNKNOWN`` is among the effects. ``text`` is the
    statement's own slice of the message.
    """

    tag: str
    text: str
    effects: frozenset[Effect]
    objects: tuple[ObjectUse, ...] = ()
    functions: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    unknowns: tuple[str, ...] = ()
    # What it does to which relation, itself or through what it sets off.
    uses: tuple[RelationUse, ...] = ()
    # What its definitions change, with the details that locks and work hang on.
    changes: tuple[Change, ...] = ()
    # The most rows it can itself change, where its text or a unique key proves a number.
    rows_max: int | None = None
    # Of the effects, those of functions that planning may already run (they are declared IMMUTABLE
    # or STABLE): nothing with such effects may be explained lightly.
    called: frozenset[Effect] = frozenset()
    # A function it calls, itself or in a view, changes rows that its command tag does not count.
    rows_inside: bool = False
    # COPY ... FROM STDIN: the rows come from the client while it runs, and nobody knows how many.
    reads_data: bool = False
    # Settings it sets, by itself or inside a function: None for a value that is not constant, an
    # empty one for RESET; the name ``*`` for all of them.
    sets: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    # Oids of the catalog's functions that run, however they are set off.
    reached: tuple[int, ...] = ()
    transaction: TransactionMark = TransactionMark.NONE
    # Names for the session to remember (PREPARE) or forget (DEALLOCATE; "*" means all).
    prepares: tuple[tuple[str, Statement], ...] = ()
    deallocates: str = ""
    # True when the same text could mean something else in another state of the session.
    depends_on_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """What reading a text needs to know about its session. Hashable: part of the memo's key.

    ``prepared`` maps names of prepared statements to what they do. ``standard_conforming_strings``
    off, or an encoding the gate cannot read, makes some texts unknown. ``portals`` maps names of
    portals that the protocol bound and that have not run to the end: SQL's FETCH and MOVE run them.
    """

    standard_conforming_strings: bool = True
    encoding: str = "UTF8"
    prepared: tuple[tuple[str, Statement], ...] = ()
    portals: tuple[tuple[str, Statement], ...] = ()
    # The search paths it may have; empty for the one that a fresh session has. ``any_path`` when it
    # may be any other, too.
    search_paths: tuple[tuple[str, ...], ...] = ()
    any_path: bool = False
    # Its open transaction has defined code (functions, triggers, views) that no picture shows yet.
    defines_code: bool = False
    # What is not sure about it; each makes what uses any name unknown.
    unsure: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything one message's text says: all statements in order, or the reason it cannot be read.

    ``text_only`` is True when nothing but the text (and the catalog) decided the reading, so it can
    be remembered. ``schema`` is a digest over the definitions of all that a text which does more
    than read uses or sets off; empty without a catalog.
    """

    text: str
    statements: tuple[Statement, ...] = ()
    problem: SyntaxProblem | None = None
    text_only: bool = True
    effects: frozenset[Effect] = frozenset()
    objects: tuple[ObjectUse, ...] = ()
    functions: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    schema: str = ""

    @property
    def reads_data(self) -> bool:
        """Whether the message is one COPY from the client, and nothing besides.

        How many rows come is not known before, and need not be: they are counted as they come.
        """
        return len(self.statements) == 1 and self.statements[0].reads_data
