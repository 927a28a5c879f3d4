"""Ids that survive being read out loud: a prefix and six digits."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
DIGITS: Final = 6  # a billion ids: short enough to be read out, checked for collisions
TRIES_MAX: Final = 20


def new_id(prefix: str, taken: Callable[[str], bool]) -> str | None:
    """Return an id with ``prefix`` that is not ``taken``; None when none was found."""
    for _ in range(TRIES_MAX):
        found = prefix + "".join(secrets.choice(ALPHABET) for _ in range(DIGITS))
        if not taken(found):
            return found
    return None
