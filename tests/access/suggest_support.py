"""A workload on the sakila schema, grants made by hand for it, and how both are tried."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from holdpoint.model.grants import Grant, ObjectClass
from holdpoint.model.needs import Need

sys.path.append(str(Path(__file__).parents[1] / "doors" / "postgres"))
from door_support import Gate, eventually

__all__ = ["Gate", "eventually"]

SAKILA = (Path(__file__).parent / "sakila.sql").read_text()

ROWS = """
SET session_replication_role = replica;
INSERT INTO language VALUES (1, 'English');
INSERT INTO category VALUES (1, 'Action'), (2, 'Family');
INSERT INTO film (film_id, title, language_id, fulltext)
    SELECT g, 'FILM ' || g, 1, '' FROM generate_series(1, 20) AS g;
INSERT INTO actor VALUES (1, 'PENELOPE', 'GUINESS'), (2, 'NICK', 'WAHLBERG');
INSERT INTO film_actor VALUES (1, 1), (1, 2), (2, 2);
INSERT INTO film_category VALUES (1, 1), (2, 2);
INSERT INTO country VALUES (1, 'Canada');
INSERT INTO city VALUES (1, 'Lethbridge', 1);
INSERT INTO address VALUES (1, '47 MySakila Drive', NULL, 'Alberta', 1, '', '');
INSERT INTO store VALUES (1, 1, 1);
INSERT INTO staff VALUES (1, 'Mike', 'Hillyer', 1, 'mike@example.com', 1, true, 'mike', '');
INSERT INTO customer VALUES (1, 1, 'MARY', 'SMITH', 'mary@example.com', 1);
INSERT INTO inventory SELECT g, g, 1 FROM generate_series(1, 20) AS g;
INSERT INTO rental SELECT g, '2006-02-14', g, 1, NULL, 1 FROM generate_series(1, 10) AS g;
SELECT setval('rental_rental_id_seq', 100), setval('payment_payment_id_seq', 100);
RESET session_replication_role;
ANALYZE;
"""

WORKLOAD = (
    "SELECT title, rating FROM film WHERE film_id = 1",
    "SELECT f.title, count(*) FROM film f JOIN inventory i USING (film_id)"
    " JOIN rental r ON r.inventory_id = i.inventory_id"
    " WHERE r.return_date IS NULL GROUP BY f.title ORDER BY 2 DESC",
    'SELECT name, phone FROM customer_list WHERE sid = 1 AND "zip code" IS NOT NULL',
    "INSERT INTO rental (rental_date, inventory_id, customer_id, staff_id)"
    " VALUES (now(), 11, 1, 1) RETURNING rental_id",
    "UPDATE rental SET return_date = now() WHERE rental_id = 1",
    "INSERT INTO payment (customer_id, staff_id, rental_id, amount, payment_date)"
    " VALUES (1, 1, 1, 2.99, '2007-01-24')",
    "SELECT inventory_in_stock(11)",
    "SELECT count(*) FROM staff",
    "SELECT * FROM category",
    "DELETE FROM film_actor WHERE actor_id = 1 AND film_id = 1",
    "SELECT last_name FROM actor WHERE actor_id = 1 FOR UPDATE",
    "COPY language (language_id, name) TO STDOUT",
    "INSERT INTO film_category (film_id, category_id) VALUES (1, 1)"
    " ON CONFLICT (film_id, category_id) DO UPDATE SET last_update = now()",
)
"""What the agent does in the tier `write`; all of it succeeds."""

FAILS = "SELECT no_such_column FROM address"
DENIED = "DROP TABLE store"

# Made by hand from the manual's pages on each statement and on GRANT.
MINIMAL: dict[str, dict[str, set[str]]] = {
    "table public.film": {"select": {"film_id", "title", "rating"}},
    "table public.inventory": {"select": {"inventory_id", "film_id"}},
    "table public.rental": {
        "select": {"rental_id", "inventory_id", "return_date"},
        "insert": {"rental_date", "inventory_id", "customer_id", "staff_id"},
        "update": {"return_date"},
    },
    # A view reads its tables as its owner.
    "table public.customer_list": {"select": {"name", "phone", "sid", "zip code"}},
    # Its rule writes into a partition as the table's owner.
    "table public.payment": {
        "insert": {"customer_id", "staff_id", "rental_id", "amount", "payment_date"}
    },
    "table public.staff": {"select": {"staff_id"}},  # count(*) needs any one
    "table public.category": {"select": set()},
    "table public.film_actor": {"select": {"actor_id", "film_id"}, "delete": set()},
    # FOR UPDATE needs UPDATE on any one.
    "table public.actor": {"select": {"actor_id", "last_name"}, "update": {"actor_id"}},
    "table public.language": {"select": {"language_id", "name"}},
    "table public.film_category": {
        "select": {"film_id", "category_id"},
        "insert": {"film_id", "category_id"},
        "update": {"last_update"},
    },
    # Defaults take their numbers as the caller.
    "sequence public.rental_rental_id_seq": {"usage": set()},
    "sequence public.payment_payment_id_seq": {"usage": set()},
}


def as_words(grants: Iterable[Grant]) -> dict[str, dict[str, set[str]]]:
    """Grants in the form of ``MINIMAL``."""
    return {
        f"{grant.kind.value} {grant.label}": {
            each.name: set(each.columns) for each in grant.privileges
        }
        for grant in grants
    }


@contextmanager
def role_with(connection: psycopg.Connection, name: str, needs: Iterable[Need]) -> Iterator[None]:
    """A fresh role that holds exactly these privileges, dropped at the end."""
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
    try:
        for need in needs:
            connection.execute(granting("GRANT", need, role))
        yield
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def granting(verb: str, need: Need, role: sql.Identifier) -> sql.Composed:
    """``GRANT`` or ``REVOKE`` of one privilege."""
    privilege = sql.SQL(need.privilege)
    if need.column:
        privilege += sql.SQL(" ({})").format(sql.Identifier(need.column))
    names = {ObjectClass.SCHEMA: (need.name,)}.get(need.kind, (need.schema, need.name))
    place: sql.Composable = sql.Identifier(*names)
    if need.kind is ObjectClass.FUNCTION:
        place = sql.SQL(need.name)  # as regprocedure writes it
    return sql.SQL("{} {} ON {} {} {} {}").format(
        sql.SQL(verb),
        privilege,
        sql.SQL("ROUTINE" if need.kind is ObjectClass.FUNCTION else need.kind.value),
        place,
        sql.SQL("TO" if verb == "GRANT" else "FROM"),
        role,
    )


def needs_of_minimal(words: dict[str, dict[str, set[str]]]) -> list[Need]:
    """Grants in the form of ``MINIMAL``, privilege by privilege."""
    found: list[Need] = []
    for place, privileges in words.items():
        kind, _, label = place.partition(" ")
        schema, _, name = label.partition(".")
        for privilege, columns in privileges.items():
            for column in sorted(columns) or [""]:
                found.append(Need(ObjectClass(kind), schema, name, privilege, column))
    return found


def refused(connection: psycopg.Connection, role: str, text: str) -> str:
    """Run a statement as a role and take it back; the SQLSTATE of its refusal, empty for none."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            if text.startswith("COPY"):
                with cursor.copy(text.encode()) as copy:
                    for _ in copy:
                        pass
            else:
                cursor.execute(text.encode())
        except psycopg.Error as error:
            return error.sqlstate or "?"
        finally:
            cursor.execute("ROLLBACK")
    return ""
