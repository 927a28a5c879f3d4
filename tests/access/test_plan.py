"""From the configuration to roles and grants: what is given works, and nothing else does."""

from __future__ import annotations

import psycopg
from plan_support import DENIED, PASSWORD, Shop, on, only

from holdpoint.model.budget import Budget
from holdpoint.model.target import AccessLevel, Allowance, Mint

WRITE = (
    on("orders", "select", "insert", only("update", "status")),
    on("users", only("select", "id", "email"), only("insert", "email")),
    on("recent", "select"),
    on("totals", "select"),
    on("events", "select", "insert"),
    on("stock.items", "select"),
    on('Odd " Table', only("select", "Column, 1", "select"), "delete"),
    on("tickets", "usage", kind="sequence"),
    on("add_order(text, int)", "execute", kind="function"),
    on("tidy(integer)", "execute", kind="function"),
)

WORKS = (
    "SELECT * FROM orders",
    "INSERT INTO orders (status) VALUES ('x')",
    "UPDATE orders SET status = 'x' WHERE id = 1",
    "SELECT id, email FROM users",
    "INSERT INTO users (email) VALUES ('a@b')",
    "SELECT * FROM recent",
    "SELECT * FROM totals",
    "SELECT * FROM events",
    "INSERT INTO events VALUES ('2020-02-02', 'x')",
    "SELECT * FROM stock.items",
    'SELECT "select", "Column, 1" FROM "Odd "" Table"',
    'DELETE FROM "Odd "" Table"',
    "SELECT nextval('tickets')",
    "SELECT add_order('x', 1)",
    "CALL tidy(1)",
)

FAILS = (
    "DELETE FROM orders",
    "UPDATE orders SET note = 'x'",
    "TRUNCATE orders",
    "SELECT setval('orders_id_seq', 1)",
    "SELECT secret FROM users",
    "SELECT * FROM users",
    "UPDATE users SET email = 'x'",
    "INSERT INTO users (email, secret) VALUES ('a', 'b')",
    "UPDATE recent SET status = 'x'",
    "REFRESH MATERIALIZED VIEW totals",
    "SELECT * FROM events_old",
    "INSERT INTO stock.items (name) VALUES ('x')",
    "SELECT last_value FROM tickets",
    "SELECT secrets()",
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "GRANT SELECT ON orders TO PUBLIC",
    "ALTER TABLE orders ADD mine int",
    "DROP TABLE orders",
    "CREATE ROLE mine",
)


def test_what_is_granted_works_and_nothing_else_does(each_shop: Shop):
    each_shop.tier("write", *WRITE)
    each_shop.apply()
    assert {text: each_shop.tried("write", text) for text in WORKS} == dict.fromkeys(WORKS, "")
    failed = {text: each_shop.tried("write", text) for text in FAILS}
    assert failed == dict.fromkeys(FAILS, DENIED)


def test_the_second_plan_is_empty(each_shop: Shop):
    each_shop.tier("write", *WRITE)
    each_shop.tier("read", on("*", "select"), access=AccessLevel.READ_ONLY)
    assert not each_shop.plan().settled
    each_shop.apply()
    again = each_shop.plan()
    assert (again.steps, again.settled) == ((), True)


def test_the_same_state_gives_the_same_text(here: Shop):
    here.tier("write", *WRITE)
    here.tier("read", on("stock.*", "select"), on("*", "select"))
    first, second = here.plan(), here.plan()
    assert first.sql == second.sql
    assert first.steps


