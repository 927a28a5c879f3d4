"""What a database asks of a role before it runs a statement: privileges, one by one."""

from __future__ import annotations

from dataclasses import dataclass

from holdpoint.model.grants import ObjectClass


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """One privilege on one object, or on one column of it.

    ``privilege`` is in lower case (``select``); ``column`` is empty for the whole object. ``oid``
    is that of the relation or function in the catalog that was asked, 0 for a schema, whose name
    stands in ``schema`` and ``name`` alike. A function's ``name`` is without its arguments.
    """

    kind: ObjectClass
    schema: str
    name: str
    privilege: str
    column: str = ""
    oid: int = 0

    @property
    def label(self) -> str:
        """``select(id) on public.orders`` as people read it."""
        what = f"{self.privilege}({self.column})" if self.column else self.privilege
        return f"{what} on {self.place}"

    @property
    def place(self) -> str:
        """``schema.name``, or a schema's own name."""
        return self.name if self.kind is ObjectClass.SCHEMA else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """All that a text needs; of each of ``choices`` one is enough.

    ``any_column`` is a choice of its own kind, kept apart because a table can have 1,600 columns:
    the privilege on whatever column of the relation. ``unknowns`` say in words what cannot be told
    (code that is built while it runs), ``beyond`` what no grant gives (ownership, superuser).
    ``missing`` are names that the catalog does not show, ``system`` relations and ``built_ins``
    functions of the server's own, whose rights only the server can tell. ``made`` are relations
    of the session's own making, named without a schema: it owns them; ``prepared`` are names of
    statements that it has prepared, which count where they were.
    """

    needs: frozenset[Need] = frozenset()
    choices: frozenset[tuple[Need, ...]] = frozenset()
    any_column: frozenset[Need] = frozenset()
    unknowns: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    built_ins: tuple[str, ...] = ()
    made: frozenset[str] = frozenset()
    prepared: frozenset[str] = frozenset()
