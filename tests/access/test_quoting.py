"""Names and literals, as the server itself would quote and read them."""

from __future__ import annotations

import psycopg
import pytest

from holdpoint.access.desired import On, Right
from holdpoint.access.plan.statements import Names, give, stored_value, take
from holdpoint.access.quoting import identifier, literal
from holdpoint.embedded import EmbeddedPostgres

NAMES = (
    "orders",
    "Orders",
    "a b",
    'a"b',
    "a;DROP TABLE b--",
    "a\nb",
    "1a",
    "a$b",
    "ä",
    "öffentlich",
    "_x",
    "user",
    "none",
    "a.b",
    "'",
    "\\",
    "select",
    "timestamp",
    "between",
    "authorization",
    "merge_action",
    "",
)


def test_names_mean_what_they_are(postgres: EmbeddedPostgres):
    with psycopg.connect(postgres.url()) as connection:
        words = connection.execute("SELECT word FROM pg_get_keywords()").fetchall()
        names = [*filter(None, dict.fromkeys((*NAMES, *(word for (word,) in words))))]
        columns = ", ".join(f"{identifier(name)} int" for name in names)
        connection.execute(f"CREATE TEMP TABLE all_names ({columns})".encode())
        found = connection.execute("SELECT * FROM all_names").description
        assert [each.name for each in found or ()] == names


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_literals_mean_what_they_are(postgres18: EmbeddedPostgres, conforming: str):
    with psycopg.connect(postgres18.url()) as connection:
        connection.execute(f"SET standard_conforming_strings = {conforming}".encode())
        connection.execute("SET escape_string_warning = off")
        for text in (*NAMES, "a''b", "\\'", "\\\\", "C:\\temp"):
            read = connection.execute(f"SELECT {literal(text)}::text".encode()).fetchone()
            assert read == (text,)


def test_what_a_list_of_names_is_kept_as(postgres18: EmbeddedPostgres):
    with psycopg.connect(postgres18.url()) as connection:
        for value in ('"$user", public', "a, b", '"A b", c', "", "Shop"):
            connection.execute("SELECT set_config('search_path', %s, true)", [value])
            connection.execute("CREATE ROLE kept_as")
            connection.execute("ALTER ROLE kept_as SET search_path FROM CURRENT")
            kept = connection.execute(
                "SELECT split_part(setconfig[1], '=', 2) FROM pg_db_role_setting AS s"
                " JOIN pg_roles AS r ON r.oid = s.setrole WHERE rolname = 'kept_as'"
            ).fetchone()
            connection.rollback()
            assert kept is not None
            assert stored_value("search_path", kept[0]) == stored_value("search_path", value)


def test_rights_that_are_alike_stand_together():
    rights = [
        Right(On.TABLE, "public", name, privilege)
        for name in ("b", "a", "c")
        for privilege in ("select", "insert")
    ]
    rights += [
        Right(On.TABLE, "public", "d", "update", "x"),
        Right(On.TABLE, "public", "d", "update", "w"),
        Right(On.SCHEMA, "", "public", "usage"),
    ]
    assert [step.sql for step in give(["r"], rights, Names())] == [
        "GRANT USAGE ON SCHEMA public TO r",
        "GRANT INSERT, SELECT ON TABLE public.a, public.b, public.c TO r",
        "GRANT UPDATE (w, x) ON TABLE public.d TO r",
    ]
    assert [step.sql for step in give(["r"], reversed(rights), Names())] == [
        step.sql for step in give(["r"], rights, Names())
    ]


def test_a_privilege_on_a_table_stands_for_its_columns():
    rights = [
        Right(On.TABLE, "public", "a", "select", "x"),
        Right(On.TABLE, "public", "a", "select"),
    ]
    assert [step.sql for step in take("", rights, Names())] == [
        "REVOKE SELECT ON TABLE public.a FROM PUBLIC"
    ]


def test_all_of_a_large_schema_is_named_as_a_whole():
    rights = [Right(On.TABLE, "s", f"t{number}", "select") for number in range(1_500)]
    whole = Names(counts={(On.TABLE, "s"): 1_500})
    [step] = give(["r"], rights, whole)
    assert (step.sql, step.tables) == ("GRANT SELECT ON ALL TABLES IN SCHEMA s TO r", ())
    one_more = Names(counts={(On.TABLE, "s"): 1_501})
    assert [len(step.tables) for step in give(["r"], rights, one_more)] == [1_000, 500]
