"""Rows of the catalog queries become the nouns of ``model.catalog``. Pure.

``take`` takes in the rows of one query of ``catalog_queries`` after the other, ``picture`` puts
them together. Equal columns, names and lists of grants are held once: a schema of 10,000 tables
says the same things many times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from holdpoint.engine.catalog_queries import Area
from holdpoint.model import catalog as model

Row = Sequence[Any]
Rows = Iterable[Row]

# Catalogs that objects belong to, by their oids, which never change (pg_class.dat, pg_proc.dat, …).
PG_CLASS: Final = 1259
PG_PROC: Final = 1255
PG_TYPE: Final = 1247
PG_OPERATOR: Final = 2617
PG_CAST: Final = 2605

# Bits of pg_trigger.tgtype (catalog/pg_trigger.h).
_PER_ROW: Final = 1
_BEFORE: Final = 2
_INSTEAD: Final = 64
_EVENTS: Final = ((4, "insert"), (8, "delete"), (16, "update"), (32, "truncate"))
# pg_rewrite.ev_type is a command type (nodes/nodes.h).
_RULE_EVENTS: Final = {"1": "select", "2": "update", "3": "insert", "4": "delete"}

_QUOTED_OR_PAREN: Final = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|[()]")


class Assembly:
    """One picture while its parts come in."""

    def __init__(self, block_size: int) -> None:
        """``block_size`` is the server's, in bytes: relations are as large as they have pages."""
        self._block_size: Final = block_size
        self._shared: dict[Any, Any] = {}
        self._same_columns: dict[Row, model.Column] = {}
        self._columns: dict[int, tuple[model.Column, ...]] = {}
        self._numbers: dict[int, dict[int, str]] = {}
        self._indexes: dict[int, tuple[model.Index, ...]] = {}
        self._constraints: dict[int, tuple[model.Constraint, ...]] = {}
        self._triggers: dict[int, tuple[model.Trigger, ...]] = {}
        self._rules: dict[int, tuple[model.Rule, ...]] = {}
        self._policies: dict[int, tuple[model.RowPolicy, ...]] = {}
        self._granted: dict[str, tuple[model.Grant, ...]] = {}
        self._column_grants: dict[int, tuple[model.Grant, ...]] = {}
        self._parents: dict[int, tuple[int, ...]] = {}
        self._definitions: dict[int, str] = {}
        self._members: dict[tuple[int, int], str] = {}
        self._checks: dict[int, tuple[str, ...]] = {}
        self._type_functions: dict[int, tuple[int, ...]] = {}
        self._relations: list[Row] = []
        self._functions: list[Row] = []
        self._operators: list[Row] = []
        self._casts: list[Row] = []
        self._types: list[Row] = []
        self._event_triggers: list[model.EventTrigger] = []
        self._roles: list[model.Role] = []
        self._extensions: list[model.Extension] = []
        self._dependencies: list[model.Dependency] = []
        self._built_ins: list[tuple[int, str]] = []
        self._takers: Final[dict[Area, Callable[[Rows], None]]] = {
            Area.RELATIONS: self._relations.extend,
            Area.COLUMNS: self._take_columns,
            Area.INDEXES: self._take_indexes,
            Area.CONSTRAINTS: self._take_constraints,
            Area.TRIGGERS: self._take_triggers,
            Area.RULES: self._take_rules,
            Area.POLICIES: self._take_policies,
            Area.GRANTS: self._take_grants,
            Area.COLUMN_GRANTS: self._take_column_grants,
            Area.PARENTS: self._take_parents,
            Area.DEFINITIONS: self._take_definitions,
            Area.FUNCTIONS: self._functions.extend,
            Area.OPERATORS: self._operators.extend,
            Area.CASTS: self._casts.extend,
            Area.TYPES: self._types.extend,
            Area.TYPE_CHECKS: self._take_type_checks,
            Area.TYPE_FUNCTIONS: self._take_type_functions,
            Area.BUILT_INS: self._take_built_ins,
            Area.EVENT_TRIGGERS: self._take_event_triggers,
            Area.ROLES: self._take_roles,
            Area.EXTENSIONS: self._take_extensions,
            Area.MEMBERS: self._take_members,
            Area.DEPENDENCIES: self._take_dependencies,
        }

    def take(self, area: Area, rows: Rows) -> None:
        """Take in what the query of an area found; columns come before what has their numbers."""
        self._takers[area](rows)

    # --- what hangs on relations ------------------------------------------------------------------

    def _take_columns(self, rows: Rows) -> None:
        for relation, group in _grouped(rows):
            self._columns[relation] = tuple(self._column(rest) for _, _, *rest in group)
            if group[-1][1] != len(group):  # columns were dropped: numbers are not positions
                self._numbers[relation] = {number: name for _, number, name, *_ in group}

    def _column(self, fields: list[Any]) -> model.Column:
        key = tuple(fields)
        column = self._same_columns.get(key)
        if column is None:
            column = self._same_columns[key] = model.Column(self._one(fields[0]), *fields[1:])
        return column

    def _take_indexes(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._indexes[table] = tuple(self._index(*row) for row in group)

    def _index(
        self, table: int, oid: int, name: str, numbers: str, key_count: int, *rest: Any
    ) -> model.Index:
        unique, primary, valid, method, expressions, predicate, pages = rest
        # Columns of INCLUDE follow the key's: they make nothing unique.
        key = [int(number) for number in numbers.split()][:key_count]
        return model.Index(
            oid,
            name,
            self._names(table, key),
            unique,
            primary,
            valid,
            self._one(method),
            expressions,
            predicate,
            pages * self._block_size,
        )

    def _take_constraints(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._constraints[table] = tuple(self._constraint(*row) for row in group)

    def _constraint(
        self, table: int, name: str, kind: str, key: list[int] | None, references: int, *rest: Any
    ) -> model.Constraint:
        referenced_key, on_delete, on_update, expression, valid, deferrable = rest
        foreign = kind == "f"
        return model.Constraint(
            name,
            self._one(kind),
            self._names(table, key or ()),
            references,
            self._names(references, referenced_key or ()),
            self._one(on_delete) if foreign else "a",
            self._one(on_update) if foreign else "a",
            expression,
            valid,
            deferrable,
        )

    def _take_triggers(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._triggers[table] = tuple(self._trigger(*row) for row in group)

    def _trigger(
        self, table: int, name: str, function: int, bits: int, enabled: str, *rest: str
    ) -> model.Trigger:
        numbers, definition = rest
        return model.Trigger(
            name,
            function,
            frozenset(word for bit, word in _EVENTS if bits & bit),
            "before" if bits & _BEFORE else "instead" if bits & _INSTEAD else "after",
            bool(bits & _PER_ROW),
            self._one(enabled),
            self._names(table, [int(number) for number in numbers.split()]),
            condition_of(definition) if definition else "",
        )

    def _take_rules(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._rules[table] = tuple(
                model.Rule(name, _RULE_EVENTS[event], instead, enabled, definition)
                for _, name, event, instead, enabled, definition in group
            )

    def _take_policies(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._policies[table] = tuple(model.RowPolicy(*rest) for _, *rest in group)

    def _take_grants(self, rows: Rows) -> None:
        for key, group in _grouped(rows):
            self._granted[key] = tuple(model.Grant(*rest) for _, *rest in group)

    def _take_column_grants(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._column_grants[table] = tuple(model.Grant(*rest) for _, *rest in group)

    def _take_parents(self, rows: Rows) -> None:
        for table, group in _grouped(rows):
            self._parents[table] = tuple(parent for _, parent in group)

    def _take_definitions(self, rows: Rows) -> None:
        for oid, text in rows:
            self._definitions[oid] = text

    # --- the rest ---------------------------------------------------------------------------------

    def _take_type_checks(self, rows: Rows) -> None:
        for oid, group in _grouped(rows):
            self._checks[oid] = tuple(text for _, text in group)

    def _take_type_functions(self, rows: Rows) -> None:
        for oid, group in _grouped(rows):
            self._type_functions[oid] = tuple(function for _, function in group)

    def _take_built_ins(self, rows: Rows) -> None:
        self._built_ins.extend((oid, name) for oid, name in rows)

    def _take_event_triggers(self, rows: Rows) -> None:
        for name, event, function, enabled, tags in rows:
            trigger = model.EventTrigger(name, event, function, enabled, tuple(tags or ()))
            self._event_triggers.append(trigger)

    def _take_roles(self, rows: Rows) -> None:
        for name, superuser, bypass, login, member_of in rows:
            self._roles.append(model.Role(name, superuser, bypass, login, tuple(member_of)))

    def _take_extensions(self, rows: Rows) -> None:
        self._extensions.extend(model.Extension(*row) for row in rows)

    def _take_members(self, rows: Rows) -> None:
        for catalog, oid, extension in rows:
            self._members[catalog, oid] = self._one(extension)

    def _take_dependencies(self, rows: Rows) -> None:
        for on, kind, name, column in rows:
            dependency = model.Dependency(on, self._one(kind), name, self._one(column))
            self._dependencies.append(dependency)

    # --- the picture ------------------------------------------------------------------------------

    def picture(
        self,
        *,
        version: int,
        role: str,
        search_path: tuple[str, ...],
        schemas: tuple[str, ...],
        mark: str,
    ) -> model.CatalogRows:
        """Put everything together; the assembly is of no more use then."""
        return model.CatalogRows(
            version=version,
            role=role,
            search_path=search_path,
            schemas=schemas,
            relations=tuple(map(self._relation, self._relations)),
            functions=tuple(map(self._function, self._functions)),
            operators=tuple(map(self._operator, self._operators)),
            casts=tuple(map(self._cast, self._casts)),
            types=tuple(map(self._type, self._types)),
            event_triggers=tuple(self._event_triggers),
            roles=tuple(self._roles),
            extensions=tuple(self._extensions),
            dependencies=tuple(self._dependencies),
            built_ins=tuple(self._built_ins),
            mark=mark,
        )

    def _relation(self, row: Row) -> model.Relation:
        (
            oid, schema, name, kind, owner, count, pages, temporary, row_security, type_oid,
            security_invoker, grants,
        ) = row  # fmt: skip
        return model.Relation(
            oid=oid,
            schema=self._one(schema),
            name=name,
            kind=model.RelationKind(kind),
            owner=self._one(owner),
            rows=count,
            size_bytes=pages * self._block_size,
            temporary=temporary,
            row_security=row_security,
            type_oid=type_oid,
            columns=self._columns.get(oid, ()),
            indexes=self._indexes.get(oid, ()),
            constraints=self._constraints.get(oid, ()),
            triggers=self._triggers.get(oid, ()),
            rules=self._rules.get(oid, ()),
            policies=self._policies.get(oid, ()),
            grants=self._granted.get(grants, ()) + self._column_grants.get(oid, ()),
            parents=self._parents.get(oid, ()),
            definition=self._definitions.get(oid, ""),
            security_invoker=security_invoker,
            extension=self._members.get((PG_CLASS, oid), ""),
        )

    def _function(self, row: Row) -> model.Function:
        (
            oid, schema, name, kind, language, owner, arguments, names, defaults, variadic,
            returns, volatility, security_definer, body, standard, settings, expressions, support,
            uses,
        ) = row  # fmt: skip
        return model.Function(
            oid=oid,
            schema=self._one(schema),
            name=name,
            kind=self._one(kind),
            language=self._one(language),
            owner=self._one(owner),
            arguments=self._one(tuple(arguments)),
            argument_names=tuple(name for name in names or () if name),
            defaults=defaults,
            variadic=variadic,
            returns=returns,
            volatility=self._one(volatility),
            security_definer=security_definer,
            body=statements_of(body) if standard else body or "",
            standard_body=standard,
            settings=tuple(settings or ()),
            uses=tuple(dict.fromkeys(each for each in uses if each)),
            extension=self._members.get((PG_PROC, oid), ""),
            default_expressions=expressions,
            support=support,
        )

    def _operator(self, row: Row) -> model.Operator:
        oid, schema, symbol, left, right, function, *estimators = row
        extension = self._members.get((PG_OPERATOR, oid), "")
        used = tuple(each for each in estimators if each)
        return model.Operator(oid, schema, symbol, left, right, function, extension, used)

    def _cast(self, row: Row) -> model.Cast:
        oid, source, target, function, context = row
        extension = self._members.get((PG_CAST, oid), "")
        return model.Cast(source, target, function, context, extension)

    def _type(self, row: Row) -> model.DataType:
        oid, schema, name, kind, base, relation, not_null, default = row
        return model.DataType(
            oid,
            self._one(schema),
            name,
            self._one(kind),
            base,
            relation,
            not_null,
            self._checks.get(oid, ()),
            default,
            self._type_functions.get(oid, ()),
            self._members.get((PG_TYPE, oid), ""),
        )

    def _names(self, relation: int, numbers: Sequence[int]) -> tuple[str, ...]:
        """Names of columns by their numbers; empty for 0, an expression."""
        named = self._numbers.get(relation)
        if named is not None:
            found = tuple(named.get(number, "") for number in numbers)
        else:
            columns = self._columns.get(relation, ())
            there = range(1, len(columns) + 1)
            found = tuple(columns[each - 1].name if each in there else "" for each in numbers)
        names: tuple[str, ...] = self._one(found)
        return names

    def _one(self, value: Any) -> Any:
        """Return the one object that stands for every equal value."""
        return self._shared.setdefault(value, value)


def _grouped(rows: Rows) -> Iterator[tuple[Any, list[Row]]]:
    """Rows by their first field; those of the same stand together."""
    for key, group in groupby(rows, itemgetter(0)):
        yield key, list(group)


def statements_of(body: str) -> str:
    """Return the statements of a body in standard SQL, as ``pg_get_function_sqlbody`` wrote it.

    That is ``RETURN expression`` or ``BEGIN ATOMIC`` statements ``END``. What is neither comes back
    as it is; it is no SQL that anyone could take for harmless.
    """
    text = body.strip()
    if text.startswith("RETURN "):
        return f"SELECT {text.removeprefix('RETURN ')}"
    if text.startswith("BEGIN ATOMIC") and text.endswith("END"):
        return text.removeprefix("BEGIN ATOMIC").removesuffix("END").strip()
    return body


def condition_of(definition: str) -> str:
    """Return what stands between the parentheses of WHEN in a CREATE TRIGGER of the server's.

    Before them no unquoted parenthesis can stand, whatever the names are. A definition in which the
    parentheses do not match comes back whole.
    """
    start = depth = 0
    for token in _QUOTED_OR_PAREN.finditer(definition):
        if token.group() == "(":
            start = start or token.end()
            depth += 1
        elif token.group() == ")":
            depth -= 1
            if depth == 0:
                return definition[start : token.start()]
    return definition