def test_a_plan_reads_like_this(here: Shop):
    budget = Budget(sessions=2, statement_s=30, lock_s=0.5, idle_in_transaction_s=60)
    here.tier(
        "read",
        on("orders", "select"),
        on("recent", "select"),
        access=AccessLevel.READ_ONLY,
        allowances=(Allowance(agents=("claude", "gpt")),),
        budget=budget,
        settings=(("search_path", '"$user", public'), ("work_mem", "8MB")),
    )
    plan = here.plan()
    assert here.lines(plan) == [
        "+ read_rights does not exist yet: it is made, to hold rights; nobody signs in as it",
        f"+ read_rights may connect to database `{here.name}`",
        "+ read_rights may use schema `public`",
        "+ read_rights may SELECT on `public.orders` and `public.recent`",
        "+ read does not exist yet: it is made, to sign in",
        "+ read starts with default_transaction_read_only = `on`",
        "+ read starts with idle_in_transaction_session_timeout = `60000ms`",
        "+ read starts with lock_timeout = `500ms`",
        '+ read starts with search_path = `"$user", public`',
        "+ read starts with statement_timeout = `30000ms`",
        "+ read starts with work_mem = `8MB`",
        f"+ read has the rights of `{here.name}_read_rights`",
    ]
    assert f"GRANT SELECT ON TABLE public.orders, public.recent TO {here.name}_read_rights;" in (
        plan.sql
    )
    assert "CONNECTION LIMIT 14" in plan.sql  # two agents with two sessions each, and the gate's
    here.apply()
    with psycopg.connect(here.url(here.role("read"))) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("search_path", "statement_timeout", "default_transaction_read_only")
        ]
    assert shown == [('"$user", public',), ("30s",), ("on",)]
    assert here.plan().settled


def test_tables_to_come_are_covered(each_shop: Shop):
    each_shop.tier("write", on("stock.*", "select", "insert"))
    each_shop.apply()
    each_shop.admin.execute("CREATE TABLE stock.boxes (id serial, name text)")
    assert each_shop.tried("write", "INSERT INTO stock.boxes (name) VALUES ('x')") == ""
    assert each_shop.tried("write", "DELETE FROM stock.boxes") == DENIED
    assert each_shop.tried("write", "SELECT * FROM orders") == DENIED
    assert each_shop.plan().settled, "what default privileges gave is what the grants ask"


def test_the_users_of_urls_may_hold_the_grants_themselves(here: Shop):
    here.tier("write", on("orders", "select"), role=here.role("write"))
    plan = here.apply()
    assert {step.role for step in plan.steps} == {here.role("write")}
    assert here.tried("write", "SELECT * FROM orders") == ""
    assert here.plan().settled


def test_names_are_quoted(each_shop: Shop):
    name = each_shop.role('Writer of "Odd" names; DROP TABLE orders --')
    each_shop.tier("write", on('Odd " Table', "select"), role=name, user=name)
    each_shop.tier("read", on("orders", "select"), role=each_shop.role("select"))
    each_shop.apply()
    short = name.removeprefix(f"{each_shop.name}_")
    assert each_shop.tried(short, 'SELECT * FROM "Odd "" Table"') == ""
    assert each_shop.tried("read", "SELECT * FROM orders") == ""
    assert each_shop.plan().settled


# --- passwords ------------------------------------------------------------------------------------


def test_no_password_is_in_a_plan(here: Shop):
    here.tier("write", on("orders", "select"))
    plan = here.plan()
    assert PASSWORD not in plan.sql
    assert "SCRAM-SHA-256$" in plan.sql
    assert "SCRAM-SHA-256$" not in plan.shown_sql
    assert "SCRAM-SHA-256$" not in repr(plan)


def test_a_new_password_in_the_url_is_set(each_shop: Shop):
    each_shop.tier("write", on("orders", "select"))
    each_shop.apply()
    each_shop.passwords[each_shop.role("write")] = "another one"
    each_shop.tier("write", on("orders", "select"))
    plan = each_shop.apply()
    assert each_shop.lines(plan) == [
        "+ write has another password than its URL, or none: it gets the URL's"
    ]
    assert each_shop.tried("write", "SELECT * FROM orders") == ""
    assert each_shop.plan().settled


# --- what a role holds beyond its grants ----------------------------------------------------------

