"""The demo's shop database: realistic, the same on every machine, made in a few seconds."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

DATABASE: Final = "shop"
OWNER: Final = "shop_owner"
READER: Final = "shop_reader"
WRITER: Final = "shop_writer"
STEP_MARK: Final = "-- step: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where the shop stands: one URL per role, secret, and how many orders it has."""

    reader: str
    writer: str
    owner: str
    orders: int

    def read_from(self, server: str) -> Shop:
        """The same shop, read from the replica at the connection string ``server``."""
        parts = conninfo_to_dict(self.reader)
        user, password = str(parts["user"]), str(parts["password"])
        return replace(self, reader=local_url(server, user, password, DATABASE))


def create_shop(admin: str, progress: Callable[[str], None] = lambda step: None) -> Shop:
    """Create the database `shop` and its three roles on the server of ``admin``, and fill it.

    ``admin`` is a libpq connection string or URL of a superuser on this machine. ``progress`` hears
    of each step before it starts. Fresh passwords are made on every call and reach the server as
    verifiers only.
    Raises ``psycopg.Error`` when the server refuses, for example because the shop exists already.
    """
    passwords = {role: secrets.token_urlsafe(18) for role in (OWNER, READER, WRITER)}
    progress("roles")
    with psycopg.connect(admin, autocommit=True) as connection:
        for role, password in passwords.items():
            create_role(connection, role, password)
        # As on a managed service: whoever looks after roles is no superuser.
        connection.execute(
            "ALTER ROLE shop_owner CREATEROLE;"
            " GRANT shop_reader, shop_writer TO shop_owner"
            " WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(DATABASE), sql.Identifier(OWNER)
            )
        )
    with psycopg.connect(admin, dbname=DATABASE, autocommit=True) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute("ALTER SCHEMA public OWNER TO shop_owner")
        connection.execute("SET ROLE shop_owner")
        for step, text in read_steps():
            progress(step)
            with connection.transaction():
                connection.execute(text)
        progress("statistics")
        connection.execute("VACUUM (ANALYZE)")
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row is not None, "count(*) gives a row"
    return Shop(
        reader=local_url(admin, READER, passwords[READER], DATABASE),
        writer=local_url(admin, WRITER, passwords[WRITER], DATABASE),
        owner=local_url(admin, OWNER, passwords[OWNER], DATABASE),
        orders=row[0],
    )


def create_role(connection: psycopg.Connection, role: str, password: str) -> None:
    """Create a login role that is nothing but that."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL(
            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD {}"
        ).format(sql.Identifier(role), sql.Literal(verifier))
    )


def read_steps() -> Iterator[tuple[str, str]]:
    """The steps of ``shop.sql``: what each makes, and its text."""
    text = files("holdpoint.demo").joinpath("shop.sql").read_text(encoding="utf-8")
    for block in text.split(STEP_MARK)[1:]:
        title, _, statements = block.partition("\n")
        yield title, statements


def local_url(server: str, role: str, password: str, database: str) -> str:
    """The URL of a database on the server of the connection string ``server``, without TLS."""
    parts = conninfo_to_dict(server)
    query = {
        "host": str(parts["host"]),
        "port": str(parts.get("port") or 5432),
        "user": role,
        "password": password,
        "sslmode": "disable",
    }
    return f"postgresql:///{quote(database)}?{urlencode(query, quote_via=quote)}"
