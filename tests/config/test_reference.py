"""The reference pages say what the code does."""

import json
import re
from pathlib import Path

import pytest

from holdpoint.cli.check import answer_line
from holdpoint.cli.judging import Judge
from holdpoint.config import parse
from holdpoint.config.schema import SECTIONS, Table, keys_of
from holdpoint.model.effects import Effect
from holdpoint.model.target import AccessLevel
from holdpoint.policy.careful import NOT_PRODUCTION

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
CONFIGURATION = (REFERENCE / "configuration.md").read_text("utf-8")
CHECK = (REFERENCE / "check.md").read_text("utf-8")
INNER = {"tiers", "freezes", "group", "count", "all", "any", "expires", "sql", "rows", "table_rows"}


def keys(kind: type[Table]) -> set[str]:
    inner = {key for each in kind.__subclasses__() for key in keys(each)}
    return inner | set(keys_of(kind))


def test_every_key_is_described() -> None:
    for key in keys(Table) - INNER - {"allow", "hold", "deny", "effects", "name", "start", "end"}:
        assert f"`{key}`" in CONFIGURATION, key
    for section in SECTIONS:
        assert f"[{section}" in CONFIGURATION, section
    for name in (*AccessLevel, *NOT_PRODUCTION):
        assert f"`{name}`" in CONFIGURATION


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL))
def test_every_example_is_valid(block: str) -> None:
    rest = "" if "[targets" in block else "[targets.a.tiers.b]\naccess = 'owner'\nurl = 'env:X'\n"
    rest += "" if "[groups]" in block else "[groups]\ndba = ['anna']\n"
    assert parse(block + "\n" + rest, base=Path("/"))


def test_the_answer_shown_is_the_answer_given() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", CHECK, re.DOTALL)
    answer = answer_line(Judge(), "", b'{"id": 1, "sql": "DELETE FROM orders"}')
    assert json.loads(block) == answer
    assert list(json.loads(block)) == list(answer)


def test_every_effect_and_exit_code_is_described() -> None:
    for effect in Effect:
        assert f"`{effect.value}`" in CHECK
    for code in range(5):
        assert f"\n| {code} |" in CHECK
