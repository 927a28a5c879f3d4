"""Lines of keys, tables and list members in TOML, however it is written."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.config.locate import Lines

TEXT = '''\
top = 1 # with a comment = 2
[a]
b = { c = 1, d = [
  1, # first
  { e = "x", "f g" = 2 },
  [3,
   4]] }

[[list]]
name = "]]"
[list.inner]
key = """
three = 3
"""
[[list]]
name = 'x # no comment'
"quoted.key" = """a \\""" b""""
dotted.key.path = 1
[list.inner]
deep = [ { a = 1 },
  { a = 2, b = 3 } ]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("a",), 2),
        (("a", "b"), 3),
        (("a", "b", "c"), 3),
        (("a", "b", "d"), 3),
        (("a", "b", "d", 0), 4),
        (("a", "b", "d", 1), 5),
        (("a", "b", "d", 1, "f g"), 5),
        (("a", "b", "d", 2), 6),
        (("a", "b", "d", 2, 1), 7),
        (("list",), 9),
        (("list", 0), 9),
        (("list", 0, "name"), 10),
        (("list", 0, "inner"), 11),
        (("list", 0, "inner", "key"), 12),
        (("list", 1), 15),
        (("list", 1, "quoted.key"), 17),
        (("list", 1, "dotted", "key", "path"), 18),
        (("list", 1, "inner"), 19),
        (("list", 1, "inner", "deep", 1, "b"), 21),
        (("list", 1, "inner", "deep", 1, "none"), 21),  # what is not there: the table around it
        (("nowhere", "at", "all"), 1),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(TEXT)
    assert Lines(TEXT).of(path) == line


def test_windows_line_ends() -> None:
    assert Lines("a = 1\r\nb = 2\r\n[c]\r\nd = 3\r\n").of(("c", "d")) == 4


KEYS = st.sampled_from(["a", "b-c", "d_1", "e f", "g.h", "'", "#x"])
TEXTS = st.sampled_from(["", "x", "a # b", "]", "}", "multi\nline", '"'])
VALUES: Any = st.recursive(
    st.integers() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(written(each) for each in value) + "\n]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_key_of_any_file_is_found_on_its_line(document: dict[str, Any]) -> None:
    text, starts = "", {}
    for key, value in document.items():
        starts[key] = text.count("\n") + 1
        text += f"{quoted(key)} = {written(value)}\n"
    assert tomllib.loads(text) == document
    lines = Lines(text)
    for key, line in starts.items():
        assert lines.of((key,)) == line
