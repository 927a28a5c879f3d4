"""The bound of rows while a statement runs: what changes more is taken back.

Every test ends with a look at the tables themselves, past the gate.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from door_support import Gate, statements
from wire_client import B, D, E, H, P, Q, S, run

from holdpoint.model.hold import HoldState
from holdpoint.wire.postgres import messages

BOUND = 1_000  # policy `careful`
MANY = 5_000

# Statistics that were true once: the planner takes `lies` for a table of some hundred rows.
LIES = f"""
DROP TABLE IF EXISTS lies, shadow, kids, parts CASCADE;
CREATE TABLE lies (id int, status text NOT NULL) WITH (autovacuum_enabled = false);
INSERT INTO lies SELECT g, 'new' FROM generate_series(1, 5) AS g;
ANALYZE lies;
INSERT INTO lies SELECT g, 'new' FROM generate_series(6, {MANY}) AS g;
CREATE TABLE shadow (id int);
"""
CHANGE = "UPDATE lies SET status = 'x' WHERE status = 'new' /* {} */"
FEW = "UPDATE lies SET status = 'x' WHERE id <= 3 /* {} */"


@pytest.fixture(autouse=True)
def _lies(request: pytest.FixtureRequest) -> Iterator[None]:
    gate: Gate = request.getfixturevalue(
        "each_gate" if "each_gate" in request.fixturenames else "gate"
    )
    with psycopg.connect(gate.direct, autocommit=True) as connection:
        connection.execute(LIES.encode())
    with gate.waiting(0.05):
        yield


def changed(gate: Gate) -> int:
    """How many rows of `lies` are not as they were, and how many `shadow` has."""
    with psycopg.connect(gate.direct) as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE status <> 'new') + abs(count(*) - %s)"
            " + (SELECT count(*) FROM shadow) FROM lies",
            (MANY,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_more_rows_than_estimated_are_rolled_back_and_held(each_gate: Gate) -> None:
    gate, text = each_gate, CHANGE.format("held")
    since = gate.length()
    with gate.raw("write") as wire:
        assert wire.query(text) == "E:HP001 ZI"
        error = wire.errors[-1]
        assert (
            error["M"]
            == "rolled back: UPDATE on `lies` changed 5,000 rows, over the bound of 1,000"
        )
        hold = gate.opened(text)
        assert hold.id in error["D"]
        assert hold.id in error["H"]
        assert changed(gate) == 0
        end = gate.outcome_of(text, since)
        assert (end["ran"], end["changed"], end["rolled_back"]) == (True, MANY, True)
        # Sent again it meets the same hold instead of running.
        assert wire.query(text) == "N:HP001 E:HP001 ZI"
        gate.answer(hold)
        assert wire.query(text) == f"C:UPDATE {MANY} ZI"
        assert changed(gate) == MANY
        assert gate.hold(hold.id).state is HoldState.CLAIMED
    gate.quiet()
    trail = gate.trail(since)
    assert statements(trail, since) == [
        ("started", text),
        ("finished", text),
        ("held", text),
        ("started", text),
        ("finished", text),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE lies SET status = 'x' /* {} */",
        "MERGE INTO lies AS l USING lies AS s ON l.id = s.id"
        " WHEN MATCHED THEN UPDATE SET status = 'x' /* {} */",
    ],
    ids=["UPDATE", "MERGE"],
)
def test_an_approval_covers_the_rows_that_people_saw(each_gate: Gate, text: str) -> None:
    gate = each_gate
    for number, send in enumerate((Q, lambda text: run(text) + S)):
        own = text.format(number)
        with gate.raw("write") as wire:
            wire.ask(send(own))
            first = gate.opened(own)
            gate.answer(first)
            assert wire.ask(send(own)).endswith("E:HP001 ZI")
            assert "changed 5,000 rows, over the bound of" in wire.errors[-1]["M"]
            assert gate.hold(first.id).state is HoldState.CLAIMED
            assert changed(gate) == number * MANY
            second = gate.opened(own)
            assert second.id != first.id
            gate.answer(second)
            assert f" {MANY} ZI" in wire.ask(send(own))
    assert changed(gate) == MANY


# --- one Query ------------------------------------------------------------------------------------


def test_what_stays_within_the_bound_looks_as_without_a_gate(each_gate: Gate) -> None:
    with each_gate.raw("write") as wire:
        assert wire.query(FEW.format("simple")) == "C:UPDATE 3 ZI"
        assert wire.query("DELETE FROM lies WHERE id <= 2 RETURNING id") == (
            "T D:1 D:2 C:DELETE 2 ZI"
        )
        assert wire.query("UPDATE lies SET status = 'y' WHERE id = 9; SELECT 7") == (
            "C:UPDATE 1 T D:7 C:SELECT 1 ZI"
        )
        assert wire.query("UPDATE lies SET id = 1 / (id - 5) WHERE id <= 5") == "E:22012 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    assert changed(each_gate) == 2 + 1 + 1


def test_an_error_at_commit_is_the_statements_error(gate: Gate, direct: psycopg.Connection) -> None:
    direct.execute("CREATE TABLE kids (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int)")
    direct.execute("INSERT INTO kids VALUES (1, 0), (2, 0)")
    with gate.raw("write") as wire:
        assert wire.query("UPDATE kids SET id = 1 WHERE n = 0") == "E:23505 ZI"
        assert wire.query("UPDATE kids SET n = 1 WHERE n = 0") == "C:UPDATE 2 ZI"
    assert direct.execute("SELECT sum(n) FROM kids").fetchone() == (2,)


def test_returned_rows_may_have_come_before_the_error(gate: Gate) -> None:
    with gate.raw("write") as wire:
        words = wire.query(CHANGE.format("r") + " RETURNING id").split()
    assert (words[0], words[-2:]) == ("T", ["E:HP001", "ZI"])
    assert "C:" not in " ".join(words)
    assert changed(gate) == 0


def test_several_statements_of_one_message_are_counted_together(gate: Gate) -> None:
    part = "UPDATE lies SET status = 'x' WHERE id {}"
    with gate.raw("write") as wire:
        both = f"{part.format('<= 600')}; {part.format('> 4400')}"
        assert wire.query(both).split()[-2:] == ["E:HP001", "ZI"]
        assert "2 statements of one message changed 1,200 rows" in wire.errors[-1]["M"]
    assert changed(gate) == 0


def test_a_message_that_ends_its_transaction_itself_does_not_run(gate: Gate) -> None:
    with gate.raw("write") as wire:
        for text in (
            f"BEGIN; {CHANGE}; COMMIT",
            f"{CHANGE}; COMMIT; SELECT 1",
            f"BEGIN; {CHANGE}; PREPARE TRANSACTION 'later'",
            f"COMMIT AND CHAIN; {CHANGE}",
        ):
            assert wire.query(text.format("b")).endswith(("E:0A000 ZI", "E:42501 ZI"))
        assert "message of its own" in wire.errors[0]["H"]
    assert changed(gate) == 0


# --- in the agent's transaction -------------------------------------------------------------------


def test_over_the_bound_the_agents_transaction_fails_like_after_any_error(each_gate: Gate) -> None:
    with each_gate.raw("write") as wire:
        assert wire.query("BEGIN") == "C:BEGIN ZT"
        assert wire.query(FEW.format("t")) == "C:UPDATE 3 ZT"
        assert wire.query(CHANGE.format("t")) == "E:HP001 ZE"
        assert wire.query("SELECT 1") == "E:25P02 ZE"
        assert wire.query("COMMIT") == "C:ROLLBACK ZI"
    assert changed(each_gate) == 0


def test_the_agents_savepoint_brings_it_back(each_gate: Gate) -> None:
    with each_gate.raw("write") as wire:
        wire.query("BEGIN")
        assert wire.query(FEW.format("t")) == "C:UPDATE 3 ZT"
        assert wire.query("SAVEPOINT s") == "C:SAVEPOINT ZT"
        assert wire.query(CHANGE.format("t")) == "E:HP001 ZE"
        assert wire.query("ROLLBACK TO s") == "C:ROLLBACK ZT"
        assert wire.query("UPDATE lies SET status = 'y' WHERE id = 4") == "C:UPDATE 1 ZT"
        assert wire.query("COMMIT") == "C:COMMIT ZI"
    assert changed(each_gate) == 4


def test_earlier_statements_of_a_transaction_do_not_count(gate: Gate) -> None:
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        for start in (0, 700, 1400):
            text = f"UPDATE lies SET status = 'x' WHERE id > {start} AND id <= {start + 700}"
            assert wire.query(text) == "C:UPDATE 700 ZT"
        wire.query("COMMIT")
        # The counters of the transaction before it are not flushed at once.
        assert wire.query("UPDATE lies SET status = 'y' WHERE id <= 900") == "C:UPDATE 900 ZI"
    assert changed(gate) == 2100


# --- the extended protocol ------------------------------------------------------------------------


def test_everything_since_the_last_sync_goes_back(each_gate: Gate) -> None:
    with each_gate.raw("write") as wire:
        assert wire.ask(run(FEW.format("e")), S) == "1 2 C:UPDATE 3 ZI"
        assert wire.ask(run(CHANGE.format("e")), S) == "1 2 E:HP001 ZI"
        wire.send(run(FEW.format("p")), run(CHANGE.format("p")), run(FEW.format("q")), S)
        assert " ".join(wire.words()) == "1 2 C:UPDATE 3 1 2 E:HP001 ZI"
        wire.send(run(CHANGE.format("f")), H)
        assert wire.until("E:")[-1] == "E:HP001"
        assert wire.ask(run("SELECT 1"), S) == "ZI"
        assert wire.ask(run("SELECT 1"), S) == "1 2 D:1 C:SELECT 1 ZI"
    assert changed(each_gate) == 3


def test_extended_inside_a_transaction(gate: Gate) -> None:
    with gate.raw("write") as wire:
        assert wire.ask(run("BEGIN"), S) == "1 2 C:BEGIN ZT"
        assert wire.ask(run(FEW.format("x")), S) == "1 2 C:UPDATE 3 ZT"
        assert wire.ask(run(CHANGE.format("x")), S) == "1 2 E:HP001 ZE"
        assert wire.ask(run("COMMIT"), S) == "1 2 C:ROLLBACK ZI"
        # In one go, with the COMMIT in the same pipeline.
        wire.send(run("BEGIN"), run(CHANGE.format("x")), run("COMMIT"), S)
        assert wire.words()[-2:] == ["E:HP001", "ZE"]
        wire.query("ROLLBACK")
        wire.send(run(CHANGE.format("x")), run("COMMIT"), S)
        assert wire.words()[-2:] == ["E:HP001", "ZI"]
    assert changed(gate) == 0


def test_a_portal_in_pieces_is_counted_whole(gate: Gate) -> None:
    text = CHANGE.format("s") + " RETURNING id"
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        wire.send(P(text, "u"), B("u", portal="p"), D("p", 0x50), E("p", 2), E("p", 2), S)
        words = " ".join(wire.words())
        assert words.endswith("E:HP001 ZE")
        assert " s " not in words
        wire.query("ROLLBACK")
        few = FEW.format("s") + " RETURNING id"
        wire.send(P(few, "f"), B("f", portal="q"), E("q", 2), E("q", 2), S)
        assert " ".join(wire.words()) == "1 2 D:1 D:2 s D:3 C:UPDATE 1 ZI"
    assert changed(gate) == 3


def test_a_failing_bind_before_a_bounded_execute(gate: Gate) -> None:
    text = "UPDATE lies SET status = 'x' WHERE id < $1"
    with gate.raw("write") as wire:
        assert wire.ask(P(text, "u"), S) == "1 ZI"
        # Formats that the result does not have: the server finds out, the probe does not.
        assert wire.ask(P(f"{text} RETURNING id", "r"), S) == "1 ZI"
        odd = messages.bind(b"", b"r", [b"5"], result_formats=[0, 0, 0])
        assert wire.ask(odd, E(), S) == "E:08P01 ZI"
        assert wire.ask(B("u", "5"), E(), S) == "2 C:UPDATE 4 ZI"
        assert wire.ask(B("u", "5000"), E(), S) == "2 E:HP001 ZI"
        wire.send(*(B("u", str(n)) + E() for n in range(2, 12)), S)
        assert " ".join(wire.words()).endswith("2 C:UPDATE 10 ZI")
    assert changed(gate) == 10


def test_a_query_that_is_not_synced_with_what_came_before_it_is_refused(gate: Gate) -> None:
    with gate.raw("write") as wire:
        wire.send(run("BEGIN"), Q(CHANGE.format("u")))
        assert wire.words()[-2:] == ["E:0A000", "ZE"]
        wire.query("ROLLBACK")
    assert changed(gate) == 0


def test_a_late_answer_does_not_stand_for_what_was_not_synced(gate: Gate) -> None:
    slow = "SELECT count(*) FROM generate_series(1, 1000000)"
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        wire.send(Q(slow), run("COMMIT"), Q(CHANGE.format("late")))
        assert wire.words(2)[-2:] == ["E:0A000", "ZI"]
        # What only prepares neither begins nor ends a transaction; asyncpg sends it so.
        wire.send(P("SELECT 1", "s"), D("s"), H, Q(FEW.format("late")))
        assert wire.words()[-2:] == ["C:UPDATE 3", "ZI"]
    assert changed(gate) == 3


def test_a_name_of_the_gates_own_that_the_agent_has_taken(gate: Gate) -> None:
    with gate.raw("write") as wire:
        assert wire.ask(P("SELECT 0", "holdpoint count"), S) == "1 ZI"
        assert wire.ask(run(FEW.format("n")), S) == "1 2 E:42P05 ZI"
        assert wire.query(CHANGE.format("n")) == "E:HP001 ZI"
    assert changed(gate) == 0


# --- what no command tag counts -------------------------------------------------------------------

LIARS = {
    "a data-modifying CTE under SELECT": (
        "WITH gone AS (DELETE FROM lies WHERE status = 'new' RETURNING id)"
        " SELECT count(*) FROM gone"
    ),
    "a CTE beside a small write": (
        "WITH gone AS (DELETE FROM lies WHERE status = 'new') INSERT INTO shadow VALUES (1)"
    ),
    "rows from a function": (
        "INSERT INTO shadow SELECT g FROM generate_series(1, (SELECT 4000)) AS g"
    ),
    "ON CONFLICT": (
        "INSERT INTO kids SELECT id, 1 FROM lies WHERE status = 'new' AND id > 0"
        " ON CONFLICT (id) DO UPDATE SET n = 1"
    ),
    "MERGE": (
        "MERGE INTO lies AS l USING lies AS s ON l.id = s.id AND s.id > 0 AND s.status = 'new'"
        " WHEN MATCHED AND s.id > 0 THEN UPDATE SET status = 'x'"
    ),
    "EXPLAIN ANALYZE": f"EXPLAIN ANALYZE {CHANGE}",
    "a filter that picks nobody knows what": (
        "UPDATE lies SET status = 'x' WHERE random() >= 0 AND id >= 0 AND status = 'new'"
    ),
}


@pytest.mark.parametrize("text", LIARS.values(), ids=LIARS)
def test_no_way_to_write_it_leaves_more_rows(
    each_gate: Gate, text: str, direct_of: psycopg.Connection
) -> None:
    direct_of.execute("CREATE TABLE kids (id int PRIMARY KEY, n int)")
    with each_gate.raw("write") as wire:
        for answer in (wire.query(text), wire.ask(run(text), S)):
            assert "E:" in answer
            assert answer.endswith("ZI")
    assert changed(each_gate) == 0
    assert direct_of.execute("SELECT count(*) FROM kids").fetchone() == (0,)


@pytest.fixture
def direct_of(each_gate: Gate) -> Iterator[psycopg.Connection]:
    """A connection past the gate to each version."""
    with psycopg.connect(each_gate.direct, autocommit=True) as connection:
        yield connection


TRIGGER = """
CREATE OR REPLACE FUNCTION multiply() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO shadow SELECT generate_series(1, 800); RETURN NULL; END $$;
CREATE TRIGGER multiply AFTER UPDATE ON lies FOR EACH ROW EXECUTE FUNCTION multiply();
"""


def test_rows_that_a_trigger_changes_count(each_gate: Gate, direct_of: psycopg.Connection) -> None:
    direct_of.execute(TRIGGER.encode())
    with each_gate.raw("write") as wire:
        assert "E:HP001" in wire.query(FEW.format("trigger"))
        assert "E:HP001" in wire.ask(run(FEW.format("trigger e")), S)
    assert changed(each_gate) == 0


def test_rows_that_a_deferred_trigger_changes_count(
    each_gate: Gate, direct_of: psycopg.Connection
) -> None:
    late = TRIGGER.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER").replace(
        "FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"
    )
    direct_of.execute(late.encode())
    with each_gate.raw("write") as wire:
        assert "E:HP001" in wire.query(FEW.format("deferred"))
        assert "changed 2,400 rows" in wire.errors[-1]["M"]
    assert changed(each_gate) == 0


def test_rows_that_a_foreign_key_changes_count(
    each_gate: Gate, direct_of: psycopg.Connection
) -> None:
    direct_of.execute(
        "CREATE TABLE parts (id int PRIMARY KEY);"
        "CREATE TABLE kids (part int REFERENCES parts ON DELETE CASCADE);"
        "INSERT INTO parts SELECT generate_series(1, 3);"
        "INSERT INTO kids VALUES (1); ANALYZE parts; ANALYZE kids;"
        "ALTER TABLE kids SET (autovacuum_enabled = false);"
        "INSERT INTO kids SELECT 1 + g % 3 FROM generate_series(2, 3000) AS g"
    )
    with each_gate.raw("write") as wire:
        assert "E:HP001" in wire.query("DELETE FROM parts WHERE id < 3")
        assert "changed 2,000 rows" in wire.errors[-1]["M"]
        assert "C:DELETE 0" in wire.query("DELETE FROM parts WHERE id > 3")
    assert direct_of.execute("SELECT count(*) FROM kids").fetchone() == (3000,)


# --- portals that an error leaves behind ----------------------------------------------------------


def test_a_portal_that_could_not_be_counted_never_runs_uncounted(gate: Gate) -> None:
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        assert wire.ask(P("SELECT 0", "holdpoint count"), S) == "1 ZT"
        text = CHANGE.format("portal") + " RETURNING id"
        assert wire.ask(P(text, "u"), B("u", portal="p"), S) == "1 2 ZT"
        wire.query("SAVEPOINT s")
        assert wire.ask(E("p"), S) == "E:42P05 ZE"
        # The portal is older than the savepoint, so going back there brings it back.
        wire.query("ROLLBACK TO s")
        assert wire.ask(E("p"), S) == "E:34000 ZE"
        wire.query("ROLLBACK TO s")
        assert wire.query("FETCH ALL FROM p") == "E:HP001 ZE"
        wire.query("ROLLBACK TO s")
        wire.query("COMMIT")
    assert changed(gate) == 0


def test_a_portal_whose_execute_was_skipped_never_runs_unseen(gate: Gate) -> None:
    with gate.raw("write") as wire:
        wire.query("BEGIN")
        text = "INSERT INTO shadow VALUES (1) RETURNING id"
        assert wire.ask(P(text, "i"), B("i", portal="p"), S) == "1 2 ZT"
        wire.query("SAVEPOINT s")
        wire.send(P("SELECT nothing"), E("p"), S)
        assert wire.words() == ["E:42703", "ZE"]
        wire.query("ROLLBACK TO s")
        assert wire.ask(E("p"), S) == "E:34000 ZE"
        wire.query("ROLLBACK TO s")
        since = gate.length()
        wire.query("FETCH ALL FROM p")
        wire.query("COMMIT")
    kinds = [kind for kind, _ in gate.trail(since) if kind.startswith("statement")]
    assert kinds, "FETCH is judged and recorded as what it runs"


def test_tables_are_counted_one_by_one_as_policy_does(
    each_gate: Gate, direct_of: psycopg.Connection
) -> None:
    direct_of.execute(TRIGGER.replace("1, 800", "1, 1").encode())
    own = "UPDATE lies SET status = 'x' WHERE id <= 700"
    both = "WITH more AS (UPDATE lies SET status = 'y' WHERE id <= 700) INSERT INTO kids"
    direct_of.execute("CREATE TABLE kids (id int)")
    with each_gate.raw("write") as wire:
        assert wire.query(own) == "C:UPDATE 700 ZI"
        # Several tables that the text itself writes count together.
        assert "E:HP001" in wire.query(f"{both} SELECT id FROM lies WHERE id <= 400")
        assert "changed 1,800 rows" in wire.errors[-1]["M"]
    assert changed(each_gate) == 700 + 700


def test_partitions_count_as_the_table_they_are(
    each_gate: Gate, direct_of: psycopg.Connection
) -> None:
    direct_of.execute(
        "CREATE TABLE parts (id int, n int) PARTITION BY RANGE (id);"
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (800)"
        " WITH (autovacuum_enabled = false);"
        "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (800) TO (2000)"
        " WITH (autovacuum_enabled = false);"
        "INSERT INTO parts VALUES (1, 0), (801, 0); ANALYZE parts;"
        "INSERT INTO parts SELECT g, 0 FROM generate_series(1, 1598) AS g"
    )
    with each_gate.raw("write") as wire:
        assert "E:HP001" in wire.query("UPDATE parts SET n = 1 WHERE n = 0 AND id <> 801")
        assert "parts` changed 1,598 rows" in wire.errors[-1]["M"]
        assert wire.query("UPDATE parts SET n = 1 WHERE id = 5") == "C:UPDATE 1 ZI"
    assert direct_of.execute("SELECT sum(n) FROM parts").fetchone() == (1,)


def look_again(gate: Gate) -> None:
    """Have the gate read the catalog anew: a definition passes through it."""
    text = "COMMENT ON TABLE shadow IS 'seen'"
    with gate.raw("owner") as wire:
        wire.query(text)
        gate.answer(gate.opened(text))
        assert wire.query(text) == "C:COMMENT ZI"


# --- what needs no count --------------------------------------------------------------------------


def test_what_is_proven_runs_untouched_unless_it_sets_something_off(
    each_gate: Gate, direct_of: psycopg.Connection
) -> None:
    since = each_gate.length()
    literal = "INSERT INTO shadow VALUES (1), (2)"
    point = "UPDATE orders SET status = 'x' WHERE id = 7"
    with each_gate.raw("write") as wire:
        assert wire.query(literal) == "C:INSERT 0 2 ZI"
        assert wire.query(point) == "C:UPDATE 1 ZI"
        assert wire.ask(run(point), S) == "1 2 C:UPDATE 1 ZI"
    each_gate.quiet()
    for text in (literal, point):
        assert "changed" not in each_gate.outcome_of(text, since)
    direct_of.execute(TRIGGER.replace("ON lies", "ON orders").encode())
    look_again(each_gate)
    point = "UPDATE orders SET status = 'x' WHERE id = 8"
    with each_gate.raw("write") as wire:
        assert wire.query(point) == "C:UPDATE 1 ZI"
    each_gate.quiet()
    assert each_gate.outcome_of(point, since)["changed"] == 800
    direct_of.execute("DROP TRIGGER multiply ON orders")
