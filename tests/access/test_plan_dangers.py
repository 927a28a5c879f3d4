"""What a plan stops at, what it cannot do, and what no grant of ours would change."""

from __future__ import annotations

import psycopg
from plan_support import DENIED, PASSWORD, Shop, on, only

from holdpoint.access.desired import shared_roles
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.target import AccessLevel, Mint

# --- states in which nothing is done --------------------------------------------------------------


def test_a_superuser_is_not_bounded_by_grants(here: Shop):
    here.root.execute(f"CREATE ROLE {here.role('write')} LOGIN SUPERUSER".encode())
    here.tier("write", on("orders", "select"))
    [problem] = here.plan().problems
    assert problem.startswith(f"role `{here.name}_write` is a superuser: no grant bounds it")


def test_an_owner_of_objects_is_not_bounded_by_grants(here: Shop):
    here.root.execute(f"CREATE ROLE {here.role('write')} LOGIN".encode())
    here.root.execute(f"ALTER TABLE orders OWNER TO {here.role('write')}".encode())
    here.tier("write", on("users", "select"))
    [problem] = here.plan().problems
    assert "owns sequence public.orders_id_seq and table public.orders" in problem
    assert "`REASSIGN OWNED BY`" in problem


def test_a_role_with_other_members_is_taken_over_only_when_asked(each_shop: Shop):
    group, app = each_shop.role("write_rights"), each_shop.role("app")
    each_shop.admin.execute(
        f"CREATE ROLE {group}; CREATE ROLE {app} LOGIN PASSWORD '{PASSWORD}';"
        f"GRANT {group} TO {app}; GRANT DELETE ON orders TO {group}".encode()
    )
    each_shop.tier("write", on("orders", "select"))
    [problem] = each_shop.plan().problems
    assert f"has other members: `{app}`" in problem
    assert f"(`REVOKE {group} FROM {app}`)" in problem
    assert "--adopt" in problem
    plan = each_shop.apply(adopt=True)
    assert any(f"stays a role of `{app}`" in note for note in plan.notes)
    assert each_shop.tried("app", "SELECT * FROM orders") == ""
    assert each_shop.tried("app", "DELETE FROM orders") == DENIED


def test_the_admin_does_not_take_its_own_rights(here: Shop):
    here.tier("write", on("orders", "select"), user=here.role("owner"))
    assert "is the role of `admin_url`" in here.plan().problems[0]


def test_tiers_do_not_share_a_role(here: Shop):
    here.tier("read", on("orders", "select"), user=here.role("same"))
    here.tier("write", on("orders", "insert"), user=here.role("same"))
    [problem] = here.desired.problems
    assert problem.startswith(f"tiers `read` and `write` share the role `{here.name}_same`")
    here.tier("write", user=here.role("same"))
    object.__setattr__(here.tiers["write"], "grants", None)
    [problem] = here.desired.problems
    assert "`write` would lose what the grants do not name" in problem


def test_targets_on_one_server_do_not_share_a_role(here: Shop):
    here.tier("read", on("orders", "select"))
    [holder, login] = shared_roles(here.desired, here.desired)
    assert f"share the role `{here.name}_read_rights` of one server" in holder
    assert f"share the role `{here.name}_read` of one server" in login


def test_a_user_mapping_is_no_ownership(here: Shop):
    here.tier("read", on("orders", "select"))
    here.apply()
    here.root.execute(
        f"CREATE FOREIGN DATA WRAPPER {here.name}_w;"
        f"CREATE SERVER far FOREIGN DATA WRAPPER {here.name}_w;"
        f"CREATE USER MAPPING FOR {here.role('read')} SERVER far".encode()
    )
    plan = here.plan()
    assert plan.settled
    assert any("signs in to foreign server `far`" in note for note in plan.notes)


def test_what_is_not_there_is_named(here: Shop):
    here.tier(
        "write",
        on("gone", "select"),
        on("nowhere.orders", "select"),
        on("orders", only("select", "id", "colour")),
        on("add_order(text)", "execute", kind="function"),
    )
    assert here.plan().problems == (
        "table `public.gone` does not exist",
        "schema `nowhere` does not exist",
        "table `public.orders` has no column `colour`",
        "function `public.add_order(text)` does not exist",
    )


