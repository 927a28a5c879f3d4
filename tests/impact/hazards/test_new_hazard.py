"""The generator of hazards: what it writes, what it refuses, and that nothing stays a stub."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "new_hazard.py"
HAZARDS = Path("src/holdpoint/impact/hazards")
PAGES = Path("docs/hazards")


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, "--root", root, *arguments],
        capture_output=True,
        text=True,
    )


def left_to_fill_in(root: Path) -> list[str]:
    """Every place that still asks for words, as ``file:line: what it asks for``."""
    return [
        f"{path.relative_to(root)}:{number}: {line[line.index('FILL IN') :]}"
        for folder, pattern in ((HAZARDS, "*.py"), (PAGES, "HP*.md"))
        for path in sorted((root / folder).glob(pattern))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "FILL IN" in line
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The parts of the repository that the generator touches, with the linters' settings."""
    for folder in (HAZARDS, PAGES, Path("src/holdpoint/model")):  # the last for sorting imports
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_hazard_is_a_stub() -> None:
    left = left_to_fill_in(ROOT)
    assert not left, "fill these in:\n" + "\n".join(left)


def test_a_new_hazard_has_everything_and_asks_for_the_rest(copy: Path) -> None:
    done = generate(copy, "HP2299", "big_update", "an update that is too big")
    assert done.returncode == 0, done.stderr
    assert "written: docs/hazards/HP2299.md" in done.stdout
    page = (copy / PAGES / "HP2299.md").read_text()
    assert page.startswith("# HP2299: an update that is too big\n")
    left = left_to_fill_in(copy)
    assert len([line for line in left if "big_update.py" in line]) == 5
    assert len([line for line in left if "HP2299.md" in line]) == 4
    assert any("statements that carry the danger" in line for line in left)


def test_it_is_registered_in_the_order_of_the_codes(copy: Path) -> None:
    assert generate(copy, "HP2105", "zz_last", "the last one").returncode == 0
    text = (copy / HAZARDS / "__init__.py").read_text()
    listed = re.search(r"HAZARDS: Final\[tuple\[Hazard, \.\.\.\]\] = \((.*?)\)", text, re.S)
    assert listed is not None
    names = re.findall(r"\w+", listed.group(1))
    assert names[names.index("zz_last") - 1] == "merge_unfiltered"  # HP2104
    assert text.count("    zz_last,\n") == 2


def test_what_it_writes_passes_the_linter_and_the_formatter(copy: Path) -> None:
    assert generate(copy, "HP2299", "big_update", "it's a title: with (most) signs").returncode == 0
    for command in (("check", "--no-cache"), ("format", "--check", "--no-cache")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "src"],
            cwd=copy,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("code", "name", "title", "words"),
    [
        ("HP2101", "new", "a title", "`HP2101` is taken"),
        ("HP2204", "new", "a title", "`HP2204` is taken"),  # policy's: only the page is here
        ("HP2299", "truncate", "a title", "the name `truncate` is taken"),
        ("HP2299", "wording", "a title", "the name `wording` is taken"),
        ("HP7099", "new", "a title", "policy's"),
        ("2299", "new", "a title", "four digits"),
        ("", "new", "a title", "four digits"),
        ("HP2299", "Big-Update", "a title", "lower-case"),
        ("HP2299", "../evil", "a title", "lower-case"),
        ("HP2299", "lambda", "a title", "cannot be a module's name"),
        ("HP2299", "new", "", "give a TITLE"),
        ("HP2299", "new", 'a "quoted" title', "give a TITLE"),
        ("HP2299", "new", "a sentence.", "give a TITLE"),
        ("HP2299", "new", "x" * 61, "give a TITLE"),
        ("HP2299", "new", "two\nlines", "give a TITLE"),
    ],
)
def test_what_it_refuses_in_words(code: str, name: str, title: str, words: str) -> None:
    spec = importlib.util.spec_from_file_location("new_hazard", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with pytest.raises(tool.Taken, match=re.escape(words)):
        tool.check(ROOT, code, name, title)


def test_a_refusal_writes_nothing(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = generate(copy, "HP2101", "new", "a title")
    assert done.returncode == 1
    assert done.stderr.startswith("error: `HP2101` is taken: see docs/hazards/HP2101.md")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