# What is given beyond the grants, and a statement that works by it.
SURPLUS = {
    "GRANT DELETE ON orders TO {rights}": "DELETE FROM orders",
    "GRANT SELECT ON users TO {rights}": "SELECT * FROM users",
    "GRANT UPDATE (note) ON orders TO {rights}": "UPDATE orders SET note = 'x'",
    "GRANT SELECT ON totals TO {rights} WITH GRANT OPTION": "GRANT SELECT ON totals TO PUBLIC",
    "GRANT UPDATE ON events TO {user}": "UPDATE events SET what = 'x'",
    "GRANT SELECT ON events_old TO {rights}": "SELECT * FROM events_old",
    "GRANT UPDATE ON SEQUENCE tickets TO {rights}": "SELECT setval('tickets', 1)",
    "GRANT EXECUTE ON FUNCTION secrets() TO {rights}": "SELECT secrets()",
    "GRANT CREATE ON SCHEMA public TO {rights}": "CREATE TABLE mine ()",
    "GRANT CREATE ON DATABASE {database} TO {rights}": "CREATE SCHEMA mine",
    "GRANT {group} TO {user}": "DELETE FROM users",
    "GRANT {other} TO {rights}": "DELETE FROM stock.items",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT DELETE ON TABLES TO {rights};"
    "CREATE TABLE later ()": "DELETE FROM later",
}


def test_surplus_is_taken_away(each_shop: Shop):
    each_shop.tier("write", *WRITE)
    each_shop.apply()
    names = {
        "rights": each_shop.role("write_rights"),
        "user": each_shop.role("write"),
        "group": each_shop.role("group"),
        "other": each_shop.role("other"),
        "database": each_shop.name,
    }
    script = "CREATE ROLE {group}; CREATE ROLE {other}; GRANT DELETE ON users TO {group};"
    script += "GRANT DELETE ON stock.items TO {other};" + ";".join(SURPLUS)
    each_shop.admin.execute(script.format(**names).encode())
    given = {text: each_shop.tried("write", text) for text in SURPLUS.values()}
    assert given == dict.fromkeys(SURPLUS.values(), ""), "all of it was given"
    assert sum(not step.adds for step in each_shop.apply().steps) >= 10
    left = {text: each_shop.tried("write", text) for text in SURPLUS.values()}
    assert left == dict.fromkeys(SURPLUS.values(), DENIED)
    assert {text: each_shop.tried("write", text) for text in WORKS} == dict.fromkeys(WORKS, "")
    assert each_shop.plan().settled


POWERS = {
    "CREATEDB": "may no longer make databases",
    "CREATEROLE": "may no longer make roles",
    "NOINHERIT": "has the rights of its roles by itself",
    "CONNECTION LIMIT 1": "may have 50 connections",
    "NOLOGIN": "may sign in",
    "SET search_path = pg_temp": "no longer starts with search_path = `pg_temp`",
    "IN DATABASE {database} SET statement_timeout = 0": (
        "no longer starts with statement_timeout = `0` in this database"
    ),
    "SET default_transaction_read_only = off": "starts with default_transaction_read_only = `on`",
}


def test_attributes_and_settings_are_exact(each_shop: Shop):
    each_shop.root.execute(f"ALTER ROLE {each_shop.role('owner')} CREATEDB".encode())
    each_shop.tier("read", on("orders", "select"), access=AccessLevel.READ_ONLY)
    each_shop.apply()
    for power in POWERS:
        change = power.format(database=each_shop.name)
        each_shop.admin.execute(f"ALTER ROLE {each_shop.role('read')} {change}".encode())
    words = " and ".join(step.words for step in each_shop.apply().steps)
    assert [each for each in POWERS.values() if each not in words] == []
    assert each_shop.plan().settled