def test_settings_that_no_role_can_have_are_named(here: Shop):
    here.tier(
        "write",
        on("orders", "select"),
        settings=(("max_connections", "5"), ("log_statement", "none"), ("no_such", "1")),
    )
    plan = here.plan()
    assert sorted(plan.problems) == [
        "tier `write`: `max_connections` cannot be set for a role, only for the server",
        "tier `write`: the server has no setting `no_such`",
    ]
    assert plan.blocked == (
        f"role `{here.name}_write`: only a superuser may set `log_statement` for it",
    )


# --- what the one who plans cannot do -------------------------------------------------------------


def test_what_others_own_is_told_before(each_shop: Shop):
    each_shop.root.execute("CREATE TABLE theirs (id int); CREATE TABLE open (id int)")
    each_shop.root.execute("GRANT SELECT ON open TO PUBLIC")
    each_shop.tier("write", on("theirs", "select"), on("open", "select"), on("orders", "select"))
    plan = each_shop.plan()
    owner = each_shop.role("owner")
    assert plan.blocked == (
        f"role `{each_shop.name}_write_rights`: `{owner}` cannot give it, only the owner "
        "`postgres` can: SELECT on `public.theirs`",
    ), "what everybody may read anyway is no obstacle"
    each_shop.root.execute(f"GRANT SELECT ON theirs TO {owner} WITH GRANT OPTION".encode())
    each_shop.apply()
    assert each_shop.tried("write", "SELECT * FROM theirs") == ""
    assert each_shop.plan().settled


def test_what_others_gave_is_told_before(each_shop: Shop):
    each_shop.tier("write", on("orders", "select"))
    each_shop.apply()
    giver, rights = each_shop.role("giver"), each_shop.role("write_rights")
    each_shop.admin.execute(
        f"CREATE ROLE {giver}; GRANT DELETE ON orders TO {giver} WITH GRANT OPTION".encode()
    )
    each_shop.root.execute(
        f"SET ROLE {giver}; GRANT DELETE ON orders TO {rights}; RESET ROLE".encode()
    )
    plan = each_shop.plan()
    assert plan.steps == ()
    [blocked] = plan.blocked
    assert f"only `{giver}`, who gave it" in blocked
    assert "DELETE on `public.orders`" in blocked


def test_what_a_role_gave_on_is_told_before(here: Shop):
    here.tier("write", on("orders", "select"))
    here.apply()
    rights, app = here.role("write_rights"), here.role("app")
    here.admin.execute(
        f"CREATE ROLE {app}; GRANT DELETE ON orders TO {rights} WITH GRANT OPTION".encode()
    )
    here.root.execute(f"SET ROLE {rights}; GRANT DELETE ON orders TO {app}; RESET ROLE".encode())
    [blocked] = here.plan().blocked
    assert f"cannot lose what it gave on to `{app}`" in blocked


def test_roles_that_the_admin_may_not_alter_are_told_before(here: Shop):
    here.root.execute(
        f"CREATE ROLE {here.role('write')} LOGIN REPLICATION PASSWORD '{PASSWORD}'".encode()
    )
    here.root.execute(f"GRANT pg_read_all_data TO {here.role('write')}".encode())
    here.tier("write", on("orders", "select"))
    blocked = " | ".join(here.plan().blocked)
    assert "may still replicate; only a role that may as well can take that away" in blocked
    assert "has the rights of `pg_read_all_data`, which only `postgres`" in blocked
    assert "that needs CREATEROLE and ADMIN OPTION on it" in blocked


def test_rights_on_the_servers_own_objects_are_told(each_shop: Shop):
    each_shop.tier("write", on("orders", "select"))
    each_shop.apply()
    rights = each_shop.role("write_rights")
    each_shop.root.execute(f"GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {rights}".encode())
    each_shop.root.execute(f"GRANT SELECT ON pg_authid TO {rights}".encode())
    [blocked] = each_shop.plan().blocked
    assert "EXECUTE on function `pg_catalog.pg_read_file(text)`" in blocked
    assert "SELECT on `pg_catalog.pg_authid`" in blocked


# --- what everybody may ---------------------------------------------------------------------------


