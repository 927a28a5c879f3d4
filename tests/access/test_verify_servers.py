"""`access verify` as a whole: promises of access levels, what is tried, what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from verify_support import PASSWORD, Shop, counted, on, only, shop, told, verified

from holdpoint.access.verify.drift import Drift
from holdpoint.access.verify.settings import same_value
from holdpoint.access.verify.verify import Verified
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.model.grants import Grant
from holdpoint.model.target import AccessLevel, Allowance, Mint, Target, Tier
from support.servers import Replicated

READS = AccessLevel.READ_ONLY


@pytest.fixture(scope="module")
def here(postgres18: EmbeddedPostgres) -> Iterator[Shop]:
    """A shop whose database gives nobody TEMPORARY; each test brings its own roles."""
    with shop(postgres18) as made:
        made.run("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        yield made


def one(here: Shop, tier: Tier, **options: Any) -> Verified:
    """What is found of one tier, as if the target had no other."""
    target = Target(name=here.name, tiers=(tier,), admin_source=options.pop("admin", ""))
    (result,) = verified(target, **options)
    return result


def levels(here: Shop, name: str, access: AccessLevel, **options: Any) -> Verified:
    """What is found of a role in a tier that says no grants."""
    url = here.url(here.role(name))
    return one(here, Tier(name=name, access=access, url_source=url), **options)


def lines(here: Shop, result: Verified) -> list[str]:
    """What is drift, as lines."""
    return [told(here, each) for each in counted([result])]


def notes(result: Verified) -> list[Drift]:
    """What is only noted."""
    return [each for each in result.drift if each.note]


# --- tiers without grants: what the access level promises -----------------------------------------


def test_a_reader_may_be_in_a_group_that_reads(here: Shop) -> None:
    here.login("calm")
    here.run("CREATE ROLE {staff}; GRANT SELECT ON orders, users TO {staff}")
    here.run("GRANT {staff} TO {calm}; GRANT pg_read_all_data, pg_monitor TO {calm}")
    result = levels(here, "calm", READS)
    assert lines(here, result) == []
    assert result.roles == (here.role("calm"),)
    assert result.statements > 0
    assert result.objects == result.of > 0


def test_a_group_that_writes_counts_even_where_it_needs_set_role(here: Shop) -> None:
    here.login("sly", "NOINHERIT")
    here.run("CREATE ROLE {writers}; GRANT INSERT ON orders TO {writers}; GRANT {writers} TO {sly}")
    result = levels(here, "sly", READS)
    (drift,) = counted([result])
    assert drift.about == f"membership in `{here.role('writers')}`"
    assert "INSERT on `public.orders`" in drift.what
    assert drift.tried == "tried: the database took it"


@pytest.mark.parametrize(
    ("access", "found"),
    [
        (READS, {"ownership", "schema", "table", "sequence", "database"}),
        (AccessLevel.READ_WRITE, {"ownership", "schema", "table"}),
        (AccessLevel.FULL_NO_DROP, {"ownership", "table"}),
        (AccessLevel.OWNER, set()),
    ],
)
def test_each_access_level_promises_less_than_the_one_before(
    here: Shop, access: AccessLevel, found: set[str]
) -> None:
    name = f"level{list(AccessLevel).index(access)}"
    here.login(name)
    here.run(
        f"CREATE TABLE own_{name} (); ALTER TABLE own_{name} OWNER TO {{{name}}};"
        f"GRANT CREATE ON SCHEMA stock TO {{{name}}};"
        f"GRANT TRUNCATE ON stock.items TO {{{name}}};"
        f"GRANT USAGE ON SEQUENCE tickets TO {{{name}}};"
        f"GRANT TEMPORARY ON DATABASE {{database}} TO {{{name}}}"
    )
    result = levels(here, name, access, attempts=False)
    drift = {each.about.split()[0] for each in counted([result])}
    # TRUNCATE counts only where the schema lets the role in.
    assert drift == found - {"table"}
    here.run(f"GRANT USAGE ON SCHEMA stock TO {{{name}}}")
    result = levels(here, name, access, attempts=False)
    assert {each.about.split()[0] for each in counted([result])} == found
    if access is AccessLevel.OWNER:
        assert any(each.about.startswith("ownership") for each in notes(result))


def test_many_alike_are_told_together(here: Shop) -> None:
    here.login("crowd")
    tables = "; ".join(f"CREATE TABLE crowd.t{number} (id int)" for number in range(9))
    here.run(f"CREATE SCHEMA crowd; {tables}; GRANT USAGE ON SCHEMA crowd TO {{crowd}}")
    here.run("GRANT DELETE ON ALL TABLES IN SCHEMA crowd TO {crowd}")
    (drift,) = counted([levels(here, "crowd", READS)])
    assert drift.about == "9 tables of schema `crowd`"
    assert "`crowd.t4` and 4 more" in drift.what
    assert drift.tried == "tried: the database took it"
    (mend,) = drift.mend
    here.root.execute(mend.encode())
    assert lines(here, levels(here, "crowd", READS)) == []


def test_a_user_mapping_is_noted_and_its_server_is_drift(here: Shop) -> None:
    here.login("mapped")
    here.run(
        "CREATE FOREIGN DATA WRAPPER wrap; CREATE SERVER far FOREIGN DATA WRAPPER wrap;"
        "GRANT USAGE ON FOREIGN SERVER far TO {mapped};"
        "CREATE USER MAPPING FOR {mapped} SERVER far OPTIONS (user 'admin', password 'secret')"
    )
    try:
        result = levels(here, "mapped", READS)
    finally:
        here.run("DROP FOREIGN DATA WRAPPER wrap CASCADE")
    assert lines(here, result) == ["surplus: foreign server `far` | granted to the role itself"]
    noted = [each for each in notes(result) if each.about == "user mapping for server `far`"]
    assert noted[0].mend == (f"DROP USER MAPPING FOR {here.role('mapped')} SERVER far;",)
    assert "secret" not in str(result)


# --- what is tried --------------------------------------------------------------------------------


def test_trying_sets_nothing_off_and_takes_no_number(here: Shop) -> None:
    here.login("heavy")
    here.run(
        "CREATE FUNCTION alarm() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE 'a trigger has fired'; END $$;"
        "CREATE TABLE alarmed (id serial);"
        "CREATE TRIGGER alarm BEFORE INSERT OR UPDATE OR DELETE ON alarmed"
        " FOR EACH STATEMENT EXECUTE FUNCTION alarm();"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON alarmed TO {heavy};"
        "GRANT USAGE ON SEQUENCE alarmed_id_seq TO {heavy};"
        "GRANT CREATE ON SCHEMA public TO {heavy}"
    )
    try:
        result = levels(here, "heavy", READS)
        by_about = {each.about: each for each in counted([result])}
        alarmed = by_about["table `public.alarmed`"]
        assert alarmed.privileges == ("insert", "update", "delete")
        assert alarmed.tried == by_about["schema `public`"].tried == "tried: the database took it"
        assert not any("got no answer" in note for note in result.notes)
        row = here.root.execute(
            "SELECT last_value, is_called, to_regclass('public.holdpoint_verify_probe')"
            " FROM alarmed_id_seq"
        ).fetchone()
        assert row == (1, False, None)
    finally:
        here.run("DROP TABLE alarmed; DROP FUNCTION alarm()")


def test_nothing_is_made_where_an_event_trigger_would_see_it(here: Shop) -> None:
    here.login("quiet")
    here.run(
        "CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'an event trigger has fired'; END $$;"
        "CREATE EVENT TRIGGER seen ON ddl_command_start EXECUTE FUNCTION seen()"
    )
    try:
        result = levels(here, "quiet", READS)
    finally:
        here.run("DROP EVENT TRIGGER seen; DROP FUNCTION seen()")
    assert result.notes == ("CREATE was not tried: event triggers would see it",)
    assert lines(here, result) == []


def test_a_table_that_is_locked_gives_no_answer_and_no_drift(here: Shop) -> None:
    here.login("patient")
    with psycopg.connect(here.server.url(database=here.name)) as other:
        other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        result = levels(here, "patient", READS)
    assert lines(here, result) == []
    (note,) = result.notes
    assert note.startswith("3 of ")  # INSERT, UPDATE, DELETE; a reader may SELECT or not
    assert "statements got no answer" in note


def test_a_view_that_takes_writes_from_nobody_is_no_missing_answer(here: Shop) -> None:
    here.login("summing")
    here.run("CREATE VIEW totals AS SELECT count(*) FROM orders")
    try:
        result = levels(here, "summing", READS)
    finally:
        here.run("DROP VIEW totals")
    assert lines(here, result) == []
    assert result.notes == ()


def test_what_works_only_by_the_access_lists_is_found_by_trying(here: Shop) -> None:
    # The role may read the view, but the view's owner may not read its table any more.
    here.run(
        "CREATE TABLE hidden.gone (id int); GRANT SELECT ON hidden.gone TO {owner};"
        "CREATE VIEW broken AS SELECT id FROM hidden.gone; ALTER VIEW broken OWNER TO {owner}"
    )
    broken = Shop(here.server, here.name, here.root)
    tier = broken.tier("broken", on("broken", "select"))
    broken.apply()
    assert lines(here, one(here, tier)) == []
    here.run("REVOKE SELECT ON hidden.gone FROM {owner}")
    (drift,) = counted([one(here, tier)])
    assert drift.about == "table `public.broken`"
    assert "permission denied for table gone" in drift.what
    assert drift.tried == "tried: the database refused it"


# --- things that go wrong -------------------------------------------------------------------------


def test_a_server_that_is_down_hides_no_other(here: Shop) -> None:
    here.login("there")
    url = here.url(here.role("there"))
    away = Tier(name="away", access=READS, url_source=f"postgresql://x:{PASSWORD}@127.0.0.1:1/x")
    there = Tier(name="there", access=READS, url_source=url)
    first, second = verified(Target(name="shop", tiers=(away, there)))
    assert first.unreachable.startswith("cannot connect to 127.0.0.1:1/x as `x`: ")
    assert PASSWORD not in first.unreachable
    assert not first.roles
    assert second.roles == (here.role("there"),)
    assert not second.unreachable


def test_a_password_that_is_wrong_leaves_the_reading_to_the_administrator(here: Shop) -> None:
    here.login("forgot")
    here.run("GRANT DELETE ON orders TO {forgot}")
    url = here.url(here.role("forgot")).replace(PASSWORD, f"not-{PASSWORD}")
    tier = Tier(name="forgot", access=READS, url_source=url)
    result = one(here, tier, admin=here.url(here.role("owner")))
    assert "password authentication failed" in result.unreachable
    assert [told(here, each) for each in result.drift if not each.note] == [
        "surplus: table `public.orders` | granted to the role itself"
    ]


def test_one_of_several_servers_is_down(here: Shop) -> None:
    here.login("spread")
    tier = Tier(
        name="spread",
        access=READS,
        url_source="postgresql://x:x@127.0.0.1:1/x",
        more_sources=(here.url(here.role("spread")),),
    )
    result = one(here, tier)
    assert result.unreachable.startswith("cannot connect to 127.0.0.1:1/x as `x`")
    assert result.statements > 0
    assert here.role("spread") in result.roles


def test_a_catalog_that_may_not_be_read(here: Shop) -> None:
    here.login("blind")
    here.run("REVOKE SELECT ON pg_catalog.pg_db_role_setting FROM PUBLIC")
    try:
        result = levels(here, "blind", READS)
    finally:
        here.run("GRANT SELECT ON pg_catalog.pg_db_role_setting TO PUBLIC")
    assert result.unreachable == (
        "the server could not be asked: permission denied for table pg_db_role_setting"
    )
    assert not result.drift


def test_a_login_that_has_run_out(here: Shop) -> None:
    ended = Shop(here.server, here.name, here.root)
    tier = ended.tier("ended", on("orders", "select"))
    ended.apply()
    here.run("ALTER ROLE {ended} VALID UNTIL '2020-01-01'")
    result = one(here, tier, admin=here.url(here.role("owner")))
    drift = [each for each in result.drift if not each.note]
    assert [each.about for each in drift] == ["attribute VALID UNTIL"]
    assert result.unreachable


def test_a_role_that_does_not_exist(here: Shop) -> None:
    tier = Shop(here.server, here.name, here.root).tier("nobody", on("orders", "select"))
    result = one(here, tier, admin=here.url(here.role("owner")))
    (drift,) = result.drift
    assert drift.about == f"role `{here.role('nobody')}`"
    assert drift.what == "does not exist"
    assert result.unreachable


@pytest.mark.parametrize("name", ['we"ird', "Üser o'name"])
def test_odd_names_of_roles(here: Shop, name: str) -> None:
    odd = Shop(here.server, here.name, here.root)
    tier = odd.tier(name, on("orders", "select"))
    odd.apply()
    assert lines(here, one(here, tier)) == []
    quoted = '"' + here.role(name).replace('"', '""') + '"'
    here.root.execute(f"GRANT DELETE ON orders TO {quoted}".encode())
    (drift,) = counted([one(here, tier)])
    here.root.execute(drift.mend[0].encode())
    assert lines(here, one(here, tier)) == []


def test_odd_names_of_objects(here: Shop) -> None:
    here.run('CREATE SCHEMA "S ""1"; CREATE TABLE "S ""1"."T `1" ("C ""%1" int, b int)')
    odd = Shop(here.server, here.name, here.root)
    here.run('ALTER SCHEMA "S ""1" OWNER TO {owner}; ALTER TABLE "S ""1"."T `1" OWNER TO {owner}')
    grant = Grant('S "1', "T `1", (only("select", 'C "%1'),))
    tier = odd.tier("objects", grant)
    odd.apply()
    assert lines(here, one(here, tier)) == []
    here.run('GRANT UPDATE ("C ""%1") ON "S ""1"."T `1" TO {objects}')
    (drift,) = counted([one(here, tier)])
    assert drift.about == 'table `S "1.T ?1(C "%1)`'
    assert drift.tried == "tried: the database took it"
    here.root.execute(drift.mend[0].encode())
    assert lines(here, one(here, tier)) == []


def test_tables_that_come_and_go_meanwhile_are_no_drift(here: Shop) -> None:
    moving = Shop(here.server, here.name, here.root)
    here.run("CREATE TABLE stock.old (id int); ALTER TABLE stock.old OWNER TO {owner}")
    tier = moving.tier("moving", on("stock.*", "select"))
    moving.apply()
    looks: list[str] = []

    def change(_: str, role: str) -> None:
        """After the tables were listed, before the role's rights on them are asked for."""
        looks.append(role)
        if len(looks) == 1:
            here.run("DROP TABLE stock.old; SET ROLE {owner}; CREATE TABLE stock.new (id int)")
            here.run("RESET ROLE")

    assert lines(here, one(here, tier, on_role=change)) == []
    assert len(looks) == 2  # the second reading is what told


