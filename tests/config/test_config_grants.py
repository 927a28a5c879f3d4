"""Grants of a tier: names as the catalog has them, no more than the access level gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tier_texts import problem_of, problems_of, tier_of

from holdpoint.access.suggest.toml import toml_of
from holdpoint.config.grants import PRIVILEGES
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.target import AccessLevel


def names_of(key: str, *names: str, privilege: str = "select") -> list[tuple[str, str]]:
    """Schema and name of objects as they are written."""
    listed = ", ".join(f"'{name}' = ['{privilege}']" for name in names)
    grants = tier_of(f"{key} = {{ {listed} }}").grants
    assert grants is not None
    return [(grant.schema, grant.name) for grant in grants]


def test_grants_of_every_kind() -> None:
    grants = tier_of(
        "grants = { orders = ['select', 'insert', 'update(status, note)'], 'sales.*' = 'select' }\n"
        "sequences = { orders_id_seq = ['usage'] }\n"
        "schemas = { sales = ['usage'] }\n"
        "functions = { 'f(integer, text)' = ['execute'] }\n",
        "read-write",
    ).grants
    select = GrantedPrivilege("select")
    update = GrantedPrivilege("update", ("status", "note"))
    assert grants == (
        Grant("public", "orders", (select, GrantedPrivilege("insert"), update)),
        Grant("sales", "*", (select,)),
        Grant("public", "orders_id_seq", (GrantedPrivilege("usage"),), ObjectClass.SEQUENCE),
        Grant("sales", "sales", (GrantedPrivilege("usage"),), ObjectClass.SCHEMA),
        Grant("public", "f(integer, text)", (GrantedPrivilege("execute"),), ObjectClass.FUNCTION),
    )


def test_nothing_said_is_not_nothing_granted() -> None:
    assert tier_of("").grants is None
    assert tier_of("grants = {}").grants == ()
    assert tier_of("functions = {}").grants == ()


def test_names_are_as_the_catalog_has_them() -> None:
    assert names_of("grants", "Orders", "sales.orders", '"odd.schema".t', '"a""b"."c d"') == [
        ("public", "Orders"),
        ("sales", "orders"),
        ("odd.schema", "t"),
        ('a"b', "c d"),
    ]
    assert names_of("grants", '"st*r"', "kunden_größe", "a b") == [
        ("public", "st*r"),
        ("public", "kunden_größe"),
        ("public", "a b"),
    ]
    assert names_of("grants", "*", "sales.*") == [("public", "*"), ("sales", "*")]
    assert names_of("schemas", '"odd.schema"', privilege="usage") == [("odd.schema", "odd.schema")]


def test_functions_stand_with_their_arguments() -> None:
    written = ("f()", "sales.f( integer ,  double   precision)", '"odd(x)"(text)', "sales.*")
    assert names_of("functions", *written, privilege="execute") == [
        ("public", "f()"),
        ("sales", "f(integer, double precision)"),
        ("public", "odd(x)(text)"),
        ("sales", "*"),
    ]


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        ("grants", "", "cannot read the name"),
        ("grants", ".t", "cannot read the name"),
        ("grants", "sales.", "cannot read the name"),
        ("grants", "a.b.c", "has too many dots"),
        ("grants", '"open', "cannot read the name"),
        ("grants", '""', "names have 1 to 63 bytes"),
        ("grants", "x" * 64, "names have 1 to 63 bytes"),
        ("grants", "ä" * 32, "names have 1 to 63 bytes"),
        ("grants", "or*", "has a star within a name"),
        ("grants", "sa*.orders", "has a star within a name"),
        ("grants", "*.orders", "`*` names no schema"),
        ("grants", "*.*", "`*` names no schema"),
        ("grants", '"*"', "cannot be named here"),
        ("grants", "orders(id)", "cannot read the name"),
        ("grants", "pg_catalog.pg_authid", "a schema of the server's own"),
        ("grants", "information_schema.*", "a schema of the server's own"),
        ("schemas", "*", "`*` names no schema"),
        ("schemas", "a.b", "is no name of a schema"),
        ("schemas", "pg_toast", "a schema of the server's own"),
        ("functions", "f", "names a function without its arguments"),
        ("functions", "f(integer", "names a function without its arguments"),
        ("functions", "f(integer,)", "names a function without its arguments"),
        ("functions", "f(numeric(10))", "names a function without its arguments"),
        ("functions", "sales.*()", "cannot be named here"),
    ],
)
def test_names_that_cannot_be_read(key: str, name: str, words: str) -> None:
    privilege = {"grants": "select", "schemas": "usage", "functions": "execute"}[key]
    found = problem_of(f"{key} = {{ '{name}' = ['{privilege}'] }}")
    assert words in found
    assert "line 4" in found


def test_the_same_object_twice() -> None:
    found = problem_of("grants = { orders = ['select'], 'public.orders' = ['select'] }")
    assert "`public.orders` stands twice in `grants`" in found


@pytest.mark.parametrize(
    ("privilege", "words"),
    [
        ("selct", "unknown privilege `selct`; did you mean `select`?"),
        ("all", "unknown privilege `all`"),
        ("", "unknown privilege ``"),
        ("select; drop table x", "unknown privilege"),
        ("insert", "`insert` is more than access `read-only` gives; it gives `select`"),
        ("select()", "cannot read the columns ``"),
        ("select(a,)", "cannot read the columns `a,`"),
        ("select(,a)", "cannot read the columns `,a`"),
        ("select(a b(c))", "cannot read the columns"),
        ("select(a, a)", "column `a` stands twice"),
        ("select(" + "x" * 64 + ")", "holds a name that the server cannot have"),
    ],
)
def test_privileges_that_cannot_be_read(privilege: str, words: str) -> None:
    assert words in problem_of(f"grants = {{ orders = ['{privilege}'] }}")


def test_columns_in_quotes() -> None:
    grants = tier_of("""grants = { t = ['''SELECT ( "a, b" , c d,"e""f" )'''] }""").grants
    assert grants is not None
    assert grants[0].privileges == (GrantedPrivilege("select", ("a, b", "c d", 'e"f')),)


@pytest.mark.parametrize("privilege", ["delete", "truncate", "trigger", "maintain"])
def test_columns_where_the_server_knows_none(privilege: str) -> None:
    found = problem_of(f"grants = {{ orders = ['{privilege}(id)'] }}", "owner")
    assert f"`{privilege}` cannot be narrowed to columns" in found


def test_columns_elsewhere() -> None:
    assert "cannot be narrowed" in problem_of("sequences = { s = ['select(a)'] }")
    assert "columns cannot be named for all" in problem_of("grants = { '*' = ['select(a)'] }")


def test_privileges_on_one_object() -> None:
    assert "the list of privileges is empty" in problem_of("grants = { orders = [] }")
    found = problem_of("grants = { orders = ['select', 'select(id)'] }")
    assert "`select` stands twice" in found
    (found,) = problems_of("grants = { orders = 3 }")
    assert "`orders` must be a list" in found


@pytest.mark.parametrize("kind", ObjectClass)
@pytest.mark.parametrize("access", AccessLevel)
def test_an_access_level_gives_just_its_privileges(access: AccessLevel, kind: ObjectClass) -> None:
    key = "grants" if kind is ObjectClass.TABLE else f"{kind}s"
    name = "f()" if kind is ObjectClass.FUNCTION else "x"
    for privilege in sorted(PRIVILEGES[kind][AccessLevel.OWNER]):
        lines = f"{key} = {{ '{name}' = ['{privilege}'] }}"
        if privilege in PRIVILEGES[kind][access]:
            assert tier_of(lines, access.value).grants
        else:
            assert f"more than access `{access}` gives" in problem_of(lines, access.value)


def test_more_access_gives_no_fewer_privileges() -> None:
    for levels in PRIVILEGES.values():
        ordered = [levels[access] for access in AccessLevel]
        assert all(less <= more for less, more in pairwise(ordered))


def test_an_access_level_that_is_not_known_hides_no_other_mistake_and_makes_none() -> None:
    found = problems_of("grants = { orders = ['insert', 'selct'] }", "reed-only")
    assert len(found) == 2
    assert "unknown access level" in found[0]
    assert "did you mean `select`?" in found[1]


def test_ten_thousand_grants_each_with_its_line() -> None:
    names = [f"s{number % 99}.table_{number}" for number in range(10_000)]
    listed = "\n".join(f"'{name}' = ['select(a, b)']" for name in names)
    lines = f"[targets.shop.tiers.t.grants]\n{listed}\n"
    grants = tier_of(lines).grants
    assert grants is not None
    assert [grant.label for grant in grants] == names
    assert "line 10005: the list of privileges" in problem_of(f"{lines}last = []\n")


# --- what `access suggest` writes -----------------------------------------------------------------

ODD = (
    "orders",
    "a.b",
    'a"b',
    "f(x)",
    "a*b",
    " a",
    "a ",
    "a,b",
    "o'x",
    "ä",
    "a\\b",
    'Ö"',
    "x\ty",
    "[t]",
)
NAMES = st.sampled_from(ODD) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name != "*" and not name.startswith("pg_"))


def privileges(*names: str) -> st.SearchStrategy[tuple[GrantedPrivilege, ...]]:
    several = st.lists(st.sampled_from(names), min_size=1, unique=True)
    return several.map(lambda found: tuple(GrantedPrivilege(name) for name in found))


COLUMNS = st.lists(NAMES, max_size=2, unique=True).map(tuple)
TYPES = st.sampled_from(["", "integer", "double precision, text"])
GRANTS = st.one_of(
    st.builds(Grant, NAMES, st.just("*"), privileges("select", "insert")),
    st.builds(Grant, NAMES, NAMES, COLUMNS.map(lambda some: (GrantedPrivilege("update", some),))),
    st.builds(Grant, NAMES, NAMES, privileges("usage"), st.just(ObjectClass.SEQUENCE)),
    NAMES.map(lambda name: Grant(name, name, (GrantedPrivilege("usage"),), ObjectClass.SCHEMA)),
    st.builds(
        lambda schema, name, types: Grant(
            schema, f"{name}({types})", (GrantedPrivilege("execute"),), ObjectClass.FUNCTION
        ),
        NAMES,
        NAMES | st.just("*"),
        TYPES,
    ),
)


@given(GRANTS)
@settings(max_examples=300)
def test_what_is_suggested_reads_as_the_same_grants(grant: Grant) -> None:
    assert tier_of(toml_of("shop", "t", [grant]), "owner").grants == (grant,)


def test_what_is_suggested_paints_no_terminal() -> None:
    """A table's maker chose its name: U+009B begins a terminal's commands, U+202E turns lines."""
    name = "a\x1b[2J\x9b2J\u202e\x7f\U000e0001"
    grant = Grant("public", name, (GrantedPrivilege("select"),))
    text = toml_of("shop", "t", [grant])
    assert text.replace("\n", "").isprintable()
    assert tier_of(text, "owner").grants == (grant,)
