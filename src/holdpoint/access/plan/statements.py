"""The statements of a plan, each with the same in words.

Everything is folded and sorted: rights that are alike stand in one statement, and the same state
of a database always gives the same text. Approvals bind to it byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdpoint.access.desired import PUBLIC, DefaultRight, DesiredRole, On, Right
from holdpoint.access.plan.granted import Granted, Membership, RoleSetting
from holdpoint.access.quoting import identifier, literal, qualified
from holdpoint.audit.redact import MARK
from holdpoint.policy.words import listed, quoted

OBJECTS_SHOWN: Final = 6  # of one line of words; the statement has them all
OBJECTS_PER_STATEMENT: Final = 1_000
COLUMNS: Final = 96
# Settings whose value is a list of names (server source, GUC_LIST_QUOTE).
LISTS: Final = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
)

_KEYWORD: Final = {
    On.DATABASE: "DATABASE",
    On.SCHEMA: "SCHEMA",
    On.TABLE: "TABLE",
    On.SEQUENCE: "SEQUENCE",
    On.FUNCTION: "ROUTINE",
    On.TYPE: "TYPE",
    On.LANGUAGE: "LANGUAGE",
    On.WRAPPER: "FOREIGN DATA WRAPPER",
    On.SERVER: "FOREIGN SERVER",
    On.LARGE_OBJECT: "LARGE OBJECT",
    On.TABLESPACE: "TABLESPACE",
    On.PARAMETER: "PARAMETER",
}
_PLURAL: Final = {
    On.TABLE: "TABLES",
    On.SEQUENCE: "SEQUENCES",
    On.FUNCTION: "ROUTINES",
    On.SCHEMA: "SCHEMAS",
    On.TYPE: "TYPES",
    On.LARGE_OBJECT: "LARGE OBJECTS",
}

# Privileges whose names say little; the others read well as they are.
_VERB: Final = {
    (On.DATABASE, "connect"): "connect to",
    (On.DATABASE, "create"): "make schemas in",
    (On.DATABASE, "temporary"): "make temporary tables in",
    (On.SCHEMA, "create"): "make tables and functions in",
    (On.SCHEMA, "usage"): "use",
    (On.SEQUENCE, "usage"): "take numbers from",
    (On.FUNCTION, "execute"): "call",
    (On.TYPE, "usage"): "use",
    (On.LANGUAGE, "usage"): "write functions in",
    (On.WRAPPER, "usage"): "make servers of",
    (On.SERVER, "usage"): "make tables of",
    (On.TABLESPACE, "create"): "keep tables in",
    (On.PARAMETER, "set"): "set",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How SQL writes objects.

    ``signatures`` has functions, by schema and ``f(integer)``. ``counts`` says how many objects of
    a kind a schema has: what is done to more than ``OBJECTS_PER_STATEMENT`` of them, and to all
    that there are, is done to ``ALL TABLES IN SCHEMA``. Each table that a statement names is
    locked (seen on 18, not before), and there are so many locks; this form takes none.
    """

    signatures: Mapping[tuple[str, str], str] = field(default_factory=dict)
    counts: Mapping[tuple[On, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of a plan. ``role`` is whom it is about, empty for everybody.

    ``adds``: the role can do more afterwards, or else less. ``secret`` is a part of the text that
    is not shown: a password's verifier. ``tables`` are tables and sequences that it names.
    """

    role: str
    adds: bool
    words: str
    sql: str = field(repr=False)
    secret: str = field(default="", repr=False)
    tables: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The statement without its secret."""
        return self.sql.replace(self.secret, MARK) if self.secret else self.sql


def script(steps: Sequence[Step], title: str) -> str:
    """Return all statements as one text, with a comment before each role's."""
    return _script(steps, title, [step.sql for step in steps])


def shown_script(steps: Sequence[Step], title: str) -> str:
    """Return the same without secrets."""
    return _script(steps, title, [step.shown for step in steps])


def _script(steps: Sequence[Step], title: str, texts: Sequence[str]) -> str:
    lines = [f"-- {title}"]
    about: str | None = None
    for step, text in zip(steps, texts, strict=True):
        if step.role != about:
            about = step.role
            lines += ["", f"-- role {quoted(about)}" if about else "-- everybody"]
        lines.append(f"{text};")
    return "\n".join(lines) + "\n"


# --- roles ----------------------------------------------------------------------------------------


def create_role(wanted: DesiredRole, verifier: str) -> Step:
    """Make a role; ``verifier`` is its password's, empty for none."""
    options = [
        "LOGIN" if wanted.login else "NOLOGIN",
        "NOSUPERUSER",
        "NOCREATEDB",
        "CREATEROLE" if wanted.createrole else "NOCREATEROLE",
        "NOREPLICATION",
        "NOBYPASSRLS",
        "INHERIT" if wanted.inherits else "NOINHERIT",
    ]
    if wanted.connection_limit >= 0:
        options.append(f"CONNECTION LIMIT {wanted.connection_limit}")
    words = "does not exist yet: it is made"
    words += ", to sign in" if wanted.login else ", to hold rights; nobody signs in as it"
    if wanted.createrole:
        words += ", and it may make roles"
    sql = f"CREATE ROLE {identifier(wanted.name)} {' '.join(options)}"
    if verifier:
        sql += f"\n    PASSWORD {literal(verifier)}"
    return Step(role=wanted.name, adds=True, words=words, sql=sql, secret=verifier)


def alter_role(name: str, options: Sequence[str], words: Sequence[str], *, adds: bool) -> Step:
    """Change what a role is."""
    return Step(
        role=name,
        adds=adds,
        words=listed(list(words)),
        sql=f"ALTER ROLE {identifier(name)} {' '.join(options)}",
    )


def set_password(name: str, verifier: str) -> Step:
    """Give a role the password that its URL has."""
    return Step(
        role=name,
        adds=True,
        words="has another password than its URL, or none: it gets the URL's",
        sql=f"ALTER ROLE {identifier(name)} PASSWORD {literal(verifier)}",
        secret=verifier,
    )


def set_setting(name: str, setting: str, value: str) -> Step:
    """Set something for every later session of a role."""
    sql = f"ALTER ROLE {identifier(name)} SET {_setting(setting)} = {_value(setting, value)}"
    return Step(role=name, adds=True, words=f"starts with {setting} = {quoted(value)}", sql=sql)


def reset_setting(setting: RoleSetting) -> Step:
    """Take a setting away."""
    where = f" IN DATABASE {identifier(setting.database)}" if setting.database else ""
    return Step(
        role=setting.role,
        adds=False,
        words=f"no longer starts with {setting.name} = {quoted(setting.value)}"
        + (" in this database" if where else ""),
        sql=f"ALTER ROLE {identifier(setting.role)}{where} RESET {_setting(setting.name)}",
    )


def stored_value(setting: str, value: str) -> str:
    """Return a value as the server keeps it: the names of a list are quoted one by one."""
    if setting not in LISTS:
        return value
    return ", ".join(identifier(each) for each in _names(value))


def _setting(name: str) -> str:
    return ".".join(identifier(part) for part in name.split("."))


def _value(setting: str, value: str) -> str:
    if setting not in LISTS:
        return literal(value)
    return ", ".join(literal(each) for each in _names(value)) or "''"


def _names(value: str) -> list[str]:
    """The names of a list, without their quotes: ``"$user", public``."""
    names: list[str] = []
    rest = value.strip()
    while rest:
        if rest.startswith('"'):
            end = 1
            while (end := rest.find('"', end)) >= 0 and rest.startswith('""', end):
                end += 2
            if end < 0:
                end = len(rest)
            names.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].lstrip().removeprefix(",").lstrip()
        else:
            name, _, rest = rest.partition(",")
            names.append(name.strip().lower())
            rest = rest.lstrip()
    return [name for name in names if name]


# --- memberships ----------------------------------------------------------------------------------


def join(wanted: DesiredRole, holder: str, version: int) -> Step:
    """Give a role to another; from 16 on without SET ROLE, and only to pass on if it mints."""
    mints = bool(wanted.admin_of)
    if version >= 16:
        yes, no = ("TRUE", "FALSE") if mints else ("FALSE", "TRUE")
        options = f" WITH ADMIN {yes}, INHERIT {no}, SET FALSE"
    else:
        options = " WITH ADMIN OPTION" if mints else ""
    words = (
        f"may give the rights of {quoted(holder)} to roles that it makes"
        if mints
        else f"has the rights of {quoted(holder)}"
    )
    sql = f"GRANT {identifier(holder)} TO {identifier(wanted.name)}{options}"
    return Step(role=wanted.name, adds=True, words=words, sql=sql)


def leave(membership: Membership, version: int, *, about: str) -> Step:
    """Take a role away from another; from 16 on, exactly the grant of that grantor."""
    by = f" GRANTED BY {identifier(membership.grantor)}" if version >= 16 else ""
    sql = f"REVOKE {identifier(membership.role)} FROM {identifier(membership.member)}{by}"
    words = f"no longer has the rights of {quoted(membership.role)} as it had them"
    if about != membership.member:
        words = f"is no longer a role of {quoted(membership.member)}"
    return Step(role=about, adds=False, words=words, sql=sql)


# --- rights ---------------------------------------------------------------------------------------


def names_of(state: Granted) -> Names:
    """Return how SQL writes what a database has."""
    objects = state.objects
    counts = {
        (on, schema): len(names)
        for on, by_schema in (
            (On.TABLE, objects.tables),
            (On.SEQUENCE, objects.sequences),
            (On.FUNCTION, objects.functions),
        )
        for schema, names in by_schema.items()
    }
    return Names(signatures=state.signatures, counts=counts)


def give(grantees: Sequence[str], rights: Iterable[Right], names: Names) -> list[Step]:
    """Return the statements that give rights; the step is about the first grantee."""
    to = ", ".join(identifier(each) for each in grantees)
    return [
        Step(
            role=grantees[0],
            adds=True,
            words=f"may {each.doing}",
            sql=_wrapped(f"GRANT {each.privileges} ON {each.kind}", each.names, f"TO {to}"),
            tables=each.tables,
        )
        for each in _folded(rights, names)
    ]


def take(
    grantee: str, rights: Iterable[Right], names: Names, *, option_only: bool = False
) -> list[Step]:
    """Return the statements that take rights away, or only the right to give them on."""
    of = identifier(grantee) if grantee != PUBLIC else "PUBLIC"
    what, more = ("GRANT OPTION FOR ", "let others ") if option_only else ("", "")
    return [
        Step(
            role=grantee,
            adds=False,
            words=f"may no longer {more}{each.doing}",
            sql=_wrapped(
                f"REVOKE {what}{each.privileges} ON {each.kind}", each.names, f"FROM {of}"
            ),
            tables=each.tables,
        )
        for each in _folded(rights, names)
    ]


def defaults(grantee: str, rights: Iterable[DefaultRight], *, adds: bool) -> list[Step]:
    """Return the statements that change what a role gets on objects to come."""
    alike: dict[tuple[str, str, On], list[str]] = defaultdict(list)
    for each in sorted(rights):
        alike[each.owner, each.schema, each.on].append(each.privilege)
    steps: list[Step] = []
    for (owner, schema, on), privileges in alike.items():
        where = f" IN SCHEMA {identifier(schema)}" if schema else ""
        verb, to = ("GRANT", "TO") if adds else ("REVOKE", "FROM")
        what = ", ".join(each.upper() for each in privileges)
        may = "will be able to" if adds else "will no longer be able to"
        inside = f" in {quoted(schema)}" if schema else ""
        steps.append(
            Step(
                role=grantee,
                adds=adds,
                words=f"{may} {what} on {_PLURAL[on].lower()} that {quoted(owner)} makes{inside}",
                sql=f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(owner)}{where}\n"
                f"    {verb} {what} ON {_PLURAL[on]} {to} {identifier(grantee)}",
            )
        )
    return steps


