"""The canonical form is RFC 8785's, and nothing without one gets through."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.audit.record import (
    INTEGER_MAX,
    CanonicalError,
    canonical_bytes,
    canonical_text,
    chain,
    genesis_hash,
)
from holdpoint.model import limits

keys = st.text(alphabet=st.characters(max_codepoint=127), max_size=8)
texts = st.text(alphabet=st.characters(exclude_categories=("Cs",)))
scalars = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_the_form_is_the_one_of_rfc_8785(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(values)
def test_reading_and_writing_again_changes_nothing(value: Any) -> None:
    assert canonical_bytes(orjson.loads(canonical_bytes(value))) == canonical_bytes(value)


def test_every_ascii_character_is_escaped_as_the_rfc_says() -> None:
    value = {chr(code): chr(code) for code in range(128)}
    assert canonical_bytes(value) == rfc8785.dumps(value)


class Colour(StrEnum):
    RED = "red"


def test_enumerations_of_text_are_text() -> None:
    assert canonical_text({"a": Colour.RED, "b": (1, 2)}) == '{"a":"red","b":[1,2]}'


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": {"b": 0.5}}, "`.a.b` is a fraction"),
        ({"a": [1.0]}, r"`.a\[\]` is a fraction"),
        ({"a": float("nan")}, "is a fraction"),
        ({"a": INTEGER_MAX + 1}, r"`.a` is an integer beyond 2\^53 - 1"),
        ({"a": -INTEGER_MAX - 1}, "is an integer beyond"),
        ({"a": "\ud800"}, "cannot be written as JSON"),
        ({"\ud800": 1}, "a key in `` is not ASCII"),
        ({"ü": 1}, "is not ASCII text"),
        ({1: 1}, "is not ASCII text"),
        ({Colour.RED: 1}, "is not ASCII text"),
        ({"a": b"x"}, "is not a JSON value"),
        ({"a": {1, 2}}, "is not a JSON value"),
        (nested(limits.RECORD_DEPTH_MAX + 1), "nested deeper than"),
    ],
)
def test_what_readers_could_read_differently_is_refused(value: Any, words: str) -> None:
    with pytest.raises(CanonicalError, match=words):
        canonical_bytes(value)


def test_the_hash_covers_the_canonical_envelope_after_the_hash_before() -> None:
    body = {"text": "SELECT 1", "ü".encode().hex(): "ü"}
    before = genesis_hash("holdpoint/test")
    record = chain(before, 7, 1_000, "reads", canonical_bytes(body))
    envelope = rfc8785.dumps({"seq": 7, "at_us": 1_000, "kind": "reads", "body": body})
    by_hand = hashlib.sha256(b"holdpoint record v1\n" + bytes.fromhex(before) + envelope)
    assert record.hash == by_hand.hexdigest()
    assert before == hashlib.sha256(b"holdpoint trail v1\nholdpoint/test").hexdigest()
