"""`holdpoint check --jsonl --url` over the whole corpus, as an agent's tier would judge it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from corpus_cases import Case, cases
from corpus_server import Databases

HELD_SHARE_MAX = 0.02  # of what is harmless, under the read-write tier

# Families whose writes set off more writes, of a number that nobody knows before.
SETTING_OFF = ("do_blocks", "expressions", "triggers", "rules", "views")

# Each line is judged in a session of its own that has just connected.
CASES = [
    case
    for case in cases()
    if case.database == "shop" and not (case.before or case.setup or case.parameters)
]


def plain(case: Case) -> bool:
    """Whether a person would call it harmless: a read, or a write that is what it looks like."""
    if case.opaque or not case.harmless:
        return False
    return not case.harmful or not (case.catalog or case.limit or case.family in SETTING_OFF)


def verdicts(url: str, tier: str) -> dict[str, dict[str, Any]]:
    lines = "".join(json.dumps({"id": case.id, "sql": case.sql}) + "\n" for case in CASES)
    done = subprocess.run(
        [sys.executable, "-m", "holdpoint", "check", "--jsonl", "--tier", tier, "--url", url],
        input=lines,
        capture_output=True,
        text=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [case.id for case in CASES], done.stderr
    return {answer["id"]: answer for answer in answers}


@pytest.fixture(scope="module")
def answers(databases18: Databases) -> dict[str, dict[str, Any]]:
    return verdicts(databases18["shop"].url("agent"), "read-write")


def words(case: Case, answer: dict[str, Any]) -> str:
    finding = answer["findings"][0] if answer["findings"] else {"code": "", "message": ""}
    return f"{answer['verdict']} {case.id}: {finding['code']} {finding['message']}"


def test_no_harmful_statement_is_allowed(answers: dict[str, dict[str, Any]]) -> None:
    harmful = [case for case in CASES if not case.harmless]
    allowed = [
        words(case, answers[case.id])
        for case in harmful
        if answers[case.id]["verdict"] == "allow" and not case.known_gap
    ]
    print(f"{len(harmful)} harmful; allowed: {allowed}")
    assert not allowed


@pytest.mark.xfail(reason="COPY FROM, NOTIFY, VACUUM, ANALYZE: rows unknown, so they are held")
def test_few_harmless_statements_are_held(answers: dict[str, dict[str, Any]]) -> None:
    harmless = [case for case in CASES if plain(case)]
    stopped = [
        words(case, answers[case.id]) for case in harmless if answers[case.id]["verdict"] != "allow"
    ]
    print(f"{len(harmless)} harmless; held or denied: {len(stopped)}", *stopped, sep="\n  ")
    assert len(stopped) <= HELD_SHARE_MAX * len(harmless)


def test_a_read_only_tier_gives_reads_only(databases18: Databases) -> None:
    found = verdicts(databases18["shop"].url("agent"), "read-only")
    writing = [case for case in CASES if case.harmful and not case.known_gap]
    assert not [case.id for case in writing if found[case.id]["verdict"] == "allow"]
