"""A key that is missing does not hide what is wrong beside it."""

from pathlib import Path

import pytest

from holdpoint.config import ConfigError, parse


def test_a_missing_key_does_not_hide_its_neighbours() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[targets.shop.tiers.r]\naccess = 'reed-only'\n", file="h.toml", base=Path("/x"))
    words = [problem.message for problem in caught.value.problems]
    assert "`url` is missing" in words
    assert "unknown access level `reed-only`" in words
