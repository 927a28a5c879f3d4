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

from holdpoint.impact.resolving import meant, partitioned_ancestors, tables_of_index
from holdpoint.model.catalog import (
    Constraint,
    DataType,
    Dependency,
    Function,
    Index,
    Relation,
    RelationKind,
)
from holdpoint.model.changes import Change, Name
from holdpoint.model.effects import Statement
from holdpoint.model.impact import Dependent
from holdpoint.model.limits import IMPACT_BODIES_MAX, IMPACT_LISTED_MAX
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
    for dependent in _all_of(statement, catalog):
        found[dependent] = None
        if len(found) > IMPACT_LISTED_MAX:
            return tuple(found)[:IMPACT_LISTED_MAX], True
    return tuple(found), len(_whole(statement, catalog)) > IMPACT_BODIES_MAX


def _all_of(statement: Statement, catalog: Catalog) -> Iterator[Dependent]:
    for change in statement.changes:
        yield from _of_change(change, statement, catalog)
    for relation in _whole(statement, catalog)[:IMPACT_BODIES_MAX]:
        yield from _named_in_bodies(relation, catalog)


def _whole(statement: Statement, catalog: Catalog) -> list[Relation]:
    """The relations that are dropped, renamed or moved as a whole."""
    return [
        relation
        for change in statement.changes
        if change.kind in _RELATIONS and change.action in _WHOLE
        for relation in meant(change.on, statement, catalog)
    ]


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


def _goes(change: Change) -> bool:
    return change.cascade and change.action in ("DROP", "AT_DropColumn", "AT_DropConstraint")


def _on_relation(relation: Relation, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    goes = _goes(change)
    drops = change.action == "DROP"
    yield from _standing_on(relation.oid, relation.label, change, catalog)
    for other, constraint in catalog.referencing(relation.oid):
        if other.oid != relation.oid and not _is_copy(other, constraint, catalog):
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
    name = f"{other.label} {constraint.name}"
    return Dependent(kind="foreign key", name=name, on=relation.label, goes=goes)


def _named_in_bodies(relation: Relation, catalog: Catalog) -> Iterator[Dependent]:
    """Functions written as text: the server does not know that they need the relation."""
    pattern = re.compile(rf"(?<![\w$]){re.escape(relation.name)}(?![\w$])", re.I)
    for function in catalog.rows.functions:
        if not function.standard_body and pattern.search(function.body):
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
            for oid in _oids_of(each, catalog) if goes else ():
                yield from _standing_on(oid, each.name, change, catalog)
    for trigger in relation.triggers:
        if column in trigger.columns or _names(trigger.when, column):
            name = f"{relation.label} {trigger.name}"
            yield Dependent(kind="trigger", name=name, on=on, goes=goes)
    for other, constraint in catalog.referencing(relation.oid):
        if column in constraint.referenced_columns and not _is_copy(other, constraint, catalog):
            name = f"{other.label} {constraint.name}"
            yield Dependent(kind="foreign key", name=name, on=on, goes=goes)
    for index in relation.indexes:
        if _uses_column(index, column):
            yield Dependent(kind="index", name=index.name, on=on, goes=drops)
    for constraint in relation.constraints:
        if column in constraint.columns and constraint.kind != "n":
            words = "foreign key of its own" if constraint.kind == "f" else "constraint"
            yield Dependent(kind=words, name=constraint.name, on=on, goes=drops)


def _uses_column(index: Index, column: str) -> bool:
    return column in index.columns or _names(f"{index.expressions} {index.predicate}", column)


def _names(expression: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", expression) is not None


def _is_copy(other: Relation, constraint: Constraint, catalog: Catalog) -> bool:
    """Whether a partition has the key from its parent, which tells it once for all."""
    return any(
        each.kind == "f" and each.columns == constraint.columns
        for parent in partitioned_ancestors(other, catalog)
        for each in parent.constraints
    )


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
        fits = set(constraint.referenced_columns) == set(key.columns)
        if fits and not _is_copy(other, constraint, catalog):
            yield _foreign_key(other, constraint, relation, goes)


def _on_index(change: Change, catalog: Catalog) -> Iterator[Dependent]:
    for relation in tables_of_index(change.on, catalog):
        for index in relation.indexes:
            if index.name != change.on.name:
                continue
            for constraint in relation.constraints:
                if constraint.name == index.name and constraint.kind in _KEY_KINDS:
                    name = f"{relation.label} {constraint.name}"
                    yield Dependent(kind="constraint", name=name, on=index.name)
                    yield from _resting_on(relation, constraint, _goes(change), catalog)


def _on_function(function: Function, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    yield from _standing_on(function.oid, function.label, change, catalog)


def _standing_on(oid: int, on: str, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    """What stands on one object; with CASCADE also what stands on that, and so on."""
    goes = _goes(change)
    waiting, seen = [(oid, on)], {oid}
    while waiting:
        current, label = waiting.pop()
        for each in catalog.dependents(current):
            yield Dependent(kind=each.kind, name=each.name, on=label, goes=goes)
            further = _oids_of(each, catalog) if goes else ()
            waiting.extend((known, each.name) for known in further if known not in seen)
            seen.update(further)


def _oids_of(dependency: Dependency, catalog: Catalog) -> tuple[int, ...]:
    """The objects a dependency names, where others can stand on them in turn."""
    schema, _, name = dependency.name.partition("(")[0].partition(".")
    if dependency.kind in ("view", "materialized view"):
        relation = catalog.find_relation(schema, name, ())
        return (relation.oid,) if relation is not None else ()
    if dependency.kind in ("function", "procedure", "aggregate"):
        named = catalog.functions_named(name)
        return tuple(each.oid for each in named if each.schema == schema)
    return ()


def _on_type(data_type: DataType, change: Change, catalog: Catalog) -> Iterator[Dependent]:
    goes, on = _goes(change), Name(data_type.schema, data_type.name).label
    oids = {data_type.oid}  # and its array
    oids |= {each.oid for each in catalog.rows.types if each.base == data_type.oid}
    for each in _standing_on(data_type.oid, on, change, catalog):
        if each.kind != "table":  # told below by its columns
            yield each
    for relation in catalog.rows.relations:
        for column in relation.columns:
            if column.type_oid in oids and relation.oid != data_type.relation:
                name = f"{relation.label}.{column.name}"
                yield Dependent(kind="column", name=name, on=on, goes=goes)
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
    functions = [each for each in catalog.rows.functions if each.schema == schema]
    for function in functions:
        yield Dependent(kind="function", name=function.label, on=schema, goes=goes)
    types = [each for each in catalog.rows.types if each.schema == schema]
    for data_type in types:
        array = data_type.kind == "b" and data_type.base
        if not data_type.relation and not array:
            name = Name(schema, data_type.name).label
            yield Dependent(kind="type", name=name, on=schema, goes=goes)
    for relation in inside:
        yield from _outside(_on_relation(relation, change, catalog), schema)
    for function in functions:
        yield from _outside(_on_function(function, change, catalog), schema)
    for data_type in types:
        yield from _outside(_on_type(data_type, change, catalog), schema)


def _outside(found: Iterator[Dependent], schema: str) -> Iterator[Dependent]:
    return (each for each in found if not each.name.startswith(f"{schema}."))


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
