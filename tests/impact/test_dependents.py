"""Dependents: what real servers drop along is what we say goes too."""

from __future__ import annotations

import re

import psycopg
import pytest
from impact_shop import Shop, bare

from holdpoint.model.impact import Dependent

DROPS = [
    "DROP TABLE customers CASCADE",
    "DROP TABLE orders CASCADE",
    "DROP TABLE accounts CASCADE",
    "DROP VIEW open_orders CASCADE",
    "ALTER TABLE orders DROP COLUMN state CASCADE",
    "ALTER TABLE customers DROP COLUMN email CASCADE",
    "ALTER TABLE customers DROP CONSTRAINT customers_email_key CASCADE",
    "ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE",
    "DROP FUNCTION shout CASCADE",
    "DROP FUNCTION next_mark CASCADE",
    "DROP FUNCTION rank(mood) CASCADE",
    "DROP TYPE mood CASCADE",
    "DROP DOMAIN grade CASCADE",
    "DROP SEQUENCE numbers CASCADE",
    "DROP SCHEMA side CASCADE",
]


@pytest.mark.parametrize("statement", DROPS)
def test_what_the_server_drops_along_is_told(shop: Shop, statement: str) -> None:
    going = {bare(each.name).partition("(")[0] for each in goes(shop, statement)}
    dropped = dropped_along(shop, statement)
    assert dropped, "an example without anything that goes along shows nothing"
    assert dropped <= going


def goes(shop: Shop, statement: str) -> list[Dependent]:
    return [each for each in shop.impact(statement).dependents if each.goes]


# "constraint a on table b" is "b a" with us, "column a of table b" is "b.a".
SENTENCES = (
    (r"(?:constraint|trigger|policy) (\S+) on (?:table|view) (\S+)", r"\2 \1"),
    (r"(?:default value for )?column (\S+) of table (\S+)", r"\2.\1"),
    (r"(?:materialized view|view|table|index|type|function) ([^\s(]+).*", r"\1"),
)


def dropped_along(shop: Shop, statement: str) -> set[str]:
    """Run a statement and roll it back: the names its notices say are dropped."""
    lines: list[str] = []
    with psycopg.connect(shop.url) as connection:
        connection.add_notice_handler(
            lambda notice: lines.extend(
                f"{notice.message_primary}\n{notice.message_detail or ''}".splitlines()
            )
        )
        connection.execute(statement.encode())
        connection.rollback()
    found: set[str] = set()
    for line in lines:
        what = line.removeprefix("drop cascades to ")
        if what == line or re.fullmatch(r"\d+ other objects", what):
            continue
        for pattern, name in SENTENCES:
            match = re.fullmatch(pattern, what)
            if match:
                found.add(match.expand(name))
                break
        else:
            raise AssertionError(f"the server says something new: {line}")
    return found


def told(shop: Shop, statement: str) -> set[tuple[str, str, bool]]:
    return {(each.kind, bare(each.name), each.goes) for each in shop.impact(statement).dependents}


def test_without_cascade_they_stay_and_are_in_the_way(shop: Shop) -> None:
    found = told(shop, "DROP TABLE customers")
    assert ("view", "desk", False) in found
    assert ("foreign key", "orders orders_customer_fkey", False) in found
    assert not any(goes for _, _, goes in found)


def test_with_cascade_views_on_views_go_too(shop: Shop) -> None:
    found = told(shop, "DROP TABLE orders CASCADE")
    assert {("view", "open_orders", True), ("view", "desk", True)} <= found


def test_functions_written_as_text_are_found_by_name(shop: Shop) -> None:
    # The server does not know that they need the table: they fail when they are called.
    assert ("function that names it", "count_orders", False) in told(shop, "DROP TABLE orders")
    assert ("function that names it", "count_orders", False) in told(
        shop, "ALTER TABLE orders RENAME TO o"
    )


def test_partitions_go_with_their_table(shop: Shop) -> None:
    assert ("partition", "events_1", True) in told(shop, "DROP TABLE events")
    assert ("inheriting table", "archive_old", False) in told(shop, "DROP TABLE archive")


def test_a_column_takes_its_indexes_and_constraints_along(shop: Shop) -> None:
    found = told(shop, "ALTER TABLE customers DROP COLUMN email")
    assert ("index", "customers_email_key", True) in found
    assert ("constraint", "customers_email_key", True) in found
    assert ("foreign key", "visits visits_email_fkey", False) in found
    assert ("foreign key of its own", "orders_customer_fkey", True) in told(
        shop, "ALTER TABLE orders DROP COLUMN customer"
    )


def test_changing_a_type_is_stood_in_the_way_by_views(shop: Shop) -> None:
    found = told(shop, "ALTER TABLE orders ALTER COLUMN state TYPE varchar(9)")
    assert ("view", "open_orders", False) in found
    assert ("trigger", "orders orders_state", False) in found


def test_an_index_behind_a_constraint(shop: Shop) -> None:
    found = told(shop, "DROP INDEX customers_pkey")
    assert ("constraint", "customers customers_pkey", False) in found
    assert ("foreign key", "orders orders_customer_fkey", False) in found
    assert told(shop, "DROP INDEX reviews_rank") == set()


def test_replacing_a_function_or_a_view_reaches_who_uses_it(shop: Shop) -> None:
    replaced = "CREATE OR REPLACE FUNCTION next_mark() RETURNS int LANGUAGE sql AS 'SELECT 2'"
    assert ("column default", "reviews.mark", False) in told(shop, replaced)
    assert told(shop, replaced.replace("OR REPLACE ", "")) == set()
    assert ("view", "desk", False) in told(
        shop, "CREATE OR REPLACE VIEW open_orders AS SELECT id, customer FROM orders"
    )


def test_drop_owned_takes_all_that_a_role_owns(shop: Shop) -> None:
    owner = shop.catalog.rows.role
    found = told(shop, f"DROP OWNED BY {owner}")
    assert {("table", "orders", True), ("function", "shout", True)} <= found
    assert told(shop, "DROP OWNED BY nobody_known") == set()


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM orders", "TRUNCATE orders CASCADE", "ALTER TABLE orders ADD COLUMN x int"],
)
def test_what_drops_and_alters_nothing_has_none(shop: Shop, statement: str) -> None:
    assert shop.impact(statement).dependents == ()
