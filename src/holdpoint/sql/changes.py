"""What definitions change, for ``impact``: typed details out of the syntax tree.

Each function takes the node of one statement and returns its changes. Nothing here decides: a field
that is not understood stays at the value that means the worst (``None`` modifiers, ``computed``).
"""

from __future__ import annotations

from typing import Any, Final

from holdpoint.model.changes import Change, Name, NewColumn, NewConstraint, WrittenType
from holdpoint.sql.walk import Node, constant, option_is_on, qualified, strings

_CONSTRAINTS: Final[dict[str, str]] = {
    "CONSTR_CHECK": "c",
    "CONSTR_FOREIGN": "f",
    "CONSTR_NOTNULL": "n",
    "CONSTR_PRIMARY": "p",
    "CONSTR_UNIQUE": "u",
    "CONSTR_EXCLUSION": "x",
}
_SERIAL: Final = frozenset(
    ("serial", "serial2", "serial4", "serial8", "smallserial", "bigserial")
)  # manual, section 8.1.4: integers with a sequence of their own
_LOCK_MODES: Final = (
    "",
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)  # PostgreSQL: lockdefs.h, by number


def name_of(relation: Any) -> Name:
    """The name in a RangeVar's fields; an empty one where there is none."""
    if not isinstance(relation, dict):
        return Name("", "")
    inner: Node = relation.get("RangeVar", relation)
    return Name(str(inner.get("schemaname", "")), str(inner.get("relname", "")))


def _dotted(parts: list[str]) -> Name:
    schema, name = qualified(parts)
    return Name(schema, name)


def _whole(node: Any) -> int | None:
    text = constant(node)
    digits = (text or "").removeprefix("-")
    if text is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        return None
    return int(text)


def written_type(node: Any) -> WrittenType | None:
    """The type of a TypeName; None where a statement names none."""
    if not isinstance(node, dict):
        return None
    modifiers: list[int] = []
    sure = True
    for item in node.get("typmods", []):
        value = _whole(item)
        if value is None:
            sure = False
        else:
            modifiers.append(value)
    return WrittenType(
        _dotted(strings(node.get("names", []))),
        tuple(modifiers) if sure else None,
        "arrayBounds" in node,
    )


def _constraint(node: Node) -> NewConstraint | None:
    kind = _CONSTRAINTS.get(str(node.get("contype", "")))
    if kind is None:
        return None
    listed: list[Any] = node.get("fk_attrs") or node.get("keys") or []
    skips = node.get("skip_validation", False)
    # The grammar writes `is_enforced` for the kinds that can be switched off, and only when on.
    unenforced = kind in ("c", "f") and not node.get("is_enforced", False)
    return NewConstraint(
        kind=kind,
        name=str(node.get("conname", "")),
        columns=tuple(strings(listed)),
        references=name_of(node["pktable"]) if "pktable" in node else None,
        index=str(node.get("indexname", "")),
        checks=not (skips or unenforced),
    )


def _called(node: Any) -> tuple[tuple[Name, ...], tuple[str, ...]]:
    """Functions and operators anywhere in an expression."""
    functions: dict[Name, None] = {}
    operators: dict[str, None] = {}
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if "funcname" in item:
                functions[_dotted(strings(item["funcname"]))] = None
            elif item.get("kind") == "AEXPR_OP" and "name" in item:
                operators[strings(item["name"])[-1]] = None
            stack.extend(item.values())
    return tuple(functions), tuple(operators)


def _is_the_column(node: Any, name: str, written: WrittenType | None) -> bool:
    """Whether USING is the column itself or its cast to the new type: the same as no USING."""
    inner = node
    cast = inner.get("TypeCast") if isinstance(inner, dict) else None
    if cast is not None:
        if written_type(cast.get("typeName")) != written:
            return False
        inner = cast.get("arg")
    reference = inner.get("ColumnRef") if isinstance(inner, dict) else None
    return reference is not None and strings(reference.get("fields", [])) == [name]


def new_column(node: Node, altered: str = "") -> NewColumn:
    """A ColumnDef; ``altered`` names the column when ALTER COLUMN TYPE writes it."""
    written = written_type(node.get("typeName"))
    serial = written is not None and written.name.name in _SERIAL and not written.name.schema
    default: Any = node.get("raw_default")
    generated = ""
    identity = False
    constraints: list[NewConstraint] = []
    for item in node.get("constraints", []):
        part: Node = item.get("Constraint", {})
        contype = part.get("contype")
        if contype == "CONSTR_DEFAULT":
            default = part.get("raw_expr")
        elif contype == "CONSTR_GENERATED":
            generated = str(part.get("generated_kind", "s"))
        elif contype == "CONSTR_IDENTITY":
            identity = True
        else:
            found = _constraint(part)
            if found is not None:
                constraints.append(found)
    functions, operators = _called(default)
    using = bool(altered) and default is not None
    return NewColumn(
        type=written,
        default=default is not None,
        generated=generated,
        identity=identity or serial,
        functions=functions,
        operators=operators,
        computed=using and not _is_the_column(default, altered, written),
        collation="collClause" in node,
        constraints=tuple(constraints),
    )


def _options(definition: Any) -> tuple[str, ...]:
    found: list[str] = []
    for item in definition.get("List", {}).get("items", []):
        option: Node = item.get("DefElem", {})
        space = str(option.get("defnamespace", ""))
        name = str(option.get("defname", ""))
        found.append(f"{space}.{name}" if space else name)
    return tuple(found)


