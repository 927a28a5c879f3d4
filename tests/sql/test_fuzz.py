"""Any text gives a reading: never another exception, never an effect-free unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.impact.hazards import HAZARDS, findings_of
from holdpoint.model.effects import Effect, Reading, SessionView
from holdpoint.sql import read

SAMPLES = [text for hazard in HAZARDS for text in hazard.EXAMPLES_HIT if len(text) < 500]
_TEXT = """
    SELECT INSERT UPDATE DELETE MERGE INTO FROM WHERE SET VALUES WITH RECURSIVE AS ( ) , ; * = 1 'x'
    "q" $1 a b.c t UNION ALL JOIN ON USING EXPLAIN ANALYZE PREPARE EXECUTE p DECLARE CURSOR FOR
    FETCH CREATE TABLE DROP ALTER ADD COLUMN int DO $$x$$ CALL f() COPY TO STDOUT PROGRAM BEGIN
    COMMIT READ WRITE NOT NULL IS IN EXISTS OR AND true RETURNING set_config('a', 'b', true)
    GRANT REVOKE ROLE RESET pg_sleep(1) ::text OPERATOR(s.+) CASE WHEN THEN END [ ] -- /* */ E'\\'
"""
WORDS = _TEXT.split()


def assert_whole(reading: Reading) -> None:
    """What holds for every reading."""
    assert reading.effects
    unknown = Effect.UNKNOWN in reading.effects
    assert unknown == bool(reading.unknowns)
    assert (reading.problem is None) or (unknown and not reading.statements)
    for statement in reading.statements:
        assert statement.tag
        assert statement.effects
        assert statement.effects <= reading.effects
        assert (Effect.UNKNOWN in statement.effects) == bool(statement.unknowns)
        hash(statement)
    findings = findings_of(reading)
    if unknown or reading.problem:
        assert findings, "what is unknown has a finding that says so"
    for finding in findings:
        assert finding.message
        assert finding.hint


@given(st.text())
def test_any_text(text: str) -> None:
    assert_whole(read(text))


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
@settings(max_examples=600)
def test_any_words_of_sql(text: str) -> None:
    assert_whole(read(text))


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300)
def test_statements_with_something_put_in(sample: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(sample)))
    extra = data.draw(st.sampled_from(WORDS) | st.text(max_size=5))
    assert_whole(read(sample[:at] + extra + sample[at:]))


@given(st.text(max_size=30), st.booleans(), st.sampled_from(["UTF8", "LATIN1", "SQL_ASCII", ""]))
def test_any_session(text: str, conforming: bool, encoding: str) -> None:
    view = SessionView(standard_conforming_strings=conforming, encoding=encoding)
    assert_whole(read(f"SELECT '{text}'", session=view))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda text: text[:40])
def test_every_prefix_of_a_statement(sample: str) -> None:
    for end in range(len(sample) + 1):
        assert_whole(read(sample[:end]))


@given(st.sampled_from(SAMPLES), st.sampled_from(SAMPLES))
def test_two_statements_do_what_each_does(first: str, second: str) -> None:
    alone = [read(first), read(second)]
    if not any(reading.problem for reading in alone) and "EXECUTE" not in second:
        together = read(f"{first};\n{second}")
        assert alone[0].effects | alone[1].effects == together.effects
