"""Texts that differ in whole numbers only read alike: such a text need not be parsed again.

Clients that put values into the text send a new one each time. Where numbers cannot change what a
statement does, its *shape*, the text with every number written as ``0``, can be remembered instead.
That holds under narrow conditions only, so narrow that no lexer is needed to see them:

* The text has nothing but letters, digits, ``_``, blanks and ``. , ( ) = < > * + - ;``: no quotes,
  comments, parameters, casts or escapes. ``--`` is a comment, so it disqualifies.
* A number counts when neither a letter, a digit, ``_`` nor ``.`` stands beside it, so it is one
  token of the server's scanner (manual, section 4.1.2.6), and stays one with other digits.
* What was read is one SELECT that is a plain read and calls no function: numbers could only
  matter to a function.

``docs/decisions/0003-shapes.md`` tells why the exact text alone is not enough.
"""

from __future__ import annotations

import re
from typing import Final

from holdpoint.model.effects import Effect, Reading, TransactionMark

SHAPE_BYTES_MAX: Final = 4096  # chosen: longer texts of this kind are lists that never come again

_PLAIN: Final = re.compile(rb"[A-Za-z0-9_ \t\r\n.,()=<>*+;-]*")
_NUMBER: Final = re.compile(rb"(?<![A-Za-z0-9_.])[0-9]+(?![A-Za-z0-9_.])")
_READ: Final = frozenset({Effect.READ})


def shape_of(query: bytes) -> bytes | None:
    """Return the shape of a text, or None where numbers could matter or there are none."""
    if len(query) > SHAPE_BYTES_MAX or _PLAIN.fullmatch(query) is None or b"--" in query:
        return None
    shape, count = _NUMBER.subn(b"0", query)
    return shape if count else None


def has_shape(reading: Reading) -> bool:
    """Tell whether whatever has the same shape as this reading's text does the same."""
    if len(reading.statements) != 1 or not reading.text_only or reading.effects != _READ:
        return False
    only = reading.statements[0]
    return (
        only.tag == "SELECT"
        and not only.functions
        and not only.marks
        and not only.unknowns
        and not only.prepares
        and not only.deallocates
        and only.transaction is TransactionMark.NONE
    )
