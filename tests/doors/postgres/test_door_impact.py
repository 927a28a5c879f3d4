"""Figures on their way through a whole gate: what is counted, shown to people, told to agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import psycopg
import pytest
from door_support import Gate

from holdpoint.config import load
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.hold import HoldState
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE invoices (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE CASCADE);
INSERT INTO customers SELECT g, CASE WHEN g % 2 = 0 THEN 'x' ELSE 'name ' || g END
  FROM generate_series(1, 4000) AS g;
INSERT INTO invoices SELECT g * 10 + k, g
  FROM generate_series(1, 4000) AS g, generate_series(0, 2) AS k;
CREATE INDEX ON invoices (customer_id);
ANALYZE;
"""


@pytest.fixture(scope="module")
def gate(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate whose target counts rows and asks what reads cost."""
    folder = tmp_path_factory.mktemp("counting")
    with fresh_database(postgres18, SCRIPT) as name:
        made = Gate.at(folder, postgres18.url(database=name), wait="1s")
        path = folder / "holdpoint.toml"
        wary = "[targets.shop]\nexact_rows = '20s'\nread_cost_over = 50\n"
        path.write_text(path.read_text().replace("[targets.shop]\n", wary))
        made = replace(made, config=load(path))
        with made as running:
            yield running


def refused(client: psycopg.Connection, text: str) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as caught:
        client.execute(text.encode())
    return caught.value.diag


def test_a_write_is_judged_by_its_count(gate: Gate) -> None:
    with gate.connect("write", autocommit=True) as client:
        # The planner takes half of the rows for as many as 'x'; three in a hundred are few.
        done = client.execute("UPDATE customers SET name = name WHERE id % 40 = 0")
        assert done.rowcount == 100
        said = refused(client, "DELETE FROM customers WHERE name = 'x'")
    assert said.message_primary == (
        "held for approval: DELETE on `customers` changes 2,000 rows (exact), "
        "and foreign keys change 6,000 rows (exact) of `public.invoices`"
    )
    hold = gate.holds(HoldState.OPEN)[0]
    impact = orjson.loads(hold.case_json)["impact"]
    assert impact["rows"] == {"value": 2000, "basis": "exact", "why": ""}
    (cascade,) = impact["cascades"]
    assert cascade["rows"] == {"value": 6000, "basis": "exact", "why": ""}
    assert impact["words"][:2] == [
        "removes 2,000 rows (counted) of `customers`, 50% of the table",
        "by cascade it removes 6,000 rows of `invoices`",
    ]
    assert "6,000 rows of `invoices`" in (said.message_detail or "")


def test_reads_are_planned_first_where_a_target_asks(gate: Gate) -> None:
    with gate.connect("write", autocommit=True) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
        assert client.execute("SELECT name FROM customers WHERE id = 1").fetchone() == ("name 1",)
        said = refused(client, "SELECT * FROM customers AS a, invoices AS b WHERE a.id <> b.id")
        assert "planner expects" in (said.message_primary or "")
        said = refused(client, "COPY customers TO STDOUT")
        assert "not known" in (said.message_primary or "")
    read = orjson.loads(gate.holds(HoldState.OPEN)[1].case_json)["impact"]["read"]
    assert read["cost"] > 50
    assert read["basis"] == "estimate"
    assert any("Nested Loop" in line for line in read["plan"])


def test_another_agent_at_the_table_is_named(gate: Gate) -> None:
    with gate.connect("write", user="gpt", autocommit=True) as other:
        other.execute("UPDATE invoices SET customer_id = customer_id WHERE id = 10")
    with gate.connect("write", autocommit=True) as client:
        refused(client, "DELETE FROM invoices WHERE id > 20")
    impact = orjson.loads(gate.holds(HoldState.OPEN)[0].case_json)["impact"]
    agents = [user for user in impact["users"] if user["kind"] == "agent"]
    assert [(user["name"], user["table"]) for user in agents] == [("gpt", "public.invoices")]
    assert agents[0]["detail"].startswith("1 statement lately")
