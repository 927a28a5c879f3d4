"""The shop is realistic, the same everywhere, and its roles can do no more than they should."""

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg import errors

from holdpoint.config import parse_url
from holdpoint.demo.shop import Shop, create_shop
from holdpoint.embedded import EmbeddedPostgres

KEYS = {
    "customers": "id",
    "products": "id",
    "inventory": "product_id, warehouse",
    "orders": "id",
    "order_items": "order_id, line",
    "payments": "order_id",
}


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
        assert row is not None
        return row[0]


def test_there_are_enough_orders_to_be_careful_with(shop: Shop) -> None:
    assert shop.orders == ask(shop.reader, "SELECT count(*) FROM orders")
    assert shop.orders >= 100_000


@pytest.mark.parametrize(
    "impossible",
    [
        "SELECT count(*) FROM payments JOIN order_totals ON order_totals.id = order_id"
        " WHERE amount <> total",
        "SELECT count(*) FROM payments JOIN orders ON orders.id = order_id"
        " WHERE status IN ('pending', 'cancelled')",
        "SELECT count(*) FROM orders WHERE (shipped_at IS NULL) ="
        " (status IN ('shipped', 'delivered', 'returned'))",
        "SELECT count(*) FROM orders WHERE NOT EXISTS"
        " (SELECT FROM order_items WHERE order_id = orders.id)",
        "SELECT count(*) FROM orders JOIN customers ON customers.id = customer_id"
        " WHERE placed_at < joined_at - interval '3 years'",
    ],
)
def test_its_data_make_sense(shop: Shop, impossible: str) -> None:
    assert ask(shop.reader, impossible) == 0


def fingerprint(url: str, table: str) -> object:
    columns = "to_jsonb(t) - 'id'" if table == "payments" else "to_jsonb(t)"  # ids as they come
    return ask(
        url, f"SELECT md5(string_agg(({columns})::text, '|' ORDER BY {KEYS[table]})) FROM {table} t"
    )


def test_it_is_the_same_on_another_version(shop: Shop) -> None:
    with EmbeddedPostgres(16, durable=False) as server:
        other = create_shop(server.url())
        for table in KEYS:
            assert fingerprint(other.reader, table) == fingerprint(shop.reader, table), table


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("reader", "UPDATE orders SET note = 'x' WHERE id = 1"),
        ("reader", "SELECT setval('orders_id_seq', 1)"),
        ("reader", "CREATE TABLE mine ()"),
        ("writer", "UPDATE customers SET newsletter = true WHERE id = 1"),
        ("writer", "DELETE FROM audit_log"),
        ("writer", "INSERT INTO audit_log (table_name, action) VALUES ('orders', 'UPDATE')"),
        ("writer", "TRUNCATE payments"),
        ("writer", "ALTER TABLE orders ADD x integer"),
        ("writer", "SET ROLE shop_owner"),
        ("owner", "ALTER ROLE shop_owner SUPERUSER"),
        ("owner", "SELECT pg_read_file('postgresql.conf')"),
    ],
)
def test_a_role_gives_no_more_than_its_name(shop: Shop, role: str, statement: str) -> None:
    with (
        psycopg.connect(getattr(shop, role)) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_changes_are_written_into_the_audit_log_with_who_made_them(shop: Shop) -> None:
    with psycopg.connect(shop.writer) as connection:
        connection.execute("UPDATE orders SET note = 'call first' WHERE id = 7")
        entries = connection.execute(
            "SELECT who, table_name, action, row_after ->> 'note' FROM audit_log"
        ).fetchall()
        connection.rollback()
    assert entries == [("shop_writer", "orders", "UPDATE", "call first")]


def test_the_server_never_sees_a_password(shop: Shop, shop_server: EmbeddedPostgres) -> None:
    log = shop_server.log_file.read_text()
    assert "CREATE ROLE" in log
    for url in (shop.reader, shop.writer, shop.owner):
        [password] = parse_qs(urlsplit(url).query)["password"]
        assert password not in log


def test_the_gate_can_read_the_urls(shop: Shop) -> None:
    assert parse_url(shop.writer).user == "shop_writer"
    assert parse_url(shop.writer).dbname == "shop"
