"""Small configurations of one tier, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdpoint.config import Config, ConfigError, parse
from holdpoint.model.target import Target, Tier

HEAD = '[targets.shop.tiers.t]\naccess = "{access}"\nurl = "env:SHOP_URL"\n'
"""The lines of a tier come behind it: the first of them is line 4."""


def config_of(lines: str, access: str = "read-only") -> Config:
    """The configuration of one tier with more lines."""
    return parse(HEAD.format(access=access) + lines, file="h.toml", base=Path("/srv"))


def target_of(lines: str, access: str = "read-only") -> Target:
    """The one target of that configuration."""
    (target,) = config_of(lines, access).targets
    return target


def tier_of(lines: str, access: str = "read-only") -> Tier:
    """The one tier of that configuration."""
    (tier,) = target_of(lines, access).tiers
    return tier


def problems_of(lines: str, access: str = "read-only") -> list[str]:
    """Everything that is wrong with that configuration."""
    with pytest.raises(ConfigError) as caught:
        config_of(lines, access)
    return [str(problem) for problem in caught.value.problems]


def problem_of(lines: str, access: str = "read-only") -> str:
    """The one thing that is wrong with it."""
    found = problems_of(lines, access)
    assert len(found) == 1, found
    return found[0]