def test_what_everybody_may_is_told_and_mended_when_asked(each_shop: Shop):
    app = each_shop.role("app")
    each_shop.admin.execute(
        f"""
        CREATE ROLE {app} LOGIN PASSWORD '{PASSWORD}';
        GRANT SELECT ON users TO PUBLIC;
        GRANT UPDATE (note) ON orders TO PUBLIC;
        GRANT EXECUTE ON FUNCTION secrets() TO PUBLIC;
        GRANT CREATE ON SCHEMA public TO PUBLIC;
        """.encode()
    )
    each_shop.tier("write", on("orders", "select"))
    each_shop.apply()
    tries = (
        "SELECT secret FROM users",
        "UPDATE orders SET note = 'x'",
        "SELECT secrets()",
        "CREATE TABLE mine ()",
        "CREATE TEMP TABLE mine ()",
    )
    assert {each: each_shop.tried("write", each) for each in tries} == dict.fromkeys(tries, "")
    plan = each_shop.plan()
    assert plan.settled, "it is nothing that a role's own grants could change"
    told = "\n".join(each.words for each in plan.mends)
    for words in (
        "everybody may SELECT on `public.users`: PUBLIC holds it",
        "everybody may UPDATE (note) on `public.orders`",
        "everybody may call function `public.secrets()`, with the rights of its owner",
        "everybody may make tables and functions in schema `public`",
        f"everybody may make temporary tables in database `{each_shop.name}`",
    ):
        assert words in told
    each_shop.apply(mend=True)
    assert {each: each_shop.tried("write", each) for each in tries} == dict.fromkeys(tries, DENIED)
    kept = {each: each_shop.tried("app", each) for each in tries[:1] + tries[2:]}
    assert kept == dict.fromkeys(kept, ""), "who had it by PUBLIC keeps it by name"
    assert each_shop.plan(mend=True).settled


def test_a_mend_that_cannot_be_made_says_so(here: Shop):
    here.root.execute("CREATE TABLE theirs (id int); GRANT SELECT ON theirs TO PUBLIC")
    here.tier("write", on("orders", "select"))
    here.apply()
    [theirs] = [each for each in here.plan().mends if "theirs" in each.words]
    assert theirs.obstacle.startswith("only `postgres`, who gave it")
    assert here.plan().settled
    asked = here.plan(mend=True)
    assert (asked.settled, asked.blocked) == (False, (f"{theirs.words}; {theirs.obstacle}",))


# --- what grants do not tell ----------------------------------------------------------------------


def test_row_level_security_is_told(here: Shop):
    here.admin.execute(
        """
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
        CREATE VIEW emails AS SELECT email FROM users;
        ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
        CREATE POLICY reading ON orders FOR SELECT USING (true);
        """
    )
    here.tier("write", on("orders", "select", "insert"), on("users", "select"))
    here.tier("read", on("emails", "select"), access=AccessLevel.READ_ONLY)
    write, read, owner = (here.role(each) for each in ("write_rights", "read_rights", "owner"))
    notes = [note for note in here.plan().notes if "row-level" in note]
    assert notes == [
        f"role `{write}`: row-level security of `public.orders` has no policy that lets it INSERT "
        "any row",
        f"role `{write}`: row-level security of `public.users` has no policy that lets it SELECT "
        "any row",
        f"role `{read}`: view `public.emails` reads `public.users` as `{owner}`, past its "
        "row-level security",
    ]


def test_rights_in_other_databases_are_told(here: Shop, postgres18: EmbeddedPostgres):
    here.tier("write", on("orders", "select"))
    here.apply()
    with psycopg.connect(postgres18.url(), autocommit=True) as other:
        rights = here.role("write_rights")
        other.execute(f"CREATE SCHEMA s_{here.name}".encode())
        try:
            other.execute(f"GRANT USAGE ON SCHEMA s_{here.name} TO {rights}".encode())
            plan = here.plan()
        finally:
            other.execute(f"DROP SCHEMA s_{here.name}".encode())
    assert plan.settled
    assert any("has rights in database `postgres` too" in note for note in plan.notes)


def test_minted_roles_are_not_agents_own(here: Shop):
    mint = Mint(url_source=here.url(here.role("minter")))
    here.tier("write", on("orders", "select"), role=here.role("{agent}"), mint=mint)
    [problem] = here.desired.problems
    assert "`mint` makes a role for each session, and `{agent}` in `role`" in problem


def test_a_minting_role_is_not_a_login_of_agents(here: Shop):
    here.tier("write", on("orders", "select"), mint=Mint(url_source=here.url(here.role("write"))))
    [problem] = here.desired.problems
    assert "which agents sign in as" in problem
