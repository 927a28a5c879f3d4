"""The trail as a file: one JSON line for the header, one per record, one per signed head.

Every line is in canonical form, to the byte: so each bit of the file is under the chain or under a
signature, and no two readers can read it differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from holdpoint.audit.heads import HASH_DIGITS, SignedHead
from holdpoint.audit.record import ChainedRecord, canonical_bytes

FORMAT: Final = "holdpoint trail"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of an export. ``size`` is the number of records that follow."""

    origin: str
    public_key: str
    size: int
    heads: int


def export_lines(
    header: Header, records: Iterable[ChainedRecord], heads: Sequence[SignedHead]
) -> Iterator[bytes]:
    """Yield the lines of an export, each with its line end."""
    yield header_line(header)
    for record in records:
        yield record_line(record)
    for head in heads:
        yield head_line(head)


def header_line(header: Header) -> bytes:
    """Return the first line of an export."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "origin": header.origin,
        "public_key": header.public_key,
        "size": header.size,
        "heads": header.heads,
    }
    return canonical_bytes(value) + b"\n"


def record_line(record: ChainedRecord) -> bytes:
    """Return a record's line; the body goes in as the bytes that were hashed."""
    return b'{"at_us":%d,"body":%s,"hash":"%s","kind":"%s","prev_hash":"%s","seq":%d}\n' % (
        record.at_us,
        record.body,
        record.hash.encode(),
        record.kind.encode(),
        record.prev_hash.encode(),
        record.seq,
    )


def head_line(head: SignedHead) -> bytes:
    """Return a head's line."""
    value = {
        "head": {
            "size": head.size,
            "hash": head.hash,
            "key_id": head.key_id,
            "signature": head.signature,
            "at_us": head.at_us,
        }
    }
    return canonical_bytes(value) + b"\n"


def header_from_line(line: bytes) -> Header:
    """Read a header; raises ``ValueError`` with words."""
    value = _read(line)
    if value.get("format") != FORMAT:
        raise ValueError("this is not an exported trail")
    if value.get("version") != VERSION:
        raise ValueError(f"the export is of version {value.get('version')}; {VERSION} is known")
    return Header(
        origin=_text(value, "origin"),
        public_key=_text(value, "public_key"),
        size=_number(value, "size"),
        heads=_number(value, "heads"),
    )


def record_from_line(line: bytes) -> ChainedRecord:
    """Read a record; raises ``ValueError`` with words."""
    value = _read(line)
    if set(value) != {"at_us", "body", "hash", "kind", "prev_hash", "seq"}:
        raise ValueError("it does not have the fields of a record")
    return ChainedRecord(
        seq=_number(value, "seq"),
        at_us=_number(value, "at_us"),
        kind=_text(value, "kind"),
        body=canonical_bytes(value["body"]),
        prev_hash=_hash(value, "prev_hash"),
        hash=_hash(value, "hash"),
    )


def head_from_line(line: bytes) -> SignedHead:
    """Read a head; raises ``ValueError`` with words."""
    value = _read(line).get("head")
    if not isinstance(value, dict):
        raise ValueError("it is not a signed head")
    return SignedHead(
        size=_number(value, "size"),
        hash=_hash(value, "hash"),
        key_id=_text(value, "key_id"),
        signature=_text(value, "signature"),
        at_us=_number(value, "at_us"),
    )


def is_head(line: bytes) -> bool:
    """Tell whether a line means to be a head."""
    return line.startswith(b'{"head":')


def _read(line: bytes) -> dict[str, Any]:
    value: Any = orjson.loads(line)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    if canonical_bytes(value) != line.removesuffix(b"\n"):
        raise ValueError("it is not in canonical form")
    return value


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise ValueError(f"`{key}` is not a text")
    return text


def _number(value: dict[str, Any], key: str) -> int:
    number = value.get(key)
    if type(number) is not int or number < 0:
        raise ValueError(f"`{key}` is not a whole number")
    return number


def _hash(value: dict[str, Any], key: str) -> str:
    text = _text(value, key)
    if len(text) != HASH_DIGITS or set(text) - set("0123456789abcdef"):
        raise ValueError(f"`{key}` is not a hash")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What an export says besides its records."""

    header: Header
    heads: tuple[SignedHead, ...]
    bad_heads: tuple[str, ...]


def read_ends(lines: Iterable[bytes]) -> Ends:
    """Read the header and the heads of an export; raises ``ValueError`` if it is none."""
    walk = iter(lines)
    header = header_from_line(next(walk, b""))
    numbered = ((at, line) for at, line in enumerate(walk, start=2) if is_head(line))
    heads, bad = read_heads(numbered, "the export")
    return Ends(header=header, heads=heads, bad_heads=bad)


def read_heads(
    lines: Iterable[tuple[int, bytes]], where: str
) -> tuple[tuple[SignedHead, ...], tuple[str, ...]]:
    """Return the heads among numbered lines, and words about those that cannot be read."""
    heads: list[SignedHead] = []
    bad: list[str] = []
    for number, line in lines:
        try:
            if not line.endswith(b"\n"):
                raise ValueError("it has no end")
            heads.append(head_from_line(line))
        except ValueError as error:
            bad.append(f"line {number:,} of {where} should be a signed head: {error}")
    return tuple(heads), tuple(bad)