def test_the_configuration_asks_for_what_is_not_there(here: Shop) -> None:
    asking = Shop(here.server, here.name, here.root)
    asking.tier("asking", on("orders", "select"))
    asking.apply()
    tier = replace(asking.tiers[0], grants=(on("orders", "select"), on("no_such", "select")))
    (drift,) = counted([one(here, tier)])
    assert drift.what == "table `public.no_such` does not exist"


# --- roles made for one session, one role for each agent ------------------------------------------


def test_minted_roles_are_the_tiers_own_until_they_have_run_out(here: Shop) -> None:
    minting = Shop(here.server, here.name, here.root)
    tier = minting.tier(
        "desk", on("orders", "select"), mint=Mint(url_source=here.url(here.role("minter")))
    )
    minting.apply()
    here.run(
        "CREATE ROLE {fresh} LOGIN VALID UNTIL 'infinity'; GRANT {desk} TO {fresh};"
        "CREATE ROLE hp_bot_1 LOGIN VALID UNTIL '2100-01-01'; GRANT {desk} TO hp_bot_1;"
        "COMMENT ON ROLE hp_bot_1 IS 'holdpoint: made for one session by gate g';"
        "CREATE ROLE hp_bot_2 LOGIN VALID UNTIL '2020-01-01'; GRANT {desk} TO hp_bot_2;"
        "COMMENT ON ROLE hp_bot_2 IS 'holdpoint: made for one session by gate g'"
    )
    try:
        result = one(here, tier)
        assert lines(here, result) == [
            "surplus: role `fresh` | "
            "a membership that the configuration of tier `desk` does not name",
            "left over: role `hp_bot_2` | made for one session, and left over",
        ]
        assert here.role("minter") in result.roles
    finally:
        here.run("DROP ROLE hp_bot_1, hp_bot_2")


