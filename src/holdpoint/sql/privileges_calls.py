"""The privileges that functions, operators, casts and sequences in an expression need."""

from __future__ import annotations

import re
from typing import Any, Final

from holdpoint.model.catalog import Function, Relation, RelationKind
from holdpoint.model.grants import ObjectClass
from holdpoint.model.needs import Need
from holdpoint.sql.needed import CALLER, Behind
from holdpoint.sql.privileges_query import QueryReader
from holdpoint.sql.sources import Level
from holdpoint.sql.walk import Node, constant, qualified, strings

# What the functions of sequences need: one of these on the sequence (manual, section 9.17).
_SEQUENCES: Final[dict[str, list[str]]] = {
    "nextval": ["usage", "update"],
    "currval": ["usage", "select"],
    "setval": ["update"],
}
_PART: Final = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
DEFAULT_SEQUENCE: Final = re.compile(r"nextval\('((?:[^']|'')*)'::regclass\)")
"""A column's default that takes its numbers from a sequence, as the server writes it."""


class CallReader(QueryReader):
    """Reads what expressions call."""

    def other(self, kind: str, body: Node, level: Level) -> None:
        """Read a node that is no query, name or table."""
        if kind == "FuncCall":
            self.call(body, level)
            return
        if kind == "typeName":
            self.typed(strings(body.get("names", [])))
        elif kind == "TypeCast":
            self.named_object(body)
        elif kind == "A_Expr":
            self.operator(strings(body.get("name", [])))
        elif kind == "A_Indirection":
            for name in strings(body.get("indirection", [])):
                if self.asking.catalog.has_function(name):  # `(x).f` calls f(x)
                    self.called("", name, 1)
        self.visit(body, level)

    def call(self, node: Node, level: Level, is_procedure: bool = False) -> None:
        """A function is called."""
        args: list[Any] = node.get("args", [])
        schema, name = qualified(strings(node["funcname"]))
        if schema in ("", "pg_catalog") and name in _SEQUENCES:
            self.sequence(name, args)
        elif name == "lastval" and schema in ("", "pg_catalog"):
            self.asking.needed.unknown("`lastval()` needs USAGE on the sequence used before it")
        # A procedure's OUT arguments are written, too; VARIADIC ones stand for any number.
        is_sure = not is_procedure and not node.get("func_variadic", False)
        self.called(schema, name, len(args) if is_sure else -1)
        self.visit(node, level)

    def called(self, schema: str, name: str, count: int) -> None:
        """A function is called with so many arguments, -1 where that is not sure."""
        self.calls[(schema, name, count)] = None

    def end(self) -> None:
        """The statement was read: overloads are told apart by the types that it involves."""
        catalog, asking = self.asking.catalog, self.asking
        for relation in self.seen.values():
            self.involved.update([column.type_oid for column in relation.columns])
        for schema, name, count in self.calls:
            meant = catalog.functions_meant(schema, name, count, asking.paths)
            self.involved.update([each.returns for each in meant])
            for function in meant:
                if self.fits(set(function.arguments)):
                    asking.schema(function.schema)
                    self.executes(function, count)
            if not meant and schema in ("", "pg_catalog"):
                asking.needed.built_ins[name] = None
            elif not meant and schema != "information_schema":
                asking.needed.missing[f"{schema}.{name}()"] = None
        for schema, symbol in self.symbols:
            for operator in catalog.operators_meant(schema, symbol, asking.paths, self.involved):
                asking.schema(operator.schema)
                self.executes_oid(operator.function)
        for cast in catalog.rows.casts if self.symbols or self.casts else ():
            if self.fits({cast.source, cast.target}):
                self.executes_oid(cast.function)

    def fits(self, types: set[int]) -> bool:
        """Whether values of these types can be there: a user's own only if something has it."""
        catalog = self.asking.catalog
        own = {oid for oid in types if catalog.is_own(oid)}
        return not own or not own.isdisjoint(self.involved)

    def executes(self, function: Function, count: int = -1) -> None:
        """A function runs: it needs EXECUTE, and what its body needs."""
        need = Need(
            ObjectClass.FUNCTION, function.schema, function.name, "execute", "", function.oid
        )
        if function.schema != "pg_catalog":
            self.asking.needed.found[need] = None
        self.asking.needed.behind(Behind("function", function.oid, CALLER))
        for oid in (*function.arguments, function.returns):
            self.asking.needed.behind(Behind("type", oid, CALLER))
        if function.default_expressions and count < len(function.arguments):
            self.asking.needed.behind(Behind("argument defaults", function.oid, CALLER))

    def executes_oid(self, oid: int) -> None:
        """The same for a function that a cast or an operator calls."""
        function = self.asking.catalog.function(oid)
        if function is not None:
            self.executes(function)

    def typed(self, names: list[str]) -> None:
        """A type is named: values of it are made, and its checks run."""
        asking = self.asking
        schema, name = qualified(names)
        self.casts = True
        if schema == "pg_catalog":
            return
        for data_type in asking.catalog.types_meant(schema, name, asking.paths):
            asking.schema(data_type.schema)
            self.involved.add(data_type.oid)
            asking.needed.behind(Behind("type", data_type.oid, CALLER))
        for relation in asking.catalog.relations_meant(schema, name, asking.paths):
            self.involved.add(relation.type_oid)
            asking.needed.behind(Behind("row", relation.oid, CALLER))

    def named_object(self, cast: Node) -> None:
        """``'orders'::regclass`` looks a name up."""
        text = (constant(cast.get("arg")) or "").strip()
        is_regclass = strings(cast["typeName"].get("names", []))[-1] == "regclass"
        if is_regclass and text and not text.isdigit():
            self.asking.relations(*split_name(text))

    def operator(self, names: list[str]) -> None:
        """An operator of a user or an extension may be meant; which, its operands' types tell."""
        schema, symbol = qualified(names)
        if schema != "pg_catalog":
            self.symbols[(schema, symbol)] = None

    # --- sequences --------------------------------------------------------------------------------

    def sequence(self, name: str, args: list[Any]) -> None:
        """``nextval('s')`` and its kin: rights on the sequence that the constant names."""
        found = self.named_sequence(args[0]) if args else None
        if found is None:
            self.asking.needed.unknown(f"`{name}()` of a sequence that the text does not name")
            return
        for relation in found:
            if relation.kind is RelationKind.SEQUENCE:
                self.choose(relation, _SEQUENCES[name])

    def named_sequence(self, arg: Node) -> tuple[Relation, ...] | None:
        """The sequence that an argument names; None when it is no constant."""
        inner: Node = arg
        while "TypeCast" in inner:
            inner = inner["TypeCast"].get("arg", {})
        call: Node = inner.get("FuncCall", {})
        if call and strings(call["funcname"])[-1] == "pg_get_serial_sequence":
            return self.serial(call.get("args", []))
        text = constant(arg)
        if text is None:
            return None
        schema, name = split_name(text)
        return self.asking.relations(schema, name)

    def serial(self, args: list[Any]) -> tuple[Relation, ...] | None:
        """The sequence of a column: the one of its default, or of its identity."""
        table, column = (constant(arg) for arg in args) if len(args) == 2 else (None, None)
        if table is None or column is None:
            return None
        for relation in self.asking.relations(*split_name(table)):
            for each in relation.columns:
                if each.name != column:
                    continue
                default = DEFAULT_SEQUENCE.search(each.default)
                name = f"{relation.name}_{column}_seq"  # what the server calls an identity's
                schema = relation.schema
                if default is not None:
                    given, name = split_name(default[1].replace("''", "'"))
                    schema = given or schema
                return self.asking.relations(schema, name) or None
        return None


def split_name(text: str) -> tuple[str, str]:
    """``(schema, name)`` of a name as regclass reads it: folded where it is not quoted."""
    parts = [
        each[1].replace('""', '"') if each[0].startswith('"') else each[0].strip().lower()
        for each in _PART.finditer(text)
    ]
    return qualified(parts)
