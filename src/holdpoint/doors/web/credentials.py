"""Credentials of people, agents and sign-in links: three classes that cannot be mistaken.

Every secret starts with the prefix of its class. A door checks the class before it looks anything
up, so an agent's secret is refused where people answer without a search in any table.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from holdpoint.model.limits import PASSWORD_CHARS_MAX

SECRET_BYTES: Final = 32  # 256 bits: beyond guessing, so a plain hash is enough to store


class CredentialClass(StrEnum):
    """What a secret is for; the value is its prefix."""

    PERSON = "hpp_"
    AGENT = "hpa_"
    SIGN_IN_LINK = "hpl_"


def class_of(secret: str) -> CredentialClass | None:
    """The class that a secret claims by its prefix, or None."""
    return next((kind for kind in CredentialClass if secret.startswith(kind.value)), None)


def new_secret(kind: CredentialClass, random_bytes: Callable[[int], bytes]) -> str:
    """A new secret of a class; ``random_bytes`` is a cryptographic source."""
    body = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
    return kind.value + body


def fingerprint(secret: str) -> str:
    """What is stored of a token or link: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


_HASHER: Final = PasswordHasher()
# Checked when there is no such person, so that both cases take the same time. Nobody knows a
# password for it: the salt and the digest are fixed bytes.
_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$aG9sZHBvaW50LW5vYm9keQ$" + "A" * 43


def hash_password(password: str) -> str:
    """The argon2id hash to store. Takes about 50 ms and 64 MiB."""
    return _HASHER.hash(password[:PASSWORD_CHARS_MAX])


def password_matches(password_hash: str, password: str) -> bool:
    """Whether a password fits its hash; an empty hash costs the same time and never fits."""
    try:
        fits = _HASHER.verify(password_hash or _NOBODY, password[:PASSWORD_CHARS_MAX])
    except (VerificationError, InvalidHashError):
        return False
    return fits and bool(password_hash)
