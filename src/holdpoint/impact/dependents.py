"""What stands on the things that a statement drops or alters.

Sources: the manual's section 5.15 (Dependency Tracking), the pages of DROP and ALTER TABLE. Parts
(a table's indexes and constraints) go with what they are part of; the rest is in the way, or goes
too where CASCADE says so. Bodies of functions written as text are not tracked by the server: what
only such a body names is found by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from holdpoint.impact.resolving import meant
from holdpoint.model.catalog import (
    Constraint,
    DataType,
    Function,
    Index,
    Relation,
    RelationKind,
)
from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Statement
from holdpoint.model.impact import Dependent
from holdpoint.model.limits import IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog

_RELATIONS: Final = frozenset(
    ("TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "RELATION")
)
_FUNCTIONS: Final = frozenset(("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE"))
_TYPES: Final = frozenset(("TYPE", "DOMAIN"))
# What an ALTER changes for those who use the whole relation: its name, or where it is.
_WHOLE: Final = frozenset(("DROP", "RENAME", "SET SCHEMA"))
_OF_COLUMN: Final = frozenset(
    ("AT_DropColumn", "AT_AlterColumnType", "AT_SetExpression", "AT_DropExpression", "RENAME")
)
_KEY_KINDS: Final = frozenset("pux")


def dependents_of(statement: Statement, catalog: Catalog) -> tuple[tuple[Dependent, ...], bool]:
    """All that stands on what ``statement`` drops or alters, and whether the limit cut the list."""
    found: dict[Dependent, None] = {}
    for change in statement.changes:
        for dependent in _of_change(change, statement, catalog):
            found[dependent] = None
            if len(found) > IMPACT_LISTED_MAX:
                return tuple(found)[:IMPACT_LISTED_MAX], True
    return tuple(found), False


def _of_change(change: Change, statement: Statement, catalog: Catalog) -> Iterator[Dependent]:
    kind, action = change.kind, change.action
    if kind == "SCHEMA" and action in _WHOLE:
        yield from _in_schema(change, catalog)
    elif kind == "OWNED":
        yield from _owned(change, catalog)
    elif kind == "EXTENSION" and action == "DROP":
        yield from _of_extension(change, catalog)
    elif kind in _FUNCTIONS and (action in _WHOLE or action == "ALTER" or change.replace):
        for function in catalog.functions_named(change.on.name):
            if change.on.schema in ("", function.schema):
                yield from _on_function(function, change, catalog)
    elif kind in _TYPES and action in _WHOLE:
        for data_type in catalog.rows.types:
            if data_type.name == change.on.name and change.on.schema in ("", data_type.schema):
                yield from _on_type(data_type, change, catalog)
    elif kind == "INDEX" and action == "DROP":
        yield from _on_index(change, catalog)
    elif action == "AT_DropConstraint":
        for relation in meant(change.on, statement, catalog):
            yield from _on_constraint(relation, change, catalog)
    elif change.part and action in _OF_COLUMN:
        for relation in meant(change.on, statement, catalog):
            yield from _on_column(relation, change, catalog)
    elif (kind in _RELATIONS and action in _WHOLE) or (kind == "VIEW" and change.replace):
        for relation in meant(change.on, statement, catalog):
            yield from _on_relation(relation, change, catalog)
            yield from _in_defaults(relation, change, catalog)
            yield from _named_in_bodies(relation, catalog)


def _goes(change: Change) -> bool:
    return change.cascade and change.action in ("DROP", "AT_DropColumn", "AT_DropConstraint")


def _on_relation(relation: Relation, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    goes = _goes(change)
    drops = change.action == "DROP"
    for each in catalog.dependents(relation.oid):
        yield Dependent(kind=each.kind, name=each.name, on=relation.label, goes=goes)
    for other, constraint in catalog.referencing(relation.oid):
        if other.oid != relation.oid:
            yield _foreign_key(other, constraint, relation, goes)
    for child in catalog.children(relation.oid):
        partition = relation.kind is RelationKind.PARTITIONED
        word = "partition" if partition else "inheriting table"
        yield Dependent(
            kind=word, name=child.label, on=relation.label, goes=drops and (partition or goes)
        )


def _foreign_key(
    other: Relation, constraint: Constraint, relation: Relation, goes: bool
) -> Dependent:
    name = f"{other.label}.{constraint.name}"
    return Dependent(kind="foreign key", name=name, on=relation.label, goes=goes)


def _in_defaults(sequence: Relation, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """Defaults that take their numbers from a sequence."""
    if sequence.kind is not RelationKind.SEQUENCE:
        return
    named = re.compile(rf"(?<![\w$]){re.escape(sequence.name)}(?![\w$])")
    for other in catalog.rows.relations:
        for column in other.columns:
            if "nextval(" in column.default and named.search(column.default):
                name, goes = f"{other.label}.{column.name}", _goes(change)
                yield Dependent(kind="default", name=name, on=sequence.label, goes=goes)


def _named_in_bodies(relation: Relation, catalog: Catalog) -> Iterator[Dependent]:
    """Functions written as text: the server does not know that they need the relation."""
    pattern = re.compile(rf"(?<![\w$]){re.escape(relation.name)}(?![\w$])", re.I)
    tracked = {each.name for each in catalog.dependents(relation.oid)}
    for function in catalog.rows.functions:
        known = function.standard_body or function.label in tracked or function.name in tracked
        if not known and function.body and pattern.search(function.body):
            yield Dependent(kind="function that names it", name=function.label, on=relation.label)


def _on_column(relation: Relation, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    column, goes = change.part, _goes(change)
    drops = change.action == "AT_DropColumn"
    on = f"{relation.label}.{column}"
    if change.action == "RENAME" and all(each.name != column for each in relation.columns):
        return  # it renames a constraint
    for each in catalog.dependents(relation.oid):
        if each.column in ("", column):
            yield Dependent(kind=each.kind, name=each.name, on=on, goes=goes)
    for other, constraint in catalog.referencing(relation.oid):
        if column in constraint.referenced_columns:
            name = f"{other.label}.{constraint.name}"
            yield Dependent(kind="foreign key", name=name, on=on, goes=goes)
    for index in relation.indexes:
        if _uses_column(index, column):
            yield Dependent(kind="index", name=index.name, on=on, goes=drops)
    for constraint in relation.constraints:
        if column in constraint.columns and constraint.kind != "n":
            words = "foreign key of its own" if constraint.kind == "f" else "constraint"
            yield Dependent(kind=words, name=constraint.name, on=on, goes=drops)


def _uses_column(index: Index, column: str) -> bool:
    word = re.compile(rf"(?<![\w$]){re.escape(column)}(?![\w$])")
    return column in index.columns or bool(word.search(f"{index.expressions} {index.predicate}"))


def _on_constraint(relation: Relation, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """A dropped key: foreign keys of others rest on it."""
    for constraint in relation.constraints:
        if constraint.name == change.part and constraint.kind in _KEY_KINDS:
            yield Dependent(kind="index", name=constraint.name, on=relation.label, goes=True)
            yield from _resting_on(relation, constraint, _goes(change), catalog)


def _resting_on(
    relation: Relation, key: Constraint, goes: bool, catalog: Catalog
) -> Iterator[Dependent]:
    for other, constraint in catalog.referencing(relation.oid):
        if set(constraint.referenced_columns) == set(key.columns):
            yield _foreign_key(other, constraint, relation, goes)


def _on_index(change: Change, catalog: Catalog) -> Iterator[Dependent]:
    for relation in catalog.rows.relations:
        if change.on.schema not in ("", relation.schema):
            continue
        for index in relation.indexes:
            if index.name != change.on.name:
                continue
            for constraint in relation.constraints:
                if constraint.name == index.name and constraint.kind in _KEY_KINDS:
                    name = f"{relation.label}.{constraint.name}"
                    yield Dependent(kind="constraint", name=name, on=index.name)
                    yield from _resting_on(relation, constraint, _goes(change), catalog)


def _on_function(function: Function, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    goes = _goes(change)
    for each in catalog.dependents(function.oid):
        yield Dependent(kind=each.kind, name=each.name, on=function.label, goes=goes)
    for relation in catalog.rows.relations:
        for trigger in relation.triggers:
            if trigger.function == function.oid:
                name = f"{relation.label}.{trigger.name}"
                yield Dependent(kind="trigger", name=name, on=function.label, goes=goes)
    for event in catalog.rows.event_triggers:
        if event.function == function.oid:
            yield Dependent(kind="event trigger", name=event.name, on=function.label, goes=goes)
    for operator in catalog.rows.operators:
        if operator.function == function.oid:
            name = f"{operator.schema}.{operator.symbol}"
            yield Dependent(kind="operator", name=name, on=function.label, goes=goes)
    for cast in catalog.rows.casts:
        if cast.function == function.oid:
            yield Dependent(
                kind="cast", name=f"to type {cast.target}", on=function.label, goes=goes
            )
    for other in catalog.rows.functions:
        if function.oid in other.uses:
            yield Dependent(kind="aggregate", name=other.label, on=function.label, goes=goes)


def _on_type(data_type: DataType, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    goes, on = _goes(change), Name(data_type.schema, data_type.name).label
    oids = {data_type.oid}  # and its array
    oids |= {each.oid for each in catalog.rows.types if each.base == data_type.oid}
    for each in catalog.dependents(data_type.oid):
        yield Dependent(kind=each.kind, name=each.name, on=on, goes=goes)
    for relation in catalog.rows.relations:
        for column in relation.columns:
            if column.type_oid in oids and relation.oid != data_type.relation:
                name = f"{relation.label}.{column.name}"
                yield Dependent(kind="column", name=name, on=on, goes=goes)
    for function in catalog.rows.functions:
        if function.returns in oids or not oids.isdisjoint(function.arguments):
            yield Dependent(kind="function", name=function.label, on=on, goes=goes)
    for other in catalog.rows.types:
        if other.base == data_type.oid and other.kind == "d":
            name = Name(other.schema, other.name).label
            yield Dependent(kind="domain", name=name, on=on, goes=goes)


def _in_schema(change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """What is in a schema, and what outside stands on that."""
    schema, goes = change.on.name, _goes(change)
    inside = [each for each in catalog.rows.relations if each.schema == schema]
    for relation in inside:
        word = relation.kind.name.lower().replace("_", " ")
        yield Dependent(kind=word, name=relation.label, on=schema, goes=goes)
    for function in catalog.rows.functions:
        if function.schema == schema:
            yield Dependent(kind="function", name=function.label, on=schema, goes=goes)
    for data_type in catalog.rows.types:
        if data_type.schema == schema and not data_type.relation:
            name = Name(schema, data_type.name).label
            yield Dependent(kind="type", name=name, on=schema, goes=goes)
    for relation in inside:
        for each in _on_relation(relation, change, catalog):
            if not each.name.startswith(f"{schema}."):
                yield each


def _owned(change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """DROP OWNED: everything that the role owns goes."""
    role = change.on.name
    for relation in catalog.rows.relations:
        if relation.owner == role:
            word = relation.kind.name.lower().replace("_", " ")
            yield Dependent(kind=word, name=relation.label, on=role, goes=True)
    for function in catalog.rows.functions:
        if function.owner == role:
            yield Dependent(kind="function", name=function.label, on=role, goes=True)


def _of_extension(change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """What an extension brought goes with it; what stands on that is in the way."""
    extension, goes = change.on.name, _goes(change)
    for relation in catalog.rows.relations:
        if relation.extension == extension:
            word = relation.kind.name.lower().replace("_", " ")
            yield Dependent(kind=word, name=relation.label, on=extension, goes=True)
            yield from _on_relation(relation, change, catalog)
    for function in catalog.rows.functions:
        if function.extension == extension:
            for each in _on_function(function, change, catalog):
                yield each
    for data_type in catalog.rows.types:
        if data_type.extension == extension:
            for each in _on_type(data_type, change, catalog):
                yield Dependent(kind=each.kind, name=each.name, on=each.on, goes=goes)