def test_rights_on_other_kinds_of_objects_are_taken_away(here: Shop):
    here.tier("write", on("orders", "select"))
    here.apply()
    rights = here.role("write_rights")
    here.root.execute(
        f"""
        CREATE FOREIGN DATA WRAPPER {here.name}_w OPTIONS (a 'b');
        GRANT USAGE ON FOREIGN DATA WRAPPER {here.name}_w TO {here.role("owner")}
            WITH GRANT OPTION;
        """.encode()
    )
    here.admin.execute(
        f"""
        CREATE SERVER far FOREIGN DATA WRAPPER {here.name}_w;
        CREATE FOREIGN TABLE far_orders (id int) SERVER far;
        CREATE TYPE colour AS ENUM ('red');
        GRANT USAGE ON FOREIGN SERVER far TO {rights};
        GRANT USAGE ON FOREIGN DATA WRAPPER {here.name}_w TO {rights};
        GRANT SELECT ON far_orders TO {rights};
        GRANT USAGE ON TYPE colour TO {rights};
        GRANT UPDATE ON LARGE OBJECT {here.admin.execute("SELECT lo_create(0)").fetchone()[0]}
            TO {rights};
        """.encode()
    )
    taken = [step.sql.split(" FROM ")[0] for step in here.apply().steps]
    assert [text.split(" ON ")[1].rsplit(" ", 1)[0] for text in taken] == [
        "TABLE",
        "TYPE",
        "FOREIGN DATA WRAPPER",
        "FOREIGN SERVER",
        "LARGE OBJECT",
    ]
    assert here.plan().settled


def test_foreign_tables_are_tables(here: Shop):
    here.root.execute(
        f"CREATE FOREIGN DATA WRAPPER {here.name}_w;"
        f"CREATE SERVER far FOREIGN DATA WRAPPER {here.name}_w;"
        f"GRANT USAGE ON FOREIGN SERVER far TO {here.role('owner')}".encode()
    )
    here.admin.execute("CREATE FOREIGN TABLE far_orders (id int) SERVER far")
    here.tier("read", on("far_orders", "select"))
    here.apply()
    assert here.tried("read", "SELECT * FROM far_orders") == "55000", "it has no handler"
    assert here.tried("read", "SELECT * FROM orders") == DENIED


# --- agents and minted roles ----------------------------------------------------------------------


def test_agents_that_are_named_get_roles_of_their_own(here: Shop):
    here.tier(
        "write",
        on("orders", "select"),
        role=here.role("w_{agent}"),
        user=here.role("w_{agent}"),
        allowances=(Allowance(agents=("claude", "gpt", "build-*")),),
        budget=Budget(sessions=3),
    )
    plan = here.apply()
    assert any("`build-*`" in note and "use `mint`" in note for note in plan.notes)
    assert here.tried("w_claude", "SELECT * FROM orders") == ""
    assert here.tried("w_gpt", "SELECT * FROM orders") == ""
    assert here.tried("w_gpt", "SELECT * FROM users") == DENIED
    assert here.plan().settled


def test_a_minting_role_gives_what_it_does_not_have(each_shop: Shop):
    minter = each_shop.role("minter")
    each_shop.tier("write", on("orders", "select"), mint=Mint(url_source=each_shop.url(minter)))
    each_shop.apply()
    holder, minted = each_shop.role("write_rights"), each_shop.role("minted")
    with psycopg.connect(each_shop.url(minter), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {minted} LOGIN PASSWORD '{PASSWORD}'".encode())
        connection.execute(f"GRANT {holder} TO {minted}".encode())
    assert each_shop.tried("minted", "SELECT * FROM orders") == ""
    assert each_shop.tried("minter", "SELECT * FROM orders") == DENIED
    assert each_shop.plan().settled, "what it made is no other member"


def test_without_a_role_minted_ones_are_members_of_the_urls_user(here: Shop):
    here.tier(
        "write",
        on("orders", "select"),
        role="",
        mint=Mint(url_source=here.url(here.role("minter"))),
        budget=Budget(statement_s=5),
    )
    holder, minter = here.desired.roles
    assert (holder.name, holder.login, minter.admin_of) == (here.role("write"), True, holder.name)
    assert holder.settings == (("statement_timeout", "5000ms"),)
    here.tier(
        "write", on("orders", "select"), mint=here.tiers["write"].mint, budget=Budget(lock_s=1)
    )
    assert here.desired.roles[0].settings == (("lock_timeout", "1000ms"),), "minted ones start so"
