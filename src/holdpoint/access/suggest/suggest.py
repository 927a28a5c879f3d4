"""The least grants that a workload would have needed, and what could be dropped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from holdpoint.access.suggest.least import grants_of, settled
from holdpoint.access.suggest.rights_held import RightsHeld
from holdpoint.access.suggest.workload import Evidence, Place, Workload, place_of
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.needs import Need, Needs
from holdpoint.sql.names import Catalog
from holdpoint.sql.privileges_calls import DEFAULT_SEQUENCE, split_name

ALL: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """One privilege of the least set, and what speaks for it.

    ``by_column`` tells of each column how many statements needed it; it is empty where the whole
    object was.
    """

    grant: Grant  # with this one privilege
    evidence: Evidence
    by_column: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A privilege that nothing used; ``used`` are the columns that something did use.

    ``holder`` is the role that holds it, or empty for the configuration. ``why`` says how it holds
    it, where a REVOKE would not do.
    """

    grant: Grant
    holder: str
    used: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Statements about which something must be said, and what."""

    words: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What to grant, what to drop, and what is not sure.

    ``everybody`` are needs that PUBLIC covers, ``refused`` what taking away would have refused.
    """

    target: str
    tier: str
    workload: Workload
    rights: RightsHeld
    grants: tuple[Suggested, ...]
    drops: tuple[Drop, ...]
    everybody: tuple[Need, ...]
    refused: tuple[tuple[Need, Evidence], ...]
    doubts: tuple[Doubt, ...]

    def as_grants(self) -> tuple[Grant, ...]:
        """Return the least set with one grant for each object."""
        found: dict[tuple[ObjectClass, str, str], Grant] = {}
        for each in self.grants:
            key = (each.grant.kind, each.grant.schema, each.grant.name)
            before = found.get(key)
            privileges = () if before is None else before.privileges
            found[key] = replace(each.grant, privileges=(*privileges, *each.grant.privileges))
        return tuple(found.values())


def suggest(
    target: str,
    tier: str,
    workload: Workload,
    rights: RightsHeld,
    signatures: Mapping[int, str],
    configured: tuple[Grant, ...] | None,
) -> Suggestion:
    """Return the least grants for a workload; ``signatures`` are those of functions, by oid."""
    alone = Needs(needs=frozenset(workload.needed))
    least = settled([alone, *workload.combined], workload.catalog)
    public = frozenset(
        each
        for each in least
        if each.kind in (ObjectClass.FUNCTION, ObjectClass.SCHEMA) and each in rights.everybody
    )
    named = frozenset(_signed(each, signatures) for each in least - public)
    grants = tuple(
        _suggested(Grant(grant.schema, grant.name, (privilege,), grant.kind), named, workload)
        for grant in grants_of(named, workload.catalog)
        for privilege in grant.privileges
    )
    return Suggestion(
        target=target,
        tier=tier,
        workload=workload,
        rights=rights,
        grants=grants,
        drops=(
            *_held_drops(least, rights, signatures, workload.catalog),
            *_configured_drops(named, configured or (), workload.catalog),
        ),
        everybody=tuple(sorted(public)),
        refused=tuple(
            (need, workload.refused.get(need, Evidence())) for need in sorted(workload.drops)
        ),
        doubts=tuple(_doubts(workload, rights)),
    )


def _signed(need: Need, signatures: Mapping[int, str]) -> Need:
    """A function's need under its name with arguments."""
    if need.kind is not ObjectClass.FUNCTION:
        return need
    return replace(need, name=signatures.get(need.oid, need.name))


# --- evidence -------------------------------------------------------------------------------------


def _suggested(grant: Grant, named: frozenset[Need], workload: Workload) -> Suggested:
    [privilege] = grant.privileges
    place = next(
        place_of(each)
        for each in named
        if (each.kind, each.schema, each.name, each.privilege)
        == (grant.kind, grant.schema, grant.name, privilege.name)
    )
    found, columns = Evidence(), {}
    for each, evidence in workload.places.items():
        if _is_same(each, place):
            found = evidence
    for need, evidence in workload.needed.items():
        if need.column and _is_same(place_of(need), place):
            columns[need.column] = evidence.count
    return Suggested(grant=grant, evidence=found, by_column=tuple(sorted(columns.items())))


def _is_same(one: Place, other: Place) -> bool:
    """Tell whether two places are one; a function's name may be with its arguments."""
    by_name = one[1:3] == other[1:3] or (one[4] and one[4] == other[4])
    return one[0] == other[0] and one[3] == other[3] and bool(by_name)


# --- what nothing used ----------------------------------------------------------------------------


