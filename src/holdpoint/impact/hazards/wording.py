"""How findings quote what users wrote."""

from holdpoint.model.limits import FINDING_QUOTE_CHARS_MAX


def clip(text: str) -> str:
    """User text for a message: one line, no backticks of its own, not longer than it helps."""
    line = " ".join(text.replace("`", "'").split())
    if len(line) > FINDING_QUOTE_CHARS_MAX:
        line = line[:FINDING_QUOTE_CHARS_MAX] + "..."
    return line


def more(detail: str) -> str:
    """What a mark adds to its subject, for the end of a message: nothing, or a colon and words."""
    return f": {clip(detail)}" if detail else ""
