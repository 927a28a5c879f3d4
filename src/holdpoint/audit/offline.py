"""Verification of an exported file: reads it twice, keeps none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdpoint.audit.export import is_head, read_ends, record_from_line
from holdpoint.audit.heads import SignedHead, key_id, public_from_text
from holdpoint.audit.record import ChainedRecord
from holdpoint.audit.verify import Break, How, Note, Report, Unreadable, Witness, verify


def verify_export(
    lines: Callable[[], Iterable[bytes]],
    keys: Sequence[Ed25519PublicKey] = (),
    heads: Sequence[SignedHead] = (),
    witnesses: Sequence[Witness] = (),
    bad_heads: Sequence[str] = (),
) -> Report:
    """Verify an export. ``lines`` gives its lines from the start, with their ends, at each call.

    Without ``keys`` the file's own key is used: that proves only that one key signed it all.
    ``heads`` are those of a side file, ``bad_heads`` words about its unreadable
    lines. Raises ``ValueError`` if the file is no export.
    """
    ends = read_ends(lines())
    header = ends.header
    notes: list[Note] = []
    if not keys:
        own = public_from_text(header.public_key)
        keys = (own,)
        notes.append(
            Note(
                step=0,
                seq=0,
                message=f"the key `{key_id(own)}` was taken from the file itself: "
                "give the one you trust with `--public-key`",
            )
        )
    report = verify(
        header.origin,
        _records(lines()),
        [*ends.heads, *heads],
        keys,
        witnesses,
        claimed_size=header.size,
        bad_heads=(*ends.bad_heads, *bad_heads),
    )
    breaks: list[Break] = []
    found = len(ends.heads) + len(ends.bad_heads)
    if found != header.heads:
        breaks.append(
            Break(
                step=6,
                seq=report.size,
                how=How.TRUNCATED if found < header.heads else How.INSERTED,
                message=f"the export says it has {header.heads:,} signed heads; "
                f"{found:,} are there",
            )
        )
    return replace(report, breaks=(*report.breaks, *breaks), notes=(*notes, *report.notes))


def _records(lines: Iterable[bytes]) -> Iterator[ChainedRecord | Unreadable]:
    """(1) Yield the records of an export; what is neither record nor head is unreadable."""
    for number, line in enumerate(lines, start=1):
        if number == 1 or is_head(line):
            continue
        if not line.endswith(b"\n"):
            yield Unreadable(number, "the file ends in the middle of the line")
            continue
        try:
            yield record_from_line(line)
        except ValueError as error:
            yield Unreadable(number, str(error))
