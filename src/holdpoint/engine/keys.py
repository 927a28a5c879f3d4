"""The key that signs heads: one file beside the store, readable by its owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from holdpoint.audit.heads import public_text
from holdpoint.store import StoreError


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file at ``path``; the first time, make it.

    The public key is written beside it as ``….pub``. Raises ``StoreError`` if the file cannot be
    read, is not such a key, or can be read by others.
    """
    try:
        key = _load(path) if path.exists() else _create(path)
        public = path.with_suffix(".pub")
        if not public.exists():
            public.write_text(public_text(key.public_key()) + "\n")
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise StoreError(
            f"the signing key `{path}` cannot be used ({reason}): check its rights and the disk"
        ) from error
    return key


def _load(path: Path) -> Ed25519PrivateKey:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreError(f"the signing key `{path}` can be read by others: `chmod 600` it")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"`{path}` is not a signing key: restore it from a backup; "
            "without it, earlier heads can only be checked with the public key you kept"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError(f"the signing key `{path}` is not an Ed25519 key: restore the right file")
    return key


def _create(path: Path) -> Ed25519PrivateKey:
    """Write a new key under a temporary name first: a crash leaves no half key."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike a rename, does not replace another process's new key
    except FileExistsError:
        return _load(path)
    finally:
        draft.unlink()
    return key
