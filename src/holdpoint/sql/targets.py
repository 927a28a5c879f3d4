"""What the names in a WHERE clause mean: the target's columns, its partners', or nobody's.

With a catalog a name is looked up among the columns of the relations in scope, as the server does
(manual, section 4.2.1). Without one, only what the text shows counts: a qualified name is the
target's own when it says so, an unqualified one when no other relation is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdpoint.model.catalog import Column, Relation
from holdpoint.sql.names import Catalog
from holdpoint.sql.walk import Node, Walk, strings

TID_OID: Final = 27
"""``pg_type.oid`` of tid, the type of ctid."""

# System columns (manual, section 5.6) that most often hold one value for the whole table.
_SAME_IN_EVERY_ROW: Final = frozenset(("tableoid", "cmin", "cmax", "xmax"))
_SYSTEM: Final = _SAME_IN_EVERY_ROW | {"ctid", "xmin"}


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set: how this room writes its longer lists of names."""
    return frozenset(text.split())


class Relations:
    """Looks relations up as a statement means them; ``hidden`` are CTEs' names."""

    def __init__(self, walk: Walk | None, hidden: frozenset[str]) -> None:
        self.walk = walk
        self.hidden = hidden

    def of(self, node: Node) -> Relation | None:
        """The relation a RangeVar means; None when that is not sure."""
        if self.walk is None:
            return None
        if not node.get("schemaname", "") and node.get("relname", "") in self.hidden:
            return None
        return self.walk.relation_of(node)

    def seen_as(self, node: Node) -> Relation | None:
        """The same under the column names that its alias gives: ``customers AS c (k, land)``."""
        found = self.of(node)
        names = strings(node.get("alias", {}).get("colnames", []))
        if found is None or not names:
            return found
        if len(names) > len(found.columns):
            return None
        columns = [
            replace(column, name=name) for column, name in zip(found.columns, names, strict=False)
        ]
        return replace(found, columns=(*columns, *found.columns[len(names) :]))

    def stored_name(self, relation: Relation, name: str) -> str:
        """The table's own name for a column of what ``seen_as`` gave."""
        catalog = self.catalog()
        stored = catalog.relation(relation.oid) if catalog is not None else None
        for seen, column in zip(
            relation.columns, stored.columns if stored is not None else (), strict=False
        ):
            if seen.name == name:
                return column.name
        return name

    def catalog(self) -> Catalog | None:
        """The picture it looks into."""
        return self.walk.catalog if self.walk is not None else None


NOTHING_KNOWN: Final = Relations(None, frozenset())


def column_of(relation: Relation, name: str) -> Column | None:
    """The column of that name; ``ctid`` is one of every table."""
    for column in relation.columns:
        if column.name == name:
            return column
    if name == "ctid":
        return Column(name="ctid", type_oid=TID_OID, not_null=True)
    return None


def alias_of(node: Node) -> str:
    """The name under which a FROM item's node is known: its alias or the relation's own name."""
    alias: Node = node.get("alias", {})
    name: str = alias.get("aliasname", "") or node.get("relname", "")
    return name


def cte_names(clause: Node) -> frozenset[str]:
    """The names that a WITH clause defines."""
    return frozenset([item["CommonTableExpr"]["ctename"] for item in clause.get("ctes", [])])


def leaves(items: list[Any]) -> list[tuple[str, Node]]:
    """The FROM items without their joins: ``(node type, node)``."""
    found: list[tuple[str, Node]] = []
    stack: list[Any] = list(items)
    while stack:
        item = stack.pop()
        if not isinstance(item, dict):
            continue
        for kind, node in item.items():
            if not isinstance(node, dict):
                continue
            if kind == "JoinExpr":
                stack.append(node.get("larg"))
                stack.append(node.get("rarg"))
            elif kind == "RangeTableSample":
                stack.append(node.get("relation"))
            else:
                found.append((kind, node))
    return found


