"""Names, looked up as the server would: the index over one picture of a catalog.

What a name means depends on the session's search_path (manual, section 5.10.3). Where a session can
have one of several, each is tried and all that is found counts: more is followed, never less.
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.catalog import (
    Cast,
    CatalogRows,
    Constraint,
    DataType,
    Dependency,
    Function,
    Operator,
    Relation,
)

SYSTEM_SCHEMAS: Final = frozenset(("pg_catalog", "information_schema", "pg_toast"))
"""Schemas whose objects the shipped table of built-ins speaks of, not a catalog's picture."""


class Paths:
    """The search paths that a session may have; ``anywhere`` when it could be any other, too."""

    def __init__(self, paths: tuple[tuple[str, ...], ...], anywhere: bool = False) -> None:
        self.paths: Final = paths
        self.anywhere: Final = anywhere
        schemas: set[str] = set()
        for path in paths:
            schemas.update(path)
        self.schemas: Final = frozenset(schemas)

    def sees(self, schema: str) -> bool:
        """Whether an unqualified name may mean something in ``schema``."""
        return self.anywhere or schema in self.schemas


QUALIFIED: Final = Paths(())
"""For texts that the server wrote for us: every name outside ``pg_catalog`` has its schema."""


class Catalog:
    """Everything in one picture of a catalog, by oid and by name. Immutable once it is built."""

    def __init__(self, rows: CatalogRows) -> None:
        self.rows: Final = rows
        self.paths: Final = Paths((rows.search_path,))
        self._relations: dict[int, Relation] = {}
        self._relations_named: dict[str, list[Relation]] = {}
        self._indexed: dict[str, list[Relation]] = {}
        self._children: dict[int, list[Relation]] = {}
        self._referencing: dict[int, list[tuple[Relation, Constraint]]] = {}
        self._functions: dict[int, Function] = {each.oid: each for each in rows.functions}
        self._functions_named: dict[str, list[Function]] = {}
        self._operators: dict[str, list[Operator]] = {}
        self._types: dict[int, DataType] = {each.oid: each for each in rows.types}
        self._types_named: dict[str, list[DataType]] = {}
        self._casts_to: dict[int, list[Cast]] = {}
        self._row_types = {each.type_oid for each in rows.relations if each.type_oid}
        # Functions of casts to built-in types, which have no oid here.
        self.built_in_casts: list[int] = []
        self._dependents: dict[int, list[Dependency]] = {}
        self._implicit: dict[int, list[int]] = {}
        # What following an object was found to do, by ``sql.consequences``; it stays true as long
        # as the picture does.
        self.followed: dict[Any, Any] = {}
        self._index_relations()
        self._index_functions()

    def _index_relations(self) -> None:
        for relation in self.rows.relations:
            self._relations[relation.oid] = relation
            self._relations_named.setdefault(relation.name, []).append(relation)
            for index in relation.indexes:
                self._indexed.setdefault(index.name, []).append(relation)
            for parent in relation.parents:
                self._children.setdefault(parent, []).append(relation)
            for constraint in relation.constraints:
                if constraint.kind == "f":
                    found = self._referencing.setdefault(constraint.references, [])
                    found.append((relation, constraint))
        for dependency in self.rows.dependencies:
            self._dependents.setdefault(dependency.on, []).append(dependency)

    def _index_functions(self) -> None:
        for oid, name in self.rows.built_ins:
            # By oid only, where users' objects refer to them; the table of built-ins judges them.
            self._functions[oid] = Function(
                oid=oid, schema="pg_catalog", name=name, body=f"SELECT pg_catalog.{name}()"
            )
        for function in self.rows.functions:
            self._functions_named.setdefault(function.name, []).append(function)
        for data_type in self.rows.types:
            self._types_named.setdefault(data_type.name, []).append(data_type)
        for operator in self.rows.operators:
            self._operators.setdefault(operator.symbol, []).append(operator)
        for cast in self.rows.casts:
            self._casts_to.setdefault(cast.target, []).append(cast)
            if not self.is_own(cast.target):
                self.built_in_casts.append(cast.function)
            if cast.context != "e":
                for oid in self.own_types(cast.source, cast.target):
                    self._implicit.setdefault(oid, []).append(cast.function)

    def is_own(self, oid: int) -> bool:
        """Whether a type is a user's, an extension's or the row type of a table."""
        return oid in self._types or oid in self._row_types

    def own_types(self, left: int, right: int) -> set[int]:
        """Of two operands' types those that users have made; both where neither is.

        An operator or a cast needs a value of each of its types, so where one is a user's own it
        can only act where that type is involved.
        """
        own = {oid for oid in (left, right) if self.is_own(oid)}
        return own or {left, right}

    def relation(self, oid: int) -> Relation | None:
        """The relation of that oid."""
        return self._relations.get(oid)

    def function(self, oid: int) -> Function | None:
        """The function of that oid: a user's, an extension's, or a built-in one that they call."""
        return self._functions.get(oid)

    def data_type(self, oid: int) -> DataType | None:
        """The type of that oid, if it is not built in."""
        return self._types.get(oid)

    def children(self, oid: int) -> tuple[Relation, ...]:
        """Partitions of a table and tables that inherit from it, one level down."""
        return tuple(self._children.get(oid, ()))

    def referencing(self, oid: int) -> tuple[tuple[Relation, Constraint], ...]:
        """Foreign keys that point at a table, with the tables they are on (maybe itself)."""
        return tuple(self._referencing.get(oid, ()))

    def dependents(self, oid: int) -> tuple[Dependency, ...]:
        """What stands on a relation, function or type."""
        return tuple(self._dependents.get(oid, ()))

    def find_relation(self, schema: str, name: str, path: tuple[str, ...]) -> Relation | None:
        """The relation a name means under one search path; None when there is none."""
        named = self._relations_named.get(name)
        if named is None:
            return None
        for wanted in (schema,) if schema else path:
            for relation in named:
                if relation.schema == wanted:
                    return relation
        return None

    def relations_meant(self, schema: str, name: str, paths: Paths) -> list[Relation]:
        """Every relation that a name may mean.

        Temporary tables come first in every path, so each of that name counts beside the others:
        which one is the session's own cannot be seen.
        """
        named = self._relations_named.get(name)
        if named is None:
            return []
        if schema:
            if schema == "pg_temp":
                return [each for each in named if each.temporary]
            return [each for each in named if each.schema == schema]
        if paths.anywhere:
            return list(named)
        found = [each for each in named if each.temporary]
        for path in paths.paths:
            relation = self.find_relation("", name, path)
            if relation is not None and relation not in found:
                found.append(relation)
        return found

    def tables_indexed_by(self, name: str) -> list[Relation]:
        """The tables that have an index of that name, in whatever schema."""
        return self._indexed.get(name, [])

    def has_function(self, name: str) -> bool:
        """Whether any user's or extension's function has that name."""
        return name in self._functions_named

    def functions_named(self, name: str) -> tuple[Function, ...]:
        """All of them, in any schema."""
        return tuple(self._functions_named.get(name, ()))

    def functions_meant(self, schema: str, name: str, count: int, paths: Paths) -> list[Function]:
        """Every function that a call may mean; ``count`` arguments, -1 when that is not known.

        Types are not compared: of several overloads each may be the one.
        """
        found: list[Function] = []
        for function in self._functions_named.get(name, ()):
            if function.schema != schema if schema else not paths.sees(function.schema):
                continue
            if count >= 0 and not _takes(function, count):
                continue
            found.append(function)
        return found

    def has_operator(self, symbol: str) -> bool:
        """Whether a user or an extension has an operator of that symbol."""
        return symbol in self._operators

    def operators_meant(
        self, schema: str, symbol: str, paths: Paths, involved: set[int] | None = None
    ) -> list[Operator]:
        """Every operator of that symbol that an expression may mean.

        ``involved`` are the oids of types that values around it can have, None for any.
        """
        found: list[Operator] = []
        for operator in self._operators.get(symbol, ()):
            if operator.schema != schema if schema else not paths.sees(operator.schema):
                continue
            if involved is not None:
                own = self.own_types(operator.left, operator.right)
                if any(self.is_own(oid) for oid in own) and not own & involved:
                    continue
            found.append(operator)
        return found

    def has_type(self, name: str) -> bool:
        """Whether any type outside ``pg_catalog`` has that name."""
        return name in self._types_named

    def types_meant(self, schema: str, name: str, paths: Paths) -> list[DataType]:
        """Every type that a name may mean."""
        return [
            each
            for each in self._types_named.get(name, ())
            if (each.schema == schema if schema else paths.sees(each.schema))
        ]

    def casts_to(self, oid: int) -> tuple[Cast, ...]:
        """Casts to a type that call a function of a user or an extension."""
        return tuple(self._casts_to.get(oid, ()))

    def applied_to(self, oid: int) -> tuple[int, ...]:
        """Functions of casts that the server may apply by itself to values of a type."""
        return tuple(self._implicit.get(oid, ()))


def _takes(function: Function, count: int) -> bool:
    most = len(function.arguments)
    if count < most - function.defaults - (1 if function.variadic else 0):
        return False
    return count <= most or function.variadic
