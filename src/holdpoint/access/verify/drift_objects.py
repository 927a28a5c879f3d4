"""Where a database differs from what the configuration promises of a role: rights on objects.

Pure, as ``drift`` is. A right that is too much is told once for each place it comes from: all of
them must go. What comes through a role is told with the membership, for that is what to mend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from holdpoint.access.desired import On
from holdpoint.access.quoting import identifier, qualified
from holdpoint.access.verify.drift import PREDEFINED, Drift, DriftMaker, Kind, Through, label, shown
from holdpoint.access.verify.facts import PUBLIC_OID, Difference, Entry
from holdpoint.policy.words import listed, quoted

ALIKE_MAX: Final = 8  # more objects with the same drift from the same place are told together
MENDED_MAX: Final = 200  # objects that one statement of a mend names

# What predefined roles give on every table, by no access list (manual, section 21.5).
_EVERYWHERE: Final[Mapping[str, frozenset[str]]] = {
    "pg_read_all_data": frozenset({"select", "usage"}),
    "pg_write_all_data": frozenset({"insert", "update", "delete", "usage"}),
    "pg_maintain": frozenset({"maintain"}),
}
_OWN_SCHEMAS: Final = ("pg_catalog", "information_schema")
_Same = tuple[On, str, str, tuple[str, ...], Entry]
"""What differences share that are told together: the table too, where columns differ."""


class ObjectDrift(DriftMaker):
    """Sorts what was found about objects: drift of its own, and what comes through memberships."""

    def all(self) -> list[Drift]:
        """Everything, in the order of classes of objects."""
        return [
            *self._absent(),
            *self._missing(),
            *self._differences(),
        ]

    # --- what is missing

    def _absent(self) -> Iterator[Drift]:
        """What the grants name and the database does not have; told once, with the holder."""
        if self._promise.wanted is None or self._promise.holder:
            return
        for words in self._promise.wanted.missing:
            yield self._drift(Kind.MISSING, "grants", words, "the grants name it")

    def _missing(self) -> Iterator[Drift]:
        """Rights that are promised and not there; what a lost membership took is told with it."""
        if self._promise.holder:
            return
        alike: dict[tuple[On, str, str, tuple[str, ...]], list[Difference]] = defaultdict(list)
        for each in self._found.differences:
            if each.missing:
                alike[each.on, each.schema, _table(each), each.missing].append(each)
        name = identifier(self._role.name)
        for (on, _, _, missing), group in _told(alike):
            yield self._drift(
                Kind.MISSING,
                _about(on, group),
                f"the tier gives {listed([each.upper() for each in missing])} on "
                f"{_named(on, group)}, and the database does not",
                "never granted, or revoked by hand",
                _mend("GRANT", on, missing, group, f"TO {name}"),
                missing,
                places=[label(each.schema, each.name) for each in group],
            )

    # --- what is too much

    def _differences(self) -> Iterator[Drift]:
        alike: dict[_Same, list[Difference]] = defaultdict(list)
        for each in self._found.differences:
            for surplus, entry in self._sources(each):
                alike[each.on, each.schema, _table(each), surplus, entry].append(each)
        for (on, _, _, surplus, entry), group in _told(alike):
            yield self._surplus(on, surplus, entry, group)

    def _surplus(
        self, on: On, surplus: tuple[str, ...], entry: Entry, group: Sequence[Difference]
    ) -> Drift:
        whom, source = self._whom(entry)
        words = listed([each.upper() for each in surplus])
        what = f"the role has {words} on {_named(on, group)}, and the tier does not give it"
        mend = _mend("REVOKE", on, surplus, group, f"FROM {whom}") if whom else []
        mend = self._revoked(entry, mend)
        ends = sorted({end for each in group for end in self._ends(each)})
        if ends:
            what += f"; it leads to {shown(ends)}, which the role may not use as a whole"
        asleep = not any(each.reachable for each in group)
        if asleep:
            what += " (not now: it has no USAGE of the schema)"
        return self._drift(
            Kind.SURPLUS,
            _about(on, group),
            what,
            source,
            mend,
            surplus,
            places=[label(each.schema, each.name) for each in group],
            note=asleep and not self._promise.exact,
        )

    def _ends(self, each: Difference) -> Iterator[str]:
        for lead in self._leads.get((each.schema, each.name), ()):
            if each.on is On.TABLE:
                yield label(lead.end_schema, lead.end_name)

    def _sources(self, each: Difference) -> Iterator[tuple[tuple[str, ...], Entry]]:
        """Yield privileges with where they come from; what comes through a role is put aside."""
        rest = set(each.surplus)
        for grantee, grantor in sorted({(entry.grantee, entry.grantor) for entry in each.entries}):
            given = {
                entry.privilege
                for entry in each.entries
                if (entry.grantee, entry.grantor) == (grantee, grantor)
            }
            surplus = tuple(name for name in each.surplus if name in given)
            rest -= given
            if grantee == each.owner and grantee != PUBLIC_OID:
                self._aside(grantee, surplus, each)  # an owner's rights are told as ownership
            elif grantee not in (PUBLIC_OID, self._role.oid):
                self._aside(grantee, surplus, each)
            elif surplus:
                yield surplus, Entry(grantee, "", False, grantor)
        left = tuple(name for name in each.surplus if name in rest)
        if left and not self._explained(each, set(left)):
            yield left, Entry(-1, "", False)

    def _explained(self, each: Difference, left: set[str]) -> bool:
        """Whether powers or predefined roles give it; then it is told with those."""
        if self._role.superuser:
            return True
        for reached in self._role.reach:
            given = left & _EVERYWHERE.get(reached.name, frozenset())
            if "superuser" in reached.powers:
                given = set(left)
            if given and reached.name != self._promise.gives:
                order = tuple(name for name in each.surplus if name in given)
                self._aside(reached.oid, order, each)
                left -= given
        return not left

    def _aside(self, oid: int, privileges: Sequence[str], each: Difference) -> None:
        name = self._role.named(oid)
        if name in PREDEFINED and each.schema in _OWN_SCHEMAS:
            return  # that is what those are for, and there are hundreds
        if privileges and name != self._role.name:
            words = listed([privilege.upper() for privilege in privileges])
            self.through.append(Through(name, words, _place(each)))


# --- words and statements for groups of objects ---------------------------------------------------


_Key = TypeVar("_Key")


def _told(alike: Mapping[_Key, list[Difference]]) -> Iterator[tuple[_Key, list[Difference]]]:
    """Groups of objects with the same drift: one by one where they are few, else together."""
    for key, group in alike.items():
        if len(group) > ALIKE_MAX:
            yield key, group
        else:
            yield from ((key, [each]) for each in group)


def _table(each: Difference) -> str:
    return each.name if each.column else ""


def _place(each: Difference) -> str:
    where = label(each.schema, each.name)
    return f"{where}({label('', each.column)})" if each.column else where


def _about(on: On, group: Sequence[Difference]) -> str:
    if len(group) == 1:
        return f"{on.value} `{_place(group[0])}`"
    return f"{len(group):,} {on.value}s of schema {quoted(group[0].schema)}"


def _named(on: On, group: Sequence[Difference]) -> str:
    places = [_place(each) for each in group]
    if len(places) == 1:
        return f"{on.value} `{places[0]}`" if on is not On.TABLE else f"`{places[0]}`"
    return f"{len(places):,} {on.value}s: {shown(places)}"


def _mend(
    verb: str, on: On, privileges: Sequence[str], group: Sequence[Difference], whom: str
) -> list[str]:
    """A GRANT or REVOKE for a group of objects, for the first ones where they are many."""
    objects = group[:MENDED_MAX]
    words = [privilege.upper() for privilege in privileges]
    names = [qualified(each.schema, each.name) for each in objects]
    if objects[0].column:  # columns of one table
        columns = ", ".join(identifier(each.column) for each in objects)
        words = [f"{word} ({columns})" for word in words]
        names = names[:1]
    statement = f"{verb} {', '.join(words)} ON {on.value.upper()} {', '.join(names)} {whom};"
    more = len(group) - len(objects)
    return [statement, *([f"-- and {more:,} more: verify again after it"] if more else [])]
