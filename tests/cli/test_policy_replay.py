"""``holdpoint policy replay`` over trails that are empty, old, edited or out of order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from trail_maker import SECOND_US, Trail, config_at

from holdpoint.cli import main

UPDATE = "UPDATE orders SET status = 'x' WHERE id = 1"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    return Trail(tmp_path / "trail.db")


def _run(trail: Trail, *arguments: str, more: str = "") -> Result:
    config = config_at(trail.path.parent, NOWHERE, more)
    words = ["policy", "replay", "--since", "2000-01-01", "--config", str(config)]
    return CliRunner().invoke(main, [*words, "--store", str(trail.path), *arguments])


def _document(trail: Trail, code: int = 0, more: str = "") -> dict[str, Any]:
    done = _run(trail, "--json", more=more)
    assert done.exit_code == code, done.output
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def _left_out(document: dict[str, Any]) -> list[str]:
    return [each["why"] for each in document["left_out"]]


def test_an_empty_trail(trail: Trail) -> None:
    found = _document(trail)
    assert found["statements"] == 0
    assert found["notes"] == [
        "no statement ran in that time for the target, tier and agent asked about"
    ]


def test_no_store(tmp_path: Path, trail: Trail) -> None:
    trail.path = tmp_path / "elsewhere.db"
    assert _run(trail).exit_code == 3


def test_a_period_without_statements(trail: Trail) -> None:
    trail.ran(UPDATE)
    done = _run(trail, "--since", "2040-01-01")
    assert done.exit_code == 0
    assert "no statement ran in that time" in done.output


def test_what_the_new_thresholds_hold(trail: Trail) -> None:
    number = trail.ran(UPDATE)
    assert _document(trail)["changed"] == 0
    found = _document(trail, 1, "[policy]\nwrite_rows_max = 2\n")
    [change] = found["changes"]
    assert (change["then"], change["now"]) == ("allowed", "held")
    assert change["examples"] == [{"record": number, "text": UPDATE}]


def test_a_tier_that_is_gone_refuses(trail: Trail) -> None:
    trail.ran(UPDATE, tier="admin")
    [change] = _document(trail, 1)["changes"]
    assert (change["now"], change["rules"]["HP8013"]) == ("refused", 1)


def test_a_record_of_an_older_version_is_left_out(trail: Trail) -> None:
    trail.ran(UPDATE, impact={"rows": 3})
    trail.ran(UPDATE, statements="?")
    trail.ran(UPDATE)
    found = _document(trail)
    assert found["matrix"] == [
        {"then": "allowed", "now": "allowed", "statements": 1},
        {"then": "allowed", "now": "cannot be replayed", "statements": 2},
    ]
    assert _left_out(found) == ["its record is not as this version writes them"]


def test_an_effect_of_a_newer_version_holds(trail: Trail) -> None:
    statement = {"tag": "NEW", "effects": ["teleport"], "objects": [], "unknowns": []}
    trail.ran("SELECT 1", effects=["teleport"], statements=[statement])
    [change] = _document(trail, 1)["changes"]
    assert change["now"] == "held"


def test_redacted_texts_are_left_out(trail: Trail) -> None:
    trail.ran("ALTER ROLE app PASSWORD '[redacted]'")
    assert _left_out(_document(trail)) == ["its text was redacted"]


def test_an_edited_record_is_told(trail: Trail) -> None:
    trail.ran(UPDATE)
    number = trail.ran(UPDATE)
    trail.spoil(number, '"x"', '"y"')
    trail.spoil(number, "'x'", "'y'")
    found = _document(trail, 5)
    assert found["notes"] == [
        f"the trail is broken at record {number}: what follows may have been edited; run "
        "`holdpoint audit verify`"
    ]


def test_a_record_that_is_no_json_is_passed_over(trail: Trail) -> None:
    number = trail.ran(UPDATE)
    trail.ran(UPDATE)
    trail.spoil(number, "{", "")
    found = _document(trail, 5)
    assert found["statements"] == 1
    assert "1 record cannot be read: left out" in found["notes"]


def test_a_clock_that_was_set_back(trail: Trail) -> None:
    trail.ran(UPDATE)
    trail.at_us -= 3 * 86_400 * SECOND_US
    trail.ran(UPDATE)
    found = _document(trail)
    assert found["notes"] == ["the clock was set back once: each record counts by its own time"]
    assert len(found["days"]) == 2


def test_the_hour_of_the_record_decides(trail: Trail) -> None:
    trail.ran(UPDATE)  # a Saturday
    rule = """
[[rules]]
id = "weekdays"
when = { effect = ["write"], business_hours = false }
then = "deny"
reason = "only while people are here"
"""
    hours = 'business_hours = "Mon-Fri 08:00-18:00"\n'
    config = config_at(trail.path.parent, NOWHERE)
    config.write_text(
        config.read_text().replace("[targets.shop]\n", f"[targets.shop]\n{hours}") + rule
    )
    words = ["policy", "replay", "--since", "2000-01-01", "--config", str(config), "--json"]
    done = CliRunner().invoke(main, [*words, "--store", str(trail.path)])
    [change] = orjson.loads(done.stdout)["changes"]
    assert change["rules"]["weekdays"] == 1


def test_names_without_a_schema_when_the_database_is_away(trail: Trail) -> None:
    objects = [{"name": "orders", "kind": "relation", "access": "write"}]
    statement = {"tag": "UPDATE", "effects": ["read", "write"], "objects": objects, "unknowns": []}
    trail.ran(UPDATE, statements=[statement])
    found = _document(trail, 0, 'grants = { "orders" = ["select", "update"] }\n')
    assert "names without a schema are taken for ones in `public`" in found["notes"][0]
    found = _document(trail, 1, 'grants = { "other.orders" = ["select", "update"] }\n')
    assert found["changes"][0]["rules"] == {"grants": 1}


def test_tables_that_the_record_does_not_tell_are_not_assumed(trail: Trail) -> None:
    objects = [{"name": "orders", "kind": "relation", "access": "read"}]
    statement = {"tag": "EXECUTE", "effects": ["read"], "objects": objects, "unknowns": []}
    trail.ran("EXECUTE prepared(1)", effects=["read"], statements=[statement])
    found = _document(trail, 0, 'grants = { "customers" = ["select"] }\n')
    assert [each["why"] for each in found["unsure"]] == ["which tables it uses was not recorded"]


def test_an_unwritable_picture(trail: Trail, tmp_path: Path) -> None:
    trail.ran(UPDATE)
    done = _run(trail, "--plot", str(tmp_path / "none" / "replay.svg"))
    assert done.exit_code == 2
    assert "cannot write" in done.output
