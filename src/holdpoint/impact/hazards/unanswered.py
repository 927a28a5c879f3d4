"""HP1011: a question about the impact has no answer."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact

CODE: Final = "HP1011"
TITLE: Final = "a question about the impact has no answer"
EXAMPLES_HIT: Final = (Impact(failed=("the plan: the probe took longer than 500 ms",)),)
EXAMPLES_MISS: Final = (Impact(),)


def describe(impact: Impact) -> tuple[Finding, ...]:
    """One finding for each question that the database did not answer."""
    return tuple(
        Finding(
            code=CODE,
            message=f"not found out: {clip(words)}",
            hint="read the other figures as a lower bound, or look for yourself",
        )
        for words in impact.failed
    )