def test_one_role_for_each_agent(here: Shop) -> None:
    agents = Shop(here.server, here.name, here.root)
    tier = agents.tier(
        "each",
        on("orders", "select"),
        role=here.role("each_{agent}"),
        url_source=here.url(here.role("each_{agent}")).replace("%7B", "{").replace("%7D", "}"),
        allowances=(Allowance(agents=("ada", "bob")),),
    )
    agents.apply()
    result = one(here, tier)
    assert {here.role("each_ada"), here.role("each_bob")} < set(result.roles)
    assert lines(here, result) == []
    assert result.statements > 0
    holder = result.roles[0]
    here.root.execute(f"REVOKE SELECT ON orders FROM {holder}".encode())
    here.run("GRANT DELETE ON users TO {each_bob}")
    drift = [(each.role, each.kind.value, each.tried) for each in counted([one(here, tier)])]
    assert drift[:2] == [
        (holder, "missing", ""),  # nobody signs in as the role that only holds rights
        (here.role("each_bob"), "surplus", "tried: the database took it"),
    ]


@pytest.mark.parametrize("name", ["member", "deaf"])
def test_a_lost_membership_is_one_difference(here: Shop, name: str) -> None:
    losing = Shop(here.server, here.name, here.root)
    tier = losing.tier(name, on("orders", "select", "insert"), role=here.role(f"{name}_keeper"))
    losing.apply()
    member, keeper = here.role(name), here.role(f"{name}_keeper")
    if name == "member":
        here.run(f"REVOKE {keeper} FROM {member} GRANTED BY {{owner}}")
    else:  # a member still, and its rights do not count
        here.run(f"GRANT {keeper} TO {member} WITH INHERIT FALSE GRANTED BY {{owner}}")
    (drift,) = counted([one(here, tier)])
    assert drift.about == f"membership in `{keeper}`"
    assert drift.kind.value == "missing"
    here.root.execute(drift.mend[0].encode())
    assert lines(here, one(here, tier)) == []