class Target:
    """A relation whose rows a condition chooses among: the one that is changed, or a partner.

    ``alone`` tells that no other relation is in scope, so that an unqualified name is its own.
    ``others`` are names that other relations in scope are known to export. ``selves`` are names
    that give all rows of the table: its own, and CTEs that copy it. ``copies`` are names of FROM
    items that do so. ``partners`` are the FROM items that a catalog shows.
    """

    def __init__(self, relation: Node, sources: list[Any], names: Relations) -> None:
        self.node = relation
        self.sources = sources
        self.names = names
        self.relname: str = relation.get("relname", "")
        self.schema: str = relation.get("schemaname", "")
        self.name = alias_of(relation)
        # A CTE of its name does not hide what is changed.
        self.relation: Relation | None = names.walk.relation_of(relation) if names.walk else None
        self.hops = 0  # partners of partners looked at on the way here
        if not self.schema and self.relation is not None:
            self.schema = self.relation.schema
        self.again = False  # a subquery on the table itself: its columns' names are found there
        self.is_outer = False  # seen from inside a subquery
        self.alone = not sources
        self.selves: set[str] = {self.relname}
        self.copies: set[str] = set()
        self.others: set[str] = set()
        self.partners: dict[str, Relation] = {}
        self.known = True  # whether a catalog shows every relation beside it, in every scope
        self.where: Any = None  # the whole condition, for what it says about partners
        for kind, node in leaves(sources):
            self.others.update(_exports(kind, node))
            found = names.seen_as(node) if kind == "RangeVar" else None
            if found is not None:
                self.partners[alias_of(node)] = found
            else:
                self.known = False

    def inner(self, query: Node) -> Target:
        """The same target seen from inside a subquery."""
        sources: list[Any] = query.get("fromClause", [])
        hidden = cte_names(query.get("withClause", {}))
        names = Relations(self.names.walk, self.names.hidden | hidden) if hidden else self.names
        copy = Target(self.node, sources, names)
        copy.is_outer = True
        copy.again = self.again or any(
            kind == "RangeVar"
            and node.get("relname", "") == self.relname
            and "colnames" not in node.get("alias", {})
            for kind, node in leaves(sources)
        )
        copy.where = query.get("whereClause")
        copy.selves, copy.copies = self.selves, set(self.copies)
        if self.name in {alias_of(node) for _, node in leaves(sources)}:
            copy.name = ""  # hidden by an inner relation of that name
        copy.partners = {**self.partners, **copy.partners}
        copy.known = self.known and copy.known
        copy.others |= self.others
        return copy

    def has(self, name: str) -> bool:
        """Whether a catalog shows that the target has a column of that name."""
        return self.relation is not None and (
            name in _SYSTEM or column_of(self.relation, name) is not None
        )

    def own(self, reference: Node) -> str:
        """The name of the target's column that a ColumnRef means; empty when it is another's."""
        fields = strings(reference["fields"])
        name = fields[-1]
        if name in _SAME_IN_EVERY_ROW or name == "*":
            return ""
        if len(fields) > 1:
            return name if fields[-2] == self.name else ""
        if self.relation is not None and not self.has(name):
            return ""  # a whole row, a partner's column, or a variable
        if self.alone:
            return name if name != self.name or self.has(name) else ""
        if self.relation is None or not self.name:
            return ""
        if name in self.others:
            return ""
        if self.partners and any(column_of(each, name) for each in self.partners.values()):
            return ""  # an inner relation's; beside the target itself it would be ambiguous
        return name if self.known or not self.is_outer else ""

    def partner_of(self, reference: Node) -> str:
        """The name of the FROM item whose column a ColumnRef means; empty when that is not sure."""
        fields = strings(reference["fields"])
        if len(fields) > 1:
            return fields[-2] if fields[-2] in self.partners else ""
        having = [
            alias
            for alias, relation in self.partners.items()
            if column_of(relation, fields[0]) is not None
        ]
        return having[0] if len(having) == 1 and self.known else ""


def _exports(kind: str, node: Node) -> set[str]:
    """The column names a FROM item gives, as far as the text shows them."""
    alias: Node = node.get("alias", {})
    names = set(strings(alias.get("colnames", [])))
    query: Node = node.get("subquery", {})
    for item in query.get("SelectStmt", {}).get("targetList", []):
        result: Node = item.get("ResTarget", {})
        if "name" in result:
            names.add(result["name"])
        else:
            names.update(strings(result.get("val", {}).get("ColumnRef", {}).get("fields", [])))
    return names


def mentions(node: Any, target: Target) -> tuple[set[str], set[str], set[str]]:
    """``(the target's columns, qualifiers of other names, unqualified other names)`` within.

    Subqueries are looked into with their own scopes.
    """
    own: set[str] = set()
    qualifiers: set[str] = set()
    loose: set[str] = set()
    stack: list[tuple[Any, Target]] = [(node, target)]
    while stack:
        item, seen_by = stack.pop()
        if isinstance(item, list):
            stack.extend([(part, seen_by) for part in item])
        elif isinstance(item, dict) and "A_Const" not in item:  # of which lists are full
            for key, value in item.items():
                if key == "ColumnRef":
                    name = seen_by.own(value)
                    fields = strings(value["fields"])
                    if name:
                        own.add(name)
                    elif len(fields) > 1:
                        qualifiers.add(fields[-2])
                        if fields[-1] == "*" and fields[-2] == seen_by.name:
                            loose.add(seen_by.name)
                    elif seen_by.partner_of(value):
                        qualifiers.add(seen_by.partner_of(value))
                    elif seen_by.again:
                        qualifiers.add("")
                    else:
                        loose.add(fields[0])
                elif isinstance(value, dict) and "op" in value and "limitOption" in value:
                    stack.append((value, seen_by.inner(value)))
                else:
                    stack.append((value, seen_by))
    return own, qualifiers, loose


def own_columns(node: Any, target: Target) -> set[str]:
    """The target's columns that an expression mentions, subqueries' qualified ones included."""
    own, _, _ = mentions(node, target)
    return own
