"""What the gate says to a submission."""

from enum import IntEnum


class Verdict(IntEnum):
    """``ALLOW < HOLD < DENY``; verdicts combine only by ``max``."""

    ALLOW = 0
    HOLD = 1
    DENY = 2
