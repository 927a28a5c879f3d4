"""Words for people: statements, effects and figures as the findings of policy name them."""

from __future__ import annotations

from typing import Final

from holdpoint.model.effects import Access, Effect, Statement
from holdpoint.model.impact import Basis, Figure

NAME_CHARS_MAX: Final = 120  # chosen: PostgreSQL folds names to 63 bytes; two of them and a dot
SENTENCE_CHARS_MAX: Final = 200  # chosen: a detail that is read in a terminal

EFFECT_WORDS: Final[dict[Effect, str]] = {
    Effect.READ: "reading",
    Effect.WRITE: "changing rows",
    Effect.BULK_WRITE: "changing every row of a table",
    Effect.DDL: "changing the schema",
    Effect.DESTRUCTIVE: "destroying data",
    Effect.PRIVILEGE: "changing roles or privileges",
    Effect.SESSION_ESCAPE: "leaving the limits of the session",
    Effect.SERVER_SIDE: "reaching outside the tables of this database",
    Effect.EXHAUSTION: "holding up the server",
    Effect.UNKNOWN: "something that is not understood",
}


def quoted(text: str) -> str:
    """Text of a user between backticks: one line, no backtick of its own, not endless."""
    flat = "".join("?" if ch == "`" or not ch.isprintable() else ch for ch in text)
    if len(flat) > NAME_CHARS_MAX:
        flat = flat[: NAME_CHARS_MAX - 1] + "…"
    return f"`{flat}`"


def clipped(text: str) -> str:
    """Words of our own, on one line and not endless."""
    flat = plain(text)
    return flat if len(flat) <= SENTENCE_CHARS_MAX else flat[: SENTENCE_CHARS_MAX - 1] + "…"


def plain(text: str) -> str:
    """Text that quotes a user, on one line and without characters that would not print."""
    return "".join(ch if ch.isprintable() else "?" for ch in " ".join(text.split()))


def described(statement: Statement) -> str:
    """The statement in a few words: ``DELETE on `orders` ``."""
    uses = [use for use in statement.objects if use.access is not Access.READ]
    uses = uses or list(statement.objects)
    labels = list(dict.fromkeys(use.label for use in uses))
    words = statement.tag or "the statement"
    if labels:
        words += f" on {quoted(labels[0])}"
    if len(labels) > 1:
        words += f" and {len(labels) - 1} more"
    return words


def counted(figure: Figure) -> str:
    """A figure with its basis: ``48,211 (exact)``, ``about 48,211 (estimate)``, ``unknown``."""
    if figure.value is None or figure.basis is Basis.NOT_ASKED or figure.basis is Basis.UNKNOWN:
        if figure.basis is Basis.NOT_ASKED:
            return "unknown (no database was asked)"
        return f"unknown ({figure.why})" if figure.why else "unknown (no answer from the database)"
    if figure.basis is Basis.ESTIMATE:
        return f"about {figure.value:,} (estimate)"
    return f"{figure.value:,} (exact)"


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
