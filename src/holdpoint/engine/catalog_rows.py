"""Rows of the catalog queries become the nouns of ``model.catalog``. Pure.

``take`` takes in the rows of one query of ``catalog_queries`` after the other, ``picture`` puts
them together. Equal columns, names and lists of grants are held once: a schema of 10,000 tables
says the same things many times.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
# Modes of arguments that a caller gives (pg_proc.proargmodes): in, inout, variadic.
_INPUT_MODES: Final = frozenset("ibv")

_QUOTED_OR_PAREN: Final = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|[()]")


class Assembly:
    """One picture while its parts come in."""

    def __init__(self, block_size: int) -> None:
        """``block_size`` is the server's, in bytes: relations are as large as they have pages."""
        self._block_size: Final = block_size
        self._shared: dict[Any, Any] = {}
        self._same_columns: dict[Row, model.Column] = {}
        self._names: dict[int, dict[int, str]] = defaultdict(dict)
        self._columns: dict[int, list[model.Column]] = defaultdict(list)
        self._indexes: dict[int, list[model.Index]] = defaultdict(list)
        self._constraints: dict[int, list[model.Constraint]] = defaultdict(list)
        self._triggers: dict[int, list[model.Trigger]] = defaultdict(list)
        self._rules: dict[int, list[model.Rule]] = defaultdict(list)
        self._policies: dict[int, list[model.RowPolicy]] = defaultdict(list)
        self._granted: dict[str, list[model.Grant]] = defaultdict(list)
        self._column_grants: dict[int, list[model.Grant]] = defaultdict(list)
        self._parents: dict[int, list[int]] = defaultdict(list)
        self._definitions: dict[int, str] = {}
        self._members: dict[tuple[int, int], str] = {}
        self._checks: dict[int, list[str]] = defaultdict(list)
        self._type_functions: dict[int, list[int]] = defaultdict(list)
        self._relations: list[Row] = []
        self._functions: list[Row] = []
        self._operators: list[Row] = []
        self._casts: list[Row] = []
        self._types: list[Row] = []
        self._event_triggers: list[model.EventTrigger] = []
        self._roles: list[model.Role] = []
        self._extensions: list[model.Extension] = []
        self._dependencies: list[model.Dependency] = []
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
        for oid, number, *rest in rows:
            key = tuple(rest)
            column = self._same_columns.get(key)
            if column is None:
                name, type_oid, not_null, default, *others = rest
                column = model.Column(
                    self._one(name), type_oid, not_null, self._one(default), *others
                )
                self._same_columns[key] = column
            self._columns[oid].append(column)
            self._names[oid][number] = column.name

    def _take_indexes(self, rows: Rows) -> None:
        for (
            table, oid, name, numbers, key_count, unique, primary, valid, method,
            expressions, predicate, pages,
        ) in rows:  # fmt: skip
            # Columns of INCLUDE follow the key's: they make nothing unique.
            key = [int(number) for number in numbers.split()][:key_count]
            self._indexes[table].append(
                model.Index(
                    oid,
                    name,
                    self._column_names(table, key),
                    unique,
                    primary,
                    valid,
                    self._one(method),
                    expressions,
                    predicate,
                    pages * self._block_size,
                )
            )

    def _take_constraints(self, rows: Rows) -> None:
        for (
            table, name, kind, key, references, referenced_key, on_delete, on_update,
            expression, valid, deferrable,
        ) in rows:  # fmt: skip
            foreign = kind == "f"
            self._constraints[table].append(
                model.Constraint(
                    name,
                    self._one(kind),
                    self._column_names(table, key or ()),
                    references,
                    self._column_names(references, referenced_key or ()),
                    self._one(on_delete) if foreign else "a",
                    self._one(on_update) if foreign else "a",
                    expression,
                    valid,
                    deferrable,
                )
            )

    def _take_triggers(self, rows: Rows) -> None:
        for table, name, function, bits, enabled, numbers, definition in rows:
            timing = "before" if bits & _BEFORE else "instead" if bits & _INSTEAD else "after"
            self._triggers[table].append(
                model.Trigger(
                    name,
                    function,
                    frozenset(word for bit, word in _EVENTS if bits & bit),
                    timing,
                    bool(bits & _PER_ROW),
                    self._one(enabled),
                    self._column_names(table, [int(number) for number in numbers.split()]),
                    condition_of(definition) if definition else "",
                )
            )

    def _take_rules(self, rows: Rows) -> None:
        for table, name, event, instead, enabled, definition in rows:
            rule = model.Rule(name, _RULE_EVENTS[event], instead, enabled, definition)
            self._rules[table].append(rule)

    def _take_policies(self, rows: Rows) -> None:
        for table, *rest in rows:
            self._policies[table].append(model.RowPolicy(*rest))

    def _take_grants(self, rows: Rows) -> None:
        for key, grantee, privilege in rows:
            self._granted[key].append(model.Grant(self._one(grantee), self._one(privilege)))

    def _take_column_grants(self, rows: Rows) -> None:
        for table, grantee, privilege in rows:
            self._column_grants[table].append(model.Grant(self._one(grantee), privilege))

    def _take_parents(self, rows: Rows) -> None:
        for table, parent in rows:
            self._parents[table].append(parent)

    def _take_definitions(self, rows: Rows) -> None:
        for oid, text in rows:
            self._definitions[oid] = text

    # --- the rest ---------------------------------------------------------------------------------

    def _take_type_checks(self, rows: Rows) -> None:
        for oid, text in rows:
            self._checks[oid].append(text)

    def _take_type_functions(self, rows: Rows) -> None:
        for oid, function in rows:
            self._type_functions[oid].append(function)

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
            columns=self._one(tuple(self._columns.get(oid, ()))),
            indexes=tuple(self._indexes.get(oid, ())),
            constraints=tuple(self._constraints.get(oid, ())),
            triggers=tuple(self._triggers.get(oid, ())),
            rules=tuple(self._rules.get(oid, ())),
            policies=tuple(self._policies.get(oid, ())),
            grants=self._one((*self._granted.get(grants, ()), *self._column_grants.get(oid, ()))),
            parents=tuple(self._parents.get(oid, ())),
            definition=self._definitions.get(oid, ""),
            security_invoker=security_invoker,
            extension=self._members.get((PG_CLASS, oid), ""),
        )

    def _function(self, row: Row) -> model.Function:
        (
            oid, schema, name, kind, language, owner, arguments, names, modes, defaults, variadic,
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
            argument_names=input_names(names, modes),
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
            self._one(name),
            self._one(kind),
            base,
            relation,
            not_null,
            tuple(self._checks.get(oid, ())),
            default,
            tuple(self._type_functions.get(oid, ())),
            self._members.get((PG_TYPE, oid), ""),
        )

    def _column_names(self, relation: int, numbers: Iterable[int]) -> tuple[str, ...]:
        """Names of columns by their numbers; empty for 0, an expression."""
        names = self._names.get(relation, {})
        found: tuple[str, ...] = self._one(tuple(names.get(number, "") for number in numbers))
        return found

    def _one(self, value: Any) -> Any:
        """Return the one object that stands for every equal value."""
        return self._shared.setdefault(value, value)


def input_names(names: Sequence[str] | None, modes: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the arguments that a caller gives, empty for those without one."""
    if not names:
        return ()
    if modes is None:  # all are plain input
        return tuple(names)
    return tuple(name for name, mode in zip(names, modes, strict=True) if mode in _INPUT_MODES)


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
