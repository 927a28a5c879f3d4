"""Where a database differs from what the configuration promises of a role: rights besides tables.

Pure, as ``drift`` is: databases, functions, views and rules, row-level security, default
privileges, and what no configuration grants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from holdpoint.access.desired import On
from holdpoint.access.quoting import identifier, qualified
from holdpoint.access.verify import effective_queries as queries
from holdpoint.access.verify.drift import PREDEFINED, Drift, DriftMaker, Kind, Through, label, shown
from holdpoint.access.verify.facts import (
    PUBLIC_OID,
    DefaultEntry,
    Entry,
    Function,
    Lead,
    Other,
)
from holdpoint.model import limits
from holdpoint.model.target import AccessLevel
from holdpoint.policy.words import listed, quoted

_DEFAULT_KINDS: Final = {"r": On.TABLE, "S": On.SEQUENCE, "f": On.FUNCTION, "n": On.SCHEMA}
_DEFAULT_WORDS: Final = {
    "r": "tables",
    "S": "sequences",
    "f": "functions",
    "n": "schemas",
    "L": "large objects",
}
_KEYWORDS: Final = {"f": "FUNCTIONS", "L": "LARGE OBJECTS"}
_DATABASE_WORDS: Final = {
    "connect": "CONNECT",
    "create": "CREATE schemas",
    "temporary": "create temporary tables and functions (TEMPORARY)",
}


class RestDrift(DriftMaker):
    """Sorts what was found besides rights on tables, sequences and schemas."""

    def all(self) -> list[Drift]:
        """Everything, in the order of classes of objects."""
        return [
            *self._databases(),
            *self._functions(),
            *self._led(),
            *self._unprotected(),
            *self._grantable(),
            *self._defaults(),
            *self._others(),
        ]

    # --- databases

    def _databases(self) -> Iterator[Drift]:
        others: list[str] = []
        for database in self._found.databases:
            if not database.current:
                if "connect" in database.privileges and not self._role.superuser:
                    others.append(database.name)
                if "create" in database.privileges and not self._role.superuser:
                    yield from self._database(database.name, ("create",), database.entries)
                continue
            surplus = [p for p in database.privileges if p not in self._promise.database]
            yield from self._database(database.name, surplus, database.entries)
            if self._promise.exact and "connect" not in database.privileges:
                name = identifier(database.name)
                yield self._drift(
                    Kind.MISSING,
                    f"database {quoted(database.name)}",
                    f"the role may not CONNECT to {quoted(database.name)}",
                    "revoked from PUBLIC, and not granted to the role",
                    [f"GRANT CONNECT ON DATABASE {name} TO {identifier(self._role.name)};"],
                )
        if others:
            number = len(others)
            yield self._drift(
                Kind.SURPLUS,
                "other databases",
                f"the role may connect to {number:,} other database{'' if number == 1 else 's'} "
                f"of the server: {shown(others)}; only this one was looked at",
                "mostly CONNECT of PUBLIC",
                note=True,
            )

    def _database(
        self, name: str, surplus: Sequence[str], entries: Sequence[Entry]
    ) -> Iterator[Drift]:
        if self._role.superuser:
            return
        for privilege in surplus:
            given = [each for each in entries if each.privilege == privilege] or [
                Entry(-1, privilege, False)
            ]
            for entry in given:
                whom, source = self._whom(entry)
                right = f"{privilege.upper()} ON DATABASE {identifier(name)}"
                # Temporary tables change nothing that others see; for who only reads it is more.
                everybody = entry.grantee == PUBLIC_OID and privilege == "temporary"
                yield self._drift(
                    Kind.SURPLUS,
                    f"database {quoted(name)}",
                    f"the role may {_DATABASE_WORDS[privilege]} in {quoted(name)}",
                    source,
                    self._revoked(entry, [f"REVOKE {right} FROM {whom};"] if whom else []),
                    (privilege,),
                    note=everybody and self._promise.access is not AccessLevel.READ_ONLY,
                )

    # --- functions

    def _functions(self) -> Iterator[Drift]:
        for each in self._found.functions:
            about = f"function `{label(each.schema, each.name)}`"
            if not each.have:
                if not self._promise.holder:
                    yield self._drift(
                        Kind.MISSING,
                        about,
                        f"the tier gives EXECUTE on `{label(each.schema, each.name)}`, and the "
                        "database does not",
                        "never granted, or revoked by hand",
                        [f"GRANT EXECUTE ON FUNCTION {each.signature} TO "
                         f"{identifier(self._role.name)};"],
                        ("execute",),
                    )  # fmt: skip
            elif not self._role.superuser and each.owner != self._role.name:
                yield from self._function(about, each)

    def _function(self, about: str, each: Function) -> Iterator[Drift]:
        if each.definer:
            power = " (a superuser)" if each.owner_super else ""
            what = f"the role may call it, and it runs as its owner {quoted(each.owner)}{power}"
            what += ", which may write" if not each.stable else ""
            what += "; it has no `search_path` of its own" if each.pathless else ""
        elif each.untrusted:
            what = (
                f"the role may call it, and {quoted(each.untrusted)} reaches the server's machine"
            )
        else:
            what = "the role may call it, and it was made to be kept from PUBLIC"
        if each.extension:
            what += f"; it belongs to extension {quoted(each.extension)}"
        if not each.reachable:
            what += " (not now: it has no USAGE of the schema)"
        for entry in each.entries or (Entry(-1, "execute", False),):
            name = self._role.named(entry.grantee)
            if name and name != self._role.name:
                # Told with the membership, or with the role in between; what a predefined role may
                # call is what it is for.
                if name != self._promise.holder and name not in PREDEFINED:
                    self.through.append(Through(name, "EXECUTE", label(each.schema, each.name)))
                continue
            whom, source = self._whom(entry)
            mend = [f"REVOKE EXECUTE ON FUNCTION {each.signature} FROM {whom};"] if whom else []
            mend = self._revoked(entry, mend)
            yield self._drift(
                Kind.SURPLUS, about, what, source, mend, ("execute",),
                note=(bool(each.extension) and not each.kept) or not each.reachable,
            )  # fmt: skip

    # --- views and rules, row-level security

    def _led(self) -> Iterator[Drift]:
        """Views within the grants only because of a `*`, and rules, that lead out of the grants."""
        told = {(each.schema, each.name) for each in self._found.differences if each.surplus}
        for place, leads in self._leads.items():
            is_view = leads[0].relkind in ("v", "m")
            if place in told or self._promise.holder or (is_view and place in self._promise.named):
                continue
            if not self._promise.exact and not any(lead.writes for lead in leads):
                continue
            yield self._lead(place, leads, is_view=is_view)
        if len(self._found.leads) == limits.VERIFY_LEADS_MAX:
            yield self._drift(
                Kind.SURPLUS,
                "views",
                f"over {limits.VERIFY_LEADS_MAX:,} ways through views and rules; the rest was not "
                "looked at",
                note=True,
            )

    def _lead(self, place: tuple[str, str], leads: Sequence[Lead], *, is_view: bool) -> Drift:
        where = f"`{label(*place)}`"
        verbs = [
            *(["read"] if any(lead.reads for lead in leads) else []),
            *(["write"] if any(lead.writes for lead in leads) else []),
        ]
        ends = shown([label(each.end_schema, each.end_name) for each in leads])
        role = identifier(self._role.name)
        return self._drift(
            Kind.SURPLUS,
            f"table {where}",
            f"{'view' if is_view else 'a rule on'} {where} lets the role {listed(verbs)} {ends}, "
            f"which the role may not as a whole: it runs as its owner {quoted(leads[0].owner)}",
            "a view within a grant on `*`" if is_view else "a rule of the table",
            [f"REVOKE ALL ON TABLE {qualified(*place)} FROM {role};"]
            if is_view
            else [f"-- drop the rules of {where} that its grants do not mean"],
            note=not self._promise.exact,
        )

    def _unprotected(self) -> Iterator[Drift]:
        for each in self._found.unprotected:
            where = f"`{label(each.schema, each.name)}`"
            policies = f"{each.policies:,} polic{'y' if each.policies == 1 else 'ies'}"
            if not each.enabled:
                yield self._drift(
                    Kind.CHANGED,
                    f"table {where}",
                    f"{where} has {policies}, and row-level security is off: the role sees every "
                    "row",
                    "ALTER TABLE … DISABLE ROW LEVEL SECURITY, or it was never enabled",
                    [f"ALTER TABLE {qualified(each.schema, each.name)} "
                     "ENABLE ROW LEVEL SECURITY;"],
                )  # fmt: skip
            elif not self._role.superuser:
                yield self._drift(
                    Kind.SURPLUS,
                    f"table {where}",
                    f"{where} has {policies}, which do not hold for its owner, and the role is one",
                    "ownership",
                    [f"ALTER TABLE {qualified(each.schema, each.name)} "
                     "FORCE ROW LEVEL SECURITY;"],
                )  # fmt: skip

    # --- what it may give on

    def _grantable(self) -> Iterator[Drift]:
        """Rights with GRANT OPTION: by them others could be given what nobody planned."""
        for each in self._found.grantable:
            name = self._role.named(each.grantee)
            if name == self._promise.holder:
                continue
            place = label(each.schema, each.name)
            where = f"{place}({label('', each.column)})" if each.column else place
            words = listed([privilege.upper() for privilege in each.privileges])
            if name != self._role.name:
                self.through.append(Through(name, f"GRANT OPTION for {words}", where))
                continue
            column = f" ({identifier(each.column)})" if each.column else ""
            rights = ", ".join(privilege.upper() + column for privilege in each.privileges)
            target = each.signature or qualified(each.schema, each.name)
            yield self._drift(
                Kind.SURPLUS,
                f"{each.on.value} `{where}`",
                f"the role may grant {words} on `{where}` to others (GRANT OPTION)",
                "granted to the role itself",
                [f"REVOKE GRANT OPTION FOR {rights} ON {each.on.value.upper()} {target} FROM "
                 f"{identifier(name)};"],
            )  # fmt: skip

    # --- what new objects will give

    def _defaults(self) -> Iterator[Drift]:
        wanted = self._promise.wanted.defaults if self._promise.wanted is not None else frozenset()
        kept = {(each.owner, each.schema, each.on, each.privilege) for each in wanted}
        given: set[tuple[str, str, On | None, str]] = set()
        for each in self._found.defaults:
            key = (each.maker, each.schema, _DEFAULT_KINDS.get(each.kind), each.entry.privilege)
            given |= {key, (each.maker, "", key[2], key[3])} if not each.schema else {key}
            # EXECUTE of PUBLIC on functions and USAGE on types are what every database begins with.
            if each.kind == "T" or (each.kind == "f" and each.entry.grantee == PUBLIC_OID):
                continue
            name = self._role.named(each.entry.grantee)
            if name and name == self._promise.holder:
                continue
            if key in kept and not each.entry.grantable:
                continue
            if not self._promise.exact and each.entry.privilege in self._usual(each.kind):
                continue
            yield self._default(each)
        if self._promise.holder:
            return
        for maker, schema, on, privilege in sorted(kept):
            if (maker, schema, on, privilege) in given or (maker, "", on, privilege) in given:
                continue
            if maker == self._role.name:
                continue  # what it makes it owns
            yield self._drift(
                Kind.MISSING,
                f"default privileges in schema {quoted(schema)}",
                f"what {quoted(maker)} makes in schema {quoted(schema)} will not give "
                f"{privilege.upper()}, which the tier gives on all of it",
                "default privileges were not set, or were taken back",
                [f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(maker)} IN SCHEMA "
                 f"{identifier(schema)} GRANT {privilege.upper()} ON {on.value.upper()}S TO "
                 f"{identifier(self._role.name)};"],
            )  # fmt: skip

    def _usual(self, kind: str) -> frozenset[str]:
        bounds = self._promise.bounds
        names: dict[str, tuple[str, ...]] = {
            "r": queries.names_of(bounds.usual_tables, queries.TABLE_BITS),
            "S": queries.names_of(bounds.usual_sequences, queries.SEQUENCE_BITS),
            "n": queries.names_of(bounds.usual_schemas, queries.SCHEMA_BITS),
            "f": ("execute",),
        }
        return frozenset(names.get(kind, ()))

    def _default(self, each: DefaultEntry) -> Drift:
        whom, source = self._whom(each.entry)
        privilege = each.entry.privilege.upper()
        place = f" in schema {quoted(each.schema)}" if each.schema else ""
        within = f" IN SCHEMA {identifier(each.schema)}" if each.schema else ""
        things = _DEFAULT_WORDS.get(each.kind, "objects")
        option = " with GRANT OPTION" if each.entry.grantable else ""
        return self._drift(
            Kind.SURPLUS,
            f"default privileges of {quoted(each.maker)}{place}",
            f"{things} that {quoted(each.maker)} makes{place} will give {privilege}{option}",
            f"a default privilege, {source}",
            [f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(each.maker)}{within} REVOKE "
             f"{privilege} ON {_KEYWORDS.get(each.kind, things.upper())} FROM {whom};"]
            if whom
            else [],
        )  # fmt: skip

    # --- the rest

    def _others(self) -> Iterator[Drift]:
        if self._role.lo_compat:
            yield self._drift(
                Kind.SURPLUS,
                "large objects",
                "the role may read and write every large object: `lo_compat_privileges` is on",
                "a setting of the server",
                ["-- set lo_compat_privileges = off in the server's configuration"],
            )
        for each in self._found.others:
            usual = each.kind == "large object" and not self._promise.exact
            if not (usual and each.entry.privilege in self._usual("r")):
                yield self._other(each)

    def _other(self, each: Other) -> Drift:
        whom, source = self._whom(each.entry)
        privilege = each.entry.privilege.upper()
        name = each.name if each.kind in ("large object", "parameter") else identifier(each.name)
        if each.kind == "user mapping":
            return self._drift(
                Kind.SURPLUS,
                f"user mapping for server {quoted(each.name)}",
                f"what the role does in foreign tables of server {quoted(each.name)} is "
                "done there as the user that the mapping names",
                source.replace("granted to", "made for"),
                [f"DROP USER MAPPING FOR {whom} SERVER {name};"] if whom else [],
                note=True,
            )
        what = f"{each.kind} {quoted(each.name)}"
        if each.number > 1:
            what = f"{each.number:,} {each.kind}s, the first of them {quoted(each.name)}"
        statement = f"REVOKE {privilege} ON {each.kind.upper()} {name} FROM {whom};"
        return self._drift(
            Kind.SURPLUS,
            f"{each.kind} {quoted(each.name)}",
            f"the role has {privilege} on {what}",
            source,
            [statement] if whom else [],
        )
