"""What a task was given counts when its statements are decided again."""

from __future__ import annotations

import pytest

from holdpoint.access.history import Ending, Said
from holdpoint.access.replay.replay import Outcome, Replay
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.policy.compile import compile_policy

WRITE = Tier(
    name="write",
    access=AccessLevel.READ_WRITE,
    url_source="",
    allowances=(Allowance(agents=("somebody-else",)),),
)
SHOP = Target(name="shop", tiers=(WRITE,))


@pytest.mark.parametrize(
    ("task", "given", "now"),
    [
        ("t-1", ("shop/write",), Outcome.ALLOWED),
        ("t-1", ("shop/owner",), Outcome.REFUSED),
        ("t-1", (), Outcome.REFUSED),
        ("t-1", None, Outcome.UNSURE),  # a record of before this was written
        ("", (), Outcome.REFUSED),
    ],
)
def test_a_tier_that_was_given_is_open_to_its_task(
    task: str, given: tuple[str, ...] | None, now: Outcome
) -> None:
    replay = Replay(policy=compile_policy((), (SHOP,)), targets=(SHOP,), catalogs={})
    said = Said(
        seq=1,
        at_us=1,
        session="s-1",
        agent="robin",
        task=task,
        given=given,
        target="shop",
        tier="write",
        text="SELECT 1",
        ending=Ending.RAN,
    )
    replayed = replay.take(said)
    assert replayed is not None
    assert replayed.now is now
