"""Who approves when an agent asks for a tier."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdpoint.config import Config, ConfigError, parse
from holdpoint.model.decision import ApprovalNeed, Quorum

TEXT = """
[groups]
dba = ["anna", "dora"]
[holds]
approve = { expires = "20min" }
[targets.shop.tiers.write]
access = "read-write"
url = "env:URL"
[targets.shop.tiers.owner]
access = "owner"
url = "env:URL"
approve = { all = [{ group = "dba", count = 2 }] }
"""


def read(text: str) -> Config:
    return parse(text, base=Path("/"))


def test_a_tier_may_ask_for_more_people_than_holds_do() -> None:
    (shop,) = read(TEXT).targets
    needs = {tier.name: tier.need for tier in shop.tiers}
    assert needs["write"] is None
    assert needs["owner"] == ApprovalNeed(all_of=(Quorum(group="dba", count=2),), expires_s=1200)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('group = "dbas"', "unknown group `dbas`"),
        ('group = "dba", count = 3', "has 2 people"),
        ('grup = "dba"', "grup"),
    ],
)
def test_a_need_that_nobody_could_meet_is_a_problem_with_its_place(wrong: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(TEXT.replace('group = "dba", count = 2', wrong))
    (problem,) = error.value.problems
    assert words in problem.message
    assert problem.place.startswith("targets.shop.tiers.owner.approve")
    assert problem.line == 12