def _held_drops(
    least: frozenset[Need], rights: RightsHeld, signatures: Mapping[int, str], catalog: Catalog
) -> list[Drop]:
    """What the role holds in the database, and nothing used; of a superuser that says nothing."""
    if rights.superuser:
        return []
    wanted: dict[Place, set[str]] = {}
    for need in least:
        wanted.setdefault(place_of(need), set()).add(need.column)
    whole: dict[Place, set[str]] = {}
    for need in rights.held:
        is_public = need.kind in (ObjectClass.FUNCTION, ObjectClass.SCHEMA)
        if not (is_public and need in rights.everybody):
            whole.setdefault(place_of(need), set()).add(need.column)
    public = {place_of(each) for each in rights.everybody}
    implied = _implied(least, catalog)
    found: list[Drop] = []
    for place in sorted(whole):
        kind, schema, name, privilege, oid = place
        if privilege == "usage" and (kind, schema, name) in implied:
            continue
        used = wanted.get(place, set())
        held = whole[place]
        relation = catalog.relation(oid) if kind is ObjectClass.TABLE else None
        columns = [each.name for each in relation.columns] if relation is not None else []
        if used and ("" in used or (columns and used >= set(columns)) or held <= used):
            continue
        surplus = () if "" in held else tuple(each for each in columns if each in held - used)
        grant = Grant(schema, name, (GrantedPrivilege(privilege, surplus),), kind)
        if kind is ObjectClass.FUNCTION:
            grant = replace(grant, name=signatures.get(oid, name))
        why = ""
        if place in public:
            if relation is not None and relation.extension:
                continue  # what an extension shows to everybody is its own business
            why = "PUBLIC holds it: a REVOKE from the role does nothing"
        elif relation is not None and relation.owner == rights.role:
            why = "the role owns the table"
        kept = tuple(each for each in columns if each in used)
        found.append(Drop(grant=grant, holder=rights.role, used=kept, why=why))
    return found


def _implied(least: frozenset[Need], catalog: Catalog) -> frozenset[tuple[ObjectClass, str, str]]:
    """Sequences of defaults of tables into which rows may come: `access plan` gives them, too."""
    found: set[tuple[ObjectClass, str, str]] = set()
    for need in least:
        relation = catalog.relation(need.oid) if need.privilege == "insert" else None
        for column in relation.columns if relation is not None else ():
            default = DEFAULT_SEQUENCE.search(column.default)
            if default is not None:
                schema, name = split_name(default[1].replace("''", "'"))
                found.add((ObjectClass.SEQUENCE, schema or need.schema, name))
    return frozenset(found)


def _configured_drops(
    named: frozenset[Need], configured: tuple[Grant, ...], catalog: Catalog
) -> list[Drop]:
    """What the configuration grants, and nothing used."""
    found: list[Drop] = []
    for grant in configured:
        for privilege in grant.privileges:
            used = {
                each.column
                for each in named
                if (each.kind, each.schema, each.privilege)
                == (grant.kind, grant.schema, privilege.name)
                and grant.name in (ALL, each.name)
            }
            only = replace(grant, privileges=(privilege,))
            if not used:
                found.append(Drop(grant=only, holder=""))
            elif grant.name == ALL:
                found += _narrowed_schema(only, named)
            elif not _covers(used, privilege, only, catalog):
                kept = tuple(sorted(used - {""}))
                found.append(Drop(grant=only, holder="", used=kept))
    return found


def _narrowed_schema(grant: Grant, named: frozenset[Need]) -> list[Drop]:
    """A grant on every table of a schema, where only some were used."""
    [privilege] = grant.privileges
    names = {
        each.name
        for each in named
        if (each.kind, each.schema, each.privilege) == (grant.kind, grant.schema, privilege.name)
    }
    why = (
        f"of all objects of the schema only {len(names):,} need it, which are suggested one by one"
    )
    return [Drop(grant=grant, holder="", why=why)]


def _covers(used: set[str], privilege: GrantedPrivilege, grant: Grant, catalog: Catalog) -> bool:
    """Tell whether use covers all of a grant."""
    if "" in used or grant.kind is not ObjectClass.TABLE:
        return True
    granted = set(privilege.columns)
    if not granted:
        relation = catalog.find_relation(grant.schema, grant.name, ())
        granted = set() if relation is None else {each.name for each in relation.columns}
    return granted <= used


# --- what is not sure -----------------------------------------------------------------------------


def _doubts(workload: Workload, rights: RightsHeld) -> Iterable[Doubt]:
    for words, evidence in workload.unsure.items():
        yield Doubt(words=f"not sure: {words}", evidence=evidence)
    for words, evidence in workload.beyond.items():
        yield Doubt(words=f"no grant gives this: {words}", evidence=evidence)
    for name, evidence in workload.missing.items():
        words = f"`{name}` is not there any more, or belongs to a session: left out"
        yield Doubt(words=words, evidence=evidence)
    for names in (workload.system, workload.built_ins):
        for name, evidence in names.items():
            if name.rpartition(".")[2] in rights.closed:
                words = f"the server keeps `{name}` from PUBLIC: a grant on it is not suggested"
                yield Doubt(words=words, evidence=evidence)
