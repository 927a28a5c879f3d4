"""The canonical form of a record, and the hash that chains it to the one before.

The form is RFC 8785 (JSON Canonicalization Scheme), narrowed so that two readers can never
disagree: no floats, integers that every JSON reader holds exactly, keys in ASCII. Within these
bounds ``orjson`` with sorted keys writes the same bytes as the RFC's own algorithm; a property test
holds them together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

from holdpoint.model import limits

INTEGER_MAX: Final = 2**53 - 1  # RFC 8785, section 3.2.2.3: the integers of IEEE 754 doubles

RECORD_DOMAIN: Final = b"holdpoint record v1\n"
TRAIL_DOMAIN: Final = b"holdpoint trail v1\n"


class CanonicalError(ValueError):
    """A value has no canonical form; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedRecord:
    """One record in its place. Hashes are 64 lower-case hexadecimal digits.

    ``seq`` counts from 1. ``at_us`` is microseconds since 1970, UTC, as the writer's clock told.
    ``body`` is canonical JSON.
    """

    seq: int
    at_us: int
    kind: str
    body: bytes
    prev_hash: str
    hash: str


def canonical_bytes(value: Any) -> bytes:
    """Return the canonical form of a JSON value; raises ``CanonicalError`` if it has none."""
    _check(value, "", 0)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:  # lone surrogates, for one
        raise CanonicalError(f"the value cannot be written as JSON: {error}") from error


def canonical_text(value: Any) -> str:
    """Return the canonical form of a JSON value as text."""
    return canonical_bytes(value).decode()


def _check(value: Any, place: str, depth: int) -> None:
    """Refuse what RFC 8785 and orjson would write differently, or readers read differently."""
    if isinstance(value, str) or value is None or value is True or value is False:
        return
    if type(value) is int:
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise CanonicalError(f"`{place}` is an integer beyond 2^53 - 1: write it as text")
        return
    if depth >= limits.RECORD_DEPTH_MAX:
        raise CanonicalError(f"`{place}` is nested deeper than {limits.RECORD_DEPTH_MAX} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise CanonicalError(f"a key in `{place}` is not ASCII text")
            _check(item, f"{place}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, f"{place}[]", depth + 1)
    elif isinstance(value, float):
        raise CanonicalError(f"`{place}` is a fraction: write it as an integer of a smaller unit")
    else:
        raise CanonicalError(f"`{place}` is not a JSON value")


def genesis_hash(origin: str) -> str:
    """Return what the first record of a trail names as the hash before it."""
    return hashlib.sha256(TRAIL_DOMAIN + origin.encode()).hexdigest()


def record_hash(prev_hash: str, seq: int, at_us: int, kind: str, body: bytes) -> str:
    """Return the hash of a record: over the hash before it and its own canonical envelope.

    The envelope is ``{"at_us":..,"body":..,"kind":..,"seq":..}``; put together by hand because the
    body is canonical already.
    """
    digest = hashlib.sha256(RECORD_DOMAIN)
    digest.update(bytes.fromhex(prev_hash))
    digest.update(b'{"at_us":%d,"body":' % at_us)
    digest.update(body)
    digest.update(b',"kind":"%s","seq":%d}' % (kind.encode(), seq))
    return digest.hexdigest()


def chain(prev_hash: str, seq: int, at_us: int, kind: str, body: bytes) -> ChainedRecord:
    """Return the record that follows ``prev_hash``."""
    return ChainedRecord(
        seq=seq,
        at_us=at_us,
        kind=kind,
        body=body,
        prev_hash=prev_hash,
        hash=record_hash(prev_hash, seq, at_us, kind, body),
    )
