"""The house rules that no linter checks (CONTRIBUTING.md names them)."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.require import missing

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
]

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

# Addresses of package indexes and mirrors, and folders of the machines people work on.
LEAKS = re.compile(
    r"--(extra-)?index-url|--find-links|--trusted-host|PIP_INDEX_URL\s*=|files\.pythonhosted\.org"
    r"|(?<![\w.])/(work/(main|shared)|home/[a-z]+|opt/(wheels|pypi)|Users/[A-Za-z]+)\b"
)
# Files that say what must not be there, and so name it.
ALLOWED_TO_NAME_LEAKS = {"tests/test_tidy.py", ".ci/lock.py"}


def tracked() -> list[str]:
    """Paths of the files in the repository; all files where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        missing("git and a clone: nothing else tells which files belong to the project")
    return [path for path in done.stdout.splitlines() if (ROOT / path).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_functions_and_modules_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES_MAX, f"split {name_of(path)}"
    for function in definitions(ast.parse(text)):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{name_of(path)}:{function.lineno} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_broad_except_raises_again_or_says_which_finding_it_becomes(path: Path) -> None:
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.ExceptHandler) or not is_broad(node.type):
            continue
        raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        comment = lines[node.lineno - 1].partition("#")[2].replace("noqa: BLE001", "")
        explained = len(comment.strip(" -")) > 10
        assert raises or explained, f"{name_of(path)}:{node.lineno}: broad except without a reason"


def is_broad(caught: ast.expr | None) -> bool:
    names = {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)} if caught else {""}
    return bool(names & {"", "Exception", "BaseException"})


@pytest.mark.parametrize(
    ("source", "broad"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except (OSError, Exception):", True),
        ("except BaseException as error:", True),
        ("except (OSError, ValueError):", False),
    ],
)
def test_what_counts_as_broad(source: str, broad: bool) -> None:
    handler = ast.parse(f"try:\n    pass\n{source}\n    pass").body[0]
    assert isinstance(handler, ast.Try)
    assert is_broad(handler.handlers[0].type) is broad


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    found = [
        f"{path}:{number}"
        for path in tracked()
        if path.endswith((".py", ".md", ".sql", ".html", ".toml", "Makefile", "run"))
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found, "open an issue instead"


def test_no_index_address_and_no_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        if path in ALLOWED_TO_NAME_LEAKS or path.endswith((".png", ".ico", ".woff2")):
            continue
        text = (ROOT / path).read_text(errors="replace")
        found += [f"{path}: {match.group()}" for match in LEAKS.finditer(text)]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "--index" + "-url https://mirror.example/sim" + "ple",
        "see /home/ada/holdpoint/x.py",
        "pip install --find-links=/srv/wheels x",
        "/wo" + "rk/main/src",
    ],
)
def test_what_counts_as_a_leak(line: str) -> None:
    assert LEAKS.search(line)


def test_locks_carry_a_hash_for_every_package() -> None:
    for name in ("requirements.txt", "requirements-test.txt", "requirements-docs.txt"):
        blocks = re.split(r"\n(?=\S)", (ROOT / name).read_text())
        packages = [block for block in blocks if "==" in block.splitlines()[0]]
        assert packages
        assert all("--hash=sha256:" in block for block in packages), name
        assert "://" not in "".join(blocks), name


def codes_in_sources() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in SOURCES:
        for code in re.findall(r"[\"'`(](HP\d{4})\b", path.read_text()):
            found.setdefault(code, name_of(path))
    return found


def test_every_code_has_its_page() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "hazards").glob("HP*.md")}
    missing = {code: where for code, where in codes_in_sources().items() if code not in pages}
    assert not missing, "write docs/hazards/<code>.md"


def test_every_page_belongs_to_a_code() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "hazards").glob("HP*.md")}
    assert pages <= set(codes_in_sources()), "a code that nothing uses"


def test_every_package_of_the_house_says_what_it_is_for() -> None:
    for marker in (ROOT / "src" / "holdpoint").rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(marker.read_text())), name_of(marker)
