"""Names of agents and people: what they may look like, and when two are the same."""

from __future__ import annotations

import unicodedata

from holdpoint.model import limits
from holdpoint.store.errors import StoreError


def checked(name: str, what: str) -> str:
    """Return ``name`` if it can be one; raises ``StoreError`` if not. ``what`` names the thing."""
    if not name or name != name.strip() or not name.isprintable():
        raise StoreError(f"`{name}` cannot name {what}: use printable characters, no outer spaces")
    if len(name) > limits.NAME_CHARS_MAX:
        raise StoreError(
            f"the name of {what} has {len(name)} characters; at most {limits.NAME_CHARS_MAX} fit"
        )
    return name


def folded(name: str) -> str:
    """Return the form in which two spellings of one name are equal: `Anna` is `anna`."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
