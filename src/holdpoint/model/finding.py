"""One reason, in the one shape that every door translates into its own protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason for a verdict.

    ``code`` is ``HP`` and four digits and never changes meaning; its page is
    ``docs/hazards/<code>.md``. Messages start in lower case, put user text in backticks and give
    numbers with their basis.
    """

    code: str
    message: str
    detail: str = ""
    hint: str = ""
