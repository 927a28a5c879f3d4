"""How findings quote what users wrote."""

from holdpoint.model.impact import Basis, Figure
from holdpoint.model.limits import FINDING_QUOTE_CHARS_MAX


def clip(text: str) -> str:
    """User text for a message: one line, no backticks of its own, not longer than it helps.

    What does not print (escape sequences, marks that turn the direction of text) becomes ``?``:
    people decide by what they see.
    """
    line = " ".join(text.replace("`", "'").split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "?" for character in line)
    if len(line) > FINDING_QUOTE_CHARS_MAX:
        line = line[:FINDING_QUOTE_CHARS_MAX] + "..."
    return line


def more(detail: str) -> str:
    """What a mark adds to its subject, for the end of a message: nothing, or a colon and words."""
    return f": {clip(detail)}" if detail else ""


def about(figure: Figure, what: str) -> str:
    """A figure with its basis: ``48,211 rows``, ``about 48,211 rows``, ``an unknown number of``."""
    if figure.value is None:
        return f"an unknown number of {what}s"
    noun = what if figure.value == 1 else f"{what}s"
    near = "about " if figure.basis is Basis.ESTIMATE else ""
    return f"{near}{figure.value:,} {noun}"


def listed(words: list[str], at_most: int = 3) -> str:
    """``a, b and c``, the first of them where there are more than help."""
    if len(words) > at_most:
        words = [*words[:at_most], f"{len(words) - at_most:,} more"]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
