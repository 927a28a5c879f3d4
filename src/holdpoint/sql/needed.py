"""What reading a text's privileges collects; ``model.needs`` is its frozen form."""

from __future__ import annotations

from typing import Final

from holdpoint.model.catalog import Relation, RelationKind
from holdpoint.model.grants import ObjectClass
from holdpoint.model.needs import Need, Needs
from holdpoint.sql.names import SYSTEM_SCHEMAS, Catalog, Paths

CALLER: Final = "caller"
OWNER: Final = "owner"
"""With whose rights on tables something runs: those of who sent the text, or of a view's owner."""


class Behind:
    """Something that runs behind a text.

    ``kind`` says what, ``oid`` whose, ``rights`` with whose rights, ``columns`` of which columns,
    ``given`` those of them that an INSERT has values for; a block has its language and body.
    """

    def __init__(
        self,
        kind: str,
        oid: int,
        rights: str,
        columns: tuple[str, ...] = (),
        given: tuple[str, ...] = (),
    ) -> None:
        self.kind: Final = kind
        self.oid: Final = oid
        self.rights: Final = rights
        self.columns: Final = columns
        self.given: Final = given
        self.key: Final = (kind, oid, rights, columns, given)


class Needed:
    """Collects needs; ``waiting`` is what runs behind and was not read yet."""

    def __init__(
        self, made: frozenset[str] = frozenset(), prepared: frozenset[str] = frozenset()
    ) -> None:
        self.made: set[str] = set(made)  # relations of the session's own making
        self.prepared: set[str] = set(prepared)  # names of statements that it has prepared
        self.found: dict[Need, None] = {}
        self.choices: dict[tuple[Need, ...], None] = {}
        self.any_column: dict[Need, None] = {}
        self.unknowns: dict[str, None] = {}
        self.beyond: dict[str, None] = {}
        self.missing: dict[str, None] = {}
        self.system: dict[str, None] = {}
        self.built_ins: dict[str, None] = {}
        self.waiting: list[Behind] = []
        self._seen: set[tuple[str, int, str, tuple[str, ...], tuple[str, ...]]] = set()

    def unknown(self, words: str) -> None:
        """Say in words what cannot be told."""
        self.unknowns[words] = None

    def behind(self, item: Behind) -> None:
        """Something runs behind the text, once."""
        if item.key not in self._seen:
            self._seen.add(item.key)
            self.waiting.append(item)

    def needs(self) -> Needs:
        """Everything collected, frozen; a choice that a need settles is none."""
        held = {(need.oid, need.privilege) for need in self.found}
        return Needs(
            needs=frozenset(self.found),
            choices=frozenset(
                [each for each in self.choices if not any(one in self.found for one in each)]
            ),
            any_column=frozenset(
                [each for each in self.any_column if (each.oid, each.privilege) not in held]
            ),
            unknowns=tuple(self.unknowns),
            beyond=tuple(self.beyond),
            missing=tuple(self.missing),
            system=tuple(self.system),
            built_ins=tuple(self.built_ins),
            made=frozenset(self.made),
            prepared=frozenset(self.prepared),
        )


def on(relation: Relation, privilege: str, column: str = "") -> Need:
    """The need of a privilege on a relation; sequences have no columns to grant."""
    is_sequence = relation.kind is RelationKind.SEQUENCE
    return Need(
        kind=ObjectClass.SEQUENCE if is_sequence else ObjectClass.TABLE,
        schema=relation.schema,
        name=relation.name,
        privilege=privilege,
        column="" if is_sequence else column,
        oid=relation.oid,
    )


class Asking:
    """For whom a text is read.

    ``as_caller`` False: its tables are reached with another's rights (a view's owner's); functions
    in it are still the caller's. ``is_typed`` False: the server wrote it, and names have been
    looked up already, so that no schema is needed. ``table`` is the one that an expression belongs
    to.
    """

    def __init__(
        self,
        catalog: Catalog,
        paths: Paths,
        needed: Needed,
        as_caller: bool = True,
        is_typed: bool = True,
        table: Relation | None = None,
    ) -> None:
        self.catalog: Final = catalog
        self.paths: Final = paths
        self.needed: Final = needed
        self.as_caller: Final = as_caller
        self.is_typed: Final = is_typed
        self.table: Final = table

    def schema(self, name: str, privilege: str = "usage") -> None:
        """A schema is used by its name."""
        if self.is_typed and name not in SYSTEM_SCHEMAS and not name.startswith("pg_temp"):
            self.needed.found[Need(ObjectClass.SCHEMA, name, name, privilege)] = None

    def relations(self, schema: str, name: str) -> tuple[Relation, ...]:
        """The relations that a name means, one of the session's own excepted."""
        if not schema and name in self.needed.made:
            return ()
        meant = self.catalog.relations_meant(schema, name, self.paths)
        lasting = [each for each in meant if not each.temporary]
        for relation in lasting:
            self.schema(relation.schema)
        if not meant:
            label = f"{schema}.{name}" if schema else name
            if schema in SYSTEM_SCHEMAS or name.startswith("pg_"):
                self.needed.system[label] = None
            else:
                self.needed.missing[label] = None
        return tuple(lasting)
