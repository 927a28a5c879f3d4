"""Signed heads: what makes a cut or rewritten end of the trail visible.

A head says how many records the trail has and what the last one's hash is. It is signed over a
text that reads like a C2SP checkpoint, so that it can be checked by hand.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY_DOMAIN: Final = b"holdpoint key v1\n"
HASH_DIGITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The end of a trail at one moment. ``signature`` is base64 of 64 bytes.

    ``at_us`` is for people: it is not signed.
    """

    size: int
    hash: str
    key_id: str
    signature: str
    at_us: int


def head_text(origin: str, size: int, hash_: str) -> bytes:
    """Return the text that is signed."""
    return f"holdpoint trail\n{origin}\n{size}\n{hash_}\n".encode()


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """Return the 32 raw bytes of a public key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as people copy it: base64 of its raw bytes."""
    return base64.b64encode(public_bytes(key)).decode()


def public_from_text(text: str) -> Ed25519PublicKey:
    """Return the public key written in base64; raises ``ValueError`` with words."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the public key `{text}` is not base64") from error
    if len(raw) != 32:
        raise ValueError(f"the public key `{text}` has {len(raw)} bytes; an Ed25519 key has 32")
    return Ed25519PublicKey.from_public_bytes(raw)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the short name of a key: 16 hexadecimal digits."""
    return hashlib.sha256(KEY_DOMAIN + public_bytes(key)).hexdigest()[:16]


def sign_head(key: Ed25519PrivateKey, origin: str, size: int, hash_: str, at_us: int) -> SignedHead:
    """Sign the end of a trail."""
    signature = key.sign(head_text(origin, size, hash_))
    return SignedHead(
        size=size,
        hash=hash_,
        key_id=key_id(key.public_key()),
        signature=base64.b64encode(signature).decode(),
        at_us=at_us,
    )


def signature_holds(key: Ed25519PublicKey, origin: str, head: SignedHead) -> bool:
    """Tell whether ``key`` signed this head of this trail."""
    try:
        signature = base64.b64decode(head.signature, validate=True)
        key.verify(signature, head_text(origin, head.size, head.hash))
    except (InvalidSignature, binascii.Error):
        return False
    return True