_Privileges = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """Objects whose privileges are alike: one statement."""

    on: On
    held: _Privileges
    names: Sequence[str]
    schema: str = ""  # all of it

    @property
    def kind(self) -> str:
        """What stands after ON, before the names."""
        return f"ALL {_PLURAL[self.on]} IN SCHEMA" if self.schema else _KEYWORD[self.on]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables and sequences that are named one by one."""
        named = self.on in (On.TABLE, On.SEQUENCE) and not self.schema
        return tuple(self.names) if named else ()

    @property
    def privileges(self) -> str:
        """``SELECT, UPDATE (status)``."""
        return ", ".join(_written(self.held))

    @property
    def doing(self) -> str:
        """What they let one do, in words: ``SELECT on `orders` ``, ``use schema `public` ``."""
        what = self.on.value
        if self.schema:
            objects = f"all {what}s in {quoted(self.schema)}"
        else:
            shown = [quoted(each) for each in self.names[:OBJECTS_SHOWN]]
            if len(self.names) > len(shown):
                shown.append(f"{len(self.names) - len(shown):,} more")
            kind = "" if self.on is On.TABLE else f"{what}{'s' if len(self.names) > 1 else ''} "
            objects = kind + listed(shown)
        verbs = [_VERB.get((self.on, name), "") for name, _ in self.held]
        if all(verbs):
            return f"{listed(verbs)} {objects}"
        return f"{listed(_written(self.held))} on {objects}"


def _folded(rights: Iterable[Right], names: Names) -> list[_Fold]:
    """Put together what one statement can do, in an order that is always the same."""
    of_object: dict[tuple[On, str, str], dict[str, set[str]]] = defaultdict(dict)
    for each in sorted(rights):  # what has no column comes first, and stands for all columns
        held = of_object[each.on, each.schema, each.name]
        if not each.column:
            held[each.privilege] = set()
        elif held.get(each.privilege) != set():
            held.setdefault(each.privilege, set()).add(each.column)
    alike: dict[tuple[On, _Privileges], dict[str, list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (on, schema, name), held in of_object.items():
        privileges = tuple((each, tuple(sorted(held[each]))) for each in sorted(held))
        alike[on, privileges][schema].append(_object(on, schema, name, names))
    order = list(On)
    folds: list[_Fold] = []
    for (on, privileges), schemas in alike.items():
        some: list[str] = []
        for schema, objects in schemas.items():
            whole = not any(columns for _, columns in privileges)
            every = len(objects) == names.counts.get((on, schema), -1)
            if whole and every and len(objects) > OBJECTS_PER_STATEMENT:
                all_of = [identifier(schema)]
                folds.append(_Fold(on=on, held=privileges, names=all_of, schema=schema))
            else:
                some += objects
        for start in range(0, len(some), OBJECTS_PER_STATEMENT):
            part = some[start : start + OBJECTS_PER_STATEMENT]
            folds.append(_Fold(on=on, held=privileges, names=part))
    return sorted(folds, key=lambda each: (order.index(each.on), *each.names, each.privileges))


def _object(on: On, schema: str, name: str, names: Names) -> str:
    if on is On.FUNCTION:
        known = names.signatures.get((schema, name))
        if known is not None:
            return known
        bare, _, arguments = name.partition("(")
        return f"{qualified(schema, bare)}({arguments}"
    if on is On.LARGE_OBJECT:
        return name
    if on is On.PARAMETER:
        return _setting(name)
    return qualified(schema, name)


def _written(privileges: _Privileges) -> list[str]:
    return [
        f"{name.upper()} ({', '.join(identifier(each) for each in columns)})"
        if columns
        else name.upper()
        for name, columns in privileges
    ]


def _wrapped(start: str, names: Sequence[str], end: str) -> str:
    """Return a statement on one line if it fits, else with its names on lines of their own."""
    line = f"{start} {', '.join(names)} {end}"
    if len(line) <= COLUMNS:
        return line
    lines: list[str] = []
    at = ""
    for name in names:  # not textwrap: a quoted name may hold spaces
        if at and len(at) + len(name) + 2 > COLUMNS - 4:
            lines.append(f"    {at},")
            at = name
        else:
            at = f"{at}, {name}" if at else name
    lines.append(f"    {at}")
    return "\n".join([start, *lines, f"    {end}"])