# --- replicas -------------------------------------------------------------------------------------


def test_a_replica_keeps_writes_out_and_its_grants_are_told_all_the_same(
    replicated: Replicated,
) -> None:
    with shop(replicated.primary) as made, EmbeddedReplica(replicated.primary) as replica:
        made.run("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        made.login("far")
        made.run("GRANT DELETE ON orders TO {far}")
        replica.wait_caught_up()
        url = replica.url(made.role("far"), PASSWORD, made.name)
        tier = Tier(name="far", access=READS, url_source=url, replica=True)
        before = one(made, tier)
        assert before.in_recovery
        assert "a replica in recovery takes no write from anybody" in before.notes[0]
        surplus = "surplus: table `public.orders` | granted to the role itself"
        assert lines(made, before) == [surplus]
        replica.promote()
        after = one(made, tier)
        assert not after.in_recovery
        place = f"127.0.0.1:{replica.port}/{made.name}"
        assert lines(made, after) == [
            f"changed: server `{place}` | the URL leads to another server, or it was promoted",
            surplus,
        ]


# --- values of settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("statement_timeout", "30s", "30000", True),
        ("statement_timeout", "30000ms", "30 s", True),
        ("statement_timeout", "1min", "60s", True),
        ("statement_timeout", "0", "30s", False),
        ("statement_timeout", "1", "on", False),
        ("work_mem", "4MB", "4096kB", True),
        ("work_mem", "4MB", "4GB", False),
        ("default_transaction_read_only", "on", "TRUE", True),
        ("default_transaction_read_only", "on", "off", False),
        ("search_path", "public", "Public", False),
        ("search_path", "", "", True),
    ],
)
def test_values_that_mean_the_same(name: str, one: str, other: str, same: bool) -> None:
    assert same_value(name, one, other) is same
    assert same_value(name, other, one) is same
