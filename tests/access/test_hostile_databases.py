"""Databases in which somebody has planted something for those who look at their rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import anyio
import psycopg
import pytest
from verify_support import Shop, on, resolved, shop, verified

from holdpoint.access.desired import desired_roles
from holdpoint.access.plan.plan import make_plan
from holdpoint.access.plan.reading import read_granted
from holdpoint.access.suggest.look import look_at_rights
from holdpoint.access.verify import report
from holdpoint.cli.access_plan import print_plan
from holdpoint.config import Config
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.target import AccessLevel

# Whoever runs it as somebody else than its owner lends that one's rights, and what a sequence has
# taken stays when everything is rolled back.
PLANTED = """
CREATE SEQUENCE leak; GRANT ALL ON SEQUENCE leak TO PUBLIC;
CREATE FUNCTION leaks(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
    IF current_user <> '{mallory}' THEN PERFORM pg_catalog.nextval('public.leak'); END IF;
    RETURN 1; END $$;
CREATE FUNCTION cat(name, name) RETURNS text IMMUTABLE LANGUAGE sql
    AS 'SELECT $1::text OPERATOR(pg_catalog.||) $2::text || leaks(1)';
CREATE OPERATOR || (LEFTARG = name, RIGHTARG = name, FUNCTION = cat);
CREATE DOMAIN bait_domain AS int DEFAULT leaks(1);
CREATE TABLE bait_default (a int DEFAULT leaks(1));
CREATE TABLE bait_type (a bait_domain);
CREATE TABLE bait_index (a int);
CREATE INDEX ON bait_index (a) WHERE leaks(1) = 1;
CREATE TABLE bait_policy (a int);
CREATE POLICY all_of_it ON bait_policy USING (leaks(1) = 1);
ALTER TABLE bait_policy ENABLE ROW LEVEL SECURITY;
CREATE VIEW bait_view AS SELECT leaks(1) AS a;
CREATE VIEW bait_view_of_view AS SELECT a FROM bait_view;
GRANT SELECT ON bait_default, bait_type, bait_index, bait_policy, bait_view, bait_view_of_view
    TO PUBLIC;
"""
FORGED = "inbox\nok: as configured\n; DROP TABLE orders; --"


@pytest.fixture(scope="module")
def bait(postgres18: EmbeddedPostgres) -> Iterator[Shop]:
    """A shop in whose schema `public` one who may make tables has planted things."""
    with shop(postgres18) as made:
        made.login("mallory")
        made.run("GRANT CREATE ON SCHEMA public TO {mallory}")
        with psycopg.connect(made.url(made.role("mallory")), autocommit=True) as mallory:
            mallory.execute(made.filled(PLANTED).encode())
        yield made


def taken(here: Shop) -> bool:
    """Whether anything that was planted has run as somebody else."""
    [(found,)] = here.root.execute("SELECT is_called FROM public.leak").fetchall()
    return bool(found)


def test_no_operator_of_others_runs_when_rights_are_read(bait: Shop) -> None:
    bait.login("looks")
    url = resolved(bait.url(bait.role("looks")), "")
    oids = bait.root.execute("SELECT oid::int FROM pg_proc WHERE proname = 'wipe'").fetchall()
    rights, signatures = anyio.run(
        look_at_rights, url, url.user, ["pg_class"], ["now"], [oid for (oid,) in oids]
    )
    assert rights.exists
    assert "wipe()" in signatures.values()
    assert not taken(bait)


def test_what_is_tried_runs_nothing_that_others_planted(bait: Shop) -> None:
    bait.login("reads")
    tier = bait.tier("reads", access=AccessLevel.READ_ONLY)
    [result] = verified(bait.target, tier.name)
    assert 0 < result.objects < result.of
    assert any("6 tables and views were not tried" in note for note in result.notes), result.notes
    assert not taken(bait)


def test_a_plan_paints_no_terminal(bait: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    bait.login("paints")
    bait.run(
        'CREATE TABLE painted ("a\x1b[2J" int, b int);'
        'GRANT SELECT ("a\x1b[2J") ON painted TO {paints};'
        'CREATE TABLE "\x9b2J\n* nothing to do" (); ALTER TABLE "\x9b2J\n* nothing to do"'
        " OWNER TO {paints}"
    )
    tier = bait.tier("paints", on("painted", "select"))
    desired = desired_roles(bait.target, resolved, [tier.name])
    with psycopg.connect(bait.url(bait.role("owner")), autocommit=True) as admin:
        plan = make_plan(desired, read_granted(admin, desired))
    assert plan.problems
    print_plan(plan, cast(Config, None))  # it names the file only where nothing is in the way
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    assert not any(line.startswith("* nothing to do") for line in said.splitlines())


def test_a_name_neither_begins_a_line_nor_ends_a_comment(bait: Shop) -> None:
    name = '"' + FORGED + '"'
    bait.run(
        f"CREATE TABLE {name} (id int); ALTER TABLE {name} OWNER TO {{owner}};"
        f"CREATE RULE more AS ON INSERT TO {name} DO ALSO INSERT INTO hidden.bonuses VALUES (1)"
    )
    bait.login("forged")
    bait.run(f"GRANT INSERT ON {name} TO {{forged}}")
    tier = bait.tier("forged")
    [result] = verified(bait.target, tier.name)
    mends = [mend for each in result.drift for mend in each.mend if "drop the rules" in mend]
    assert mends
    assert not any("\n" in mend for mend in mends)
    lines = list(report.lines(result))
    assert any("DROP TABLE orders" in line for line in lines)
    assert not any("\n" in line for line in lines)
