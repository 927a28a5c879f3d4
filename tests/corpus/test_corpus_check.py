"""`holdpoint check --jsonl --url` over the whole corpus, as an agent's tier would judge it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from corpus_cases import Case, cases
from corpus_server import Databases

from holdpoint.model.effects import Effect

COLUMNS = (
    Effect.READ,
    Effect.WRITE,
    Effect.BULK_WRITE,
    Effect.DDL,
    Effect.DESTRUCTIVE,
    Effect.PRIVILEGE,
    Effect.SERVER_SIDE,
    Effect.SESSION_ESCAPE,
    Effect.EXHAUSTION,
)
HELD_SHARE_MAX = 0.02  # of what is harmless, under the read-write tier

ORDER = ("allow", "hold", "deny")
# The design's table of access levels: what each makes, at least, of an effect. Schema changes are
# held in production, whose business hours are always when none are given.
LEAST = {
    level: dict(zip(COLUMNS, row.split(), strict=True))
    for level, row in {
        "read-only": "allow deny deny deny deny deny deny deny hold",
        "read-write": "allow allow hold deny deny deny deny deny hold",
        "full-no-drop": "allow allow hold hold deny deny deny deny hold",
        "owner": "allow allow hold hold hold hold hold hold hold",
    }.items()
}
Answers = dict[str, dict[str, dict[str, Any]]]

# Families whose writes set off more writes, of a number that nobody knows before.
SETTING_OFF = (
    "detours",
    "do_blocks",
    "expressions",
    "odd_places",
    "plpgsql",
    "rules",
    "triggers",
    "views",
)

# Each line is judged in a session of its own that has just connected.
CASES = [
    case
    for case in cases()
    if case.database == "shop" and not (case.before or case.setup or case.parameters)
]


def least(case: Case, level: str) -> str:
    """The least verdict that a level owes a case."""
    if case.opaque:  # nobody knows what it does: people decide
        return "hold"
    return max((LEAST[level][effect] for effect in case.effects), key=ORDER.index)


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
def answers(databases18: Databases) -> Answers:
    """What each access level makes of each case."""
    url = databases18["shop"].url("agent")
    return {level: verdicts(url, level) for level in LEAST}


def words(case: Case, answer: dict[str, Any]) -> str:
    finding = answer["findings"][0] if answer["findings"] else {"code": "", "message": ""}
    return f"{answer['verdict']} {case.id}: {finding['code']} {finding['message']}"


def test_no_harmful_statement_is_allowed(answers: Answers) -> None:
    harmful = [case for case in CASES if not case.harmless]
    allowed = [
        words(case, answers["read-write"][case.id])
        for case in harmful
        if answers["read-write"][case.id]["verdict"] == "allow" and not case.known_gap
    ]
    print(f"{len(harmful)} harmful; allowed: {allowed}")
    assert not allowed


def test_few_harmless_statements_are_held(answers: Answers) -> None:
    harmless = [case for case in CASES if plain(case)]
    found = answers["read-write"]
    stopped = [words(c, found[c.id]) for c in harmless if found[c.id]["verdict"] != "allow"]
    print(f"{len(harmless)} harmless; held or denied: {len(stopped)}", *stopped, sep="\n  ")
    assert len(stopped) <= HELD_SHARE_MAX * len(harmless)


@pytest.mark.parametrize("level", LEAST)
def test_no_level_gives_more_than_it_should(level: str, answers: Answers) -> None:
    """The verdict is at least what the level says to the worst of what the statement truly does."""
    found = answers[level]
    given = [
        f"{least(case, level)} is due: {words(case, found[case.id])}"
        for case in CASES
        if not case.known_gap
        and ORDER.index(found[case.id]["verdict"]) < ORDER.index(least(case, level))
    ]
    assert not given


@pytest.mark.parametrize("level", LEAST)
def test_reads_are_allowed_on_every_level(level: str, answers: Answers) -> None:
    found = answers[level]
    reads = [case for case in CASES if case.effects == {Effect.READ} and plain(case)]
    stopped = [words(c, found[c.id]) for c in reads if found[c.id]["verdict"] != "allow"]
    assert len(stopped) <= HELD_SHARE_MAX * len(reads), stopped
