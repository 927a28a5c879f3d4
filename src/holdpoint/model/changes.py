"""What a definition changes, as its text says it: everything that its locks and its work hang on.

The reader fills these from the syntax tree; ``impact`` turns them into locks, scans, rewrites and
ways back. Names are as the server folds them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    """A name as written: ``schema`` is empty where the search path decides."""

    schema: str
    name: str

    @property
    def label(self) -> str:
        """``schema.name`` as people write it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class WrittenType:
    """A type as written; ``modifiers`` are its constants (a length), None when one is none."""

    name: Name
    modifiers: tuple[int, ...] | None = ()
    array: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConstraint:
    """A constraint as written; ``kind`` is as in ``pg_constraint.contype``: c, f, n, p, u, x.

    ``index`` is that of USING INDEX. ``checks`` is False with NOT VALID or NOT ENFORCED: rows that
    are there are not looked at.
    """

    kind: str
    name: str = ""
    columns: tuple[str, ...] = ()
    references: Name | None = None
    index: str = ""
    checks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewColumn:
    """A column as ADD COLUMN, or its type as ALTER COLUMN TYPE, writes it.

    ``generated`` is ``s`` stored, ``v`` virtual or empty. ``functions`` and ``operators`` are those
    that its default or USING calls. ``computed`` is True when USING does more than cast the column.
    """

    type: WrittenType | None = None
    default: bool = False
    generated: str = ""
    identity: bool = False
    functions: tuple[Name, ...] = ()
    operators: tuple[str, ...] = ()
    computed: bool = False
    collation: bool = False
    constraints: tuple[NewConstraint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a definition does to one object.

    ``action`` is a subcommand of ALTER TABLE as the grammar names it (``AT_AddColumn``), or a
    command in capitals (``DROP``, ``CREATE INDEX``, ``TRUNCATE``, ``RENAME``). ``kind`` is what
    the object is, in the command's words. ``part`` is the column, constraint, index or trigger
    meant. ``others`` are further relations the command locks: partitions, parents. ``options`` are
    names of storage parameters, or the mode of LOCK TABLE.
    """

    action: str
    on: Name
    kind: str = "TABLE"
    part: str = ""
    column: NewColumn | None = None
    constraint: NewConstraint | None = None
    others: tuple[Name, ...] = ()
    options: tuple[str, ...] = ()
    cascade: bool = False
    concurrently: bool = False
    replace: bool = False