def table_command(on: Name, kind: str, command: Node) -> Change:
    """One subcommand of ALTER TABLE and its kin."""
    definition: Any = command.get("def", {})
    part = str(command.get("name", ""))
    column: NewColumn | None = None
    constraint: NewConstraint | None = None
    others: tuple[Name, ...] = ()
    options: tuple[str, ...] = ()
    concurrently = False
    if not isinstance(definition, dict):
        definition = {}
    if "ColumnDef" in definition:
        column = new_column(definition["ColumnDef"], part)
        part = part or str(definition["ColumnDef"].get("colname", ""))
        others = _referenced(column.constraints)
    elif "Constraint" in definition:
        constraint = _constraint(definition["Constraint"])
        part = part or (constraint.name if constraint is not None else "")
        others = _referenced((constraint,) if constraint is not None else ())
    elif "PartitionCmd" in definition:
        others = (name_of(definition["PartitionCmd"].get("name")),)
        concurrently = bool(definition["PartitionCmd"].get("concurrent", False))
    elif "RangeVar" in definition:
        others = (name_of(definition),)
    elif "List" in definition:
        options = _options(definition)
    elif "ATAlterConstraint" in definition:
        altered: Node = definition["ATAlterConstraint"]
        part = str(altered.get("conname", ""))
        if altered.get("alterEnforceability", False):
            options = ("enforced",) if altered.get("is_enforced", False) else ("not enforced",)
    return Change(
        action=str(command.get("subtype", "")),
        on=on,
        kind=kind,
        part=part,
        column=column,
        constraint=constraint,
        others=others,
        options=options,
        cascade=command.get("behavior") == "DROP_CASCADE",
        concurrently=concurrently,
    )


def _referenced(constraints: tuple[NewConstraint, ...]) -> tuple[Name, ...]:
    return tuple([each.references for each in constraints if each.references is not None])


def dropped(kind: str, parts: list[str], on_table: bool, node: Node) -> Change:
    """One object of a DROP; ``on_table`` when the last part of the name is inside a table."""
    return Change(
        action="DROP",
        on=_dotted(parts[:-1] if on_table else parts),
        kind=kind,
        part=parts[-1] if on_table and parts else "",
        cascade=node.get("behavior") == "DROP_CASCADE",
        concurrently=bool(node.get("concurrent", False)),
    )


def created_table(node: Node) -> Change:
    """CREATE TABLE: a foreign key and a parent are locked with it."""
    constraints: list[NewConstraint] = []
    for item in node.get("tableElts", []):
        if "ColumnDef" in item:
            constraints.extend(new_column(item["ColumnDef"]).constraints)
        elif "Constraint" in item:
            found = _constraint(item["Constraint"])
            if found is not None:
                constraints.append(found)
    parents = [name_of(item) for item in node.get("inhRelations", [])]
    return Change(
        action="CREATE TABLE",
        on=name_of(node.get("relation")),
        others=(*_referenced(tuple(constraints)), *parents),
        options=("partition",) * len(parents) if "partbound" in node else (),
        column=NewColumn(constraints=tuple(constraints)),
    )


_CREATED: Final = (("view", "VIEW"), ("sequence", "SEQUENCE"), ("typevar", "TYPE"))


def created(tag: str, node: Node) -> Change:
    """CREATE VIEW, SEQUENCE or composite TYPE."""
    for field, kind in _CREATED:
        if field in node:
            replace = bool(node.get("replace", False))
            return Change(action="CREATE", on=name_of(node[field]), kind=kind, replace=replace)
    return Change(action=tag, on=Name("", ""), kind="OTHER")


def defined(tag: str, node: Node) -> list[Change]:
    """What a definition is about, where it names one: a table, a sequence, a type."""
    found: list[Change] = []
    if isinstance(node.get("relation"), dict):
        part = str(node.get("trigname", node.get("rulename", "")))
        replace = bool(node.get("replace", False))
        on = name_of(node["relation"])
        found.append(Change(action=tag, on=on, part=part, replace=replace))
    if isinstance(node.get("sequence"), dict):
        found.append(Change(action=tag, on=name_of(node["sequence"]), kind="SEQUENCE"))
    if isinstance(node.get("typeName"), list):
        on = _dotted(strings(node["typeName"]))
        skips = node.get("def", {}).get("Constraint", {}).get("skip_validation", False)
        # ALTER DOMAIN says what it does by a letter: C adds a constraint, O sets NOT NULL, ...
        options = ("" if skips else str(node.get("subtype", "")),)
        found.append(Change(action=tag, on=on, kind=tag.partition(" ")[2], options=options))
    if "orig_tablespacename" in node:
        on = Name("", str(node["orig_tablespacename"]))
        found.append(Change(action="MOVE ALL", on=on, kind="TABLESPACE"))
    for item in node.get("relations", []):
        found.append(Change(action=tag, on=name_of(item)))
    return found


def created_index(node: Node) -> Change:
    """CREATE INDEX."""
    return Change(
        action="CREATE INDEX",
        on=name_of(node.get("relation")),
        part=str(node.get("idxname", "")),
        concurrently=bool(node.get("concurrent", False)),
    )


def lock_mode(number: Any) -> str:
    """The words of a lock mode's number; empty where it is none."""
    known = isinstance(number, int) and 0 < number < len(_LOCK_MODES)
    return _LOCK_MODES[number] if known else ""


def is_concurrent(node: Node) -> bool:
    """CONCURRENTLY, as a field or as an option of REINDEX."""
    if node.get("concurrent", False):
        return True
    return any(
        item.get("DefElem", {}).get("defname") == "concurrently" and option_is_on(item["DefElem"])
        for item in node.get("params", [])
    )
