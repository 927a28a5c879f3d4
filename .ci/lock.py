"""Write the lock files: exact versions with hashes, and nothing about where they came from.

``make lock`` runs this. Versions come from ``pyproject.toml`` only. pip takes the address of its
package index from the user's own settings, so the files carry none; this script fails if one does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
OPTIONS: Final = (
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",
    "--strip-extras",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
    "--no-header",
)
# Each file: the extras and dependency groups it holds beside the runtime's own dependencies.
FILES: Final[dict[str, tuple[str, ...]]] = {
    "requirements.txt": ("run", "demo", "build"),
    "requirements-test.txt": ("run", "demo", "build", "test", "lint"),
    "requirements-docs.txt": ("docs",),
}
HEADER: Final = "# Written by `make lock` from pyproject.toml; install with `--require-hashes`.\n"


def wanted(parts: tuple[str, ...]) -> list[str]:
    """The requirement lines of ``parts``; ``run`` means the runtime's own dependencies."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = declared["project"]
    known = {
        "run": project["dependencies"],
        **project["optional-dependencies"],
        **declared["dependency-groups"],
    }
    lines = [line for part in parts for line in known[part]]
    return lines


def lock(name: str, parts: tuple[str, ...], extra_options: list[str]) -> None:
    """Resolve ``parts`` and write ``name``; keeps the versions already locked where they fit."""
    path = ROOT / name
    lines = wanted(parts)
    if name != "requirements.txt":  # what runs in tests is what runs at users'
        lines.append(f"-c {ROOT / 'requirements.txt'}")
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *extra_options]
    subprocess.run(  # noqa: S603 - our own arguments
        [*command, "--output-file", str(path), "-"],
        input="\n".join(lines),
        text=True,
        check=True,
        cwd=ROOT,
    )
    text = path.read_text()
    if leak := re.search(r"://|^\s*--?(index|extra-index|find-links|trusted|[if])\b", text, re.M):
        path.unlink()
        sys.exit(f"error: `{name}` would carry an address: `{leak.group()}`; it was removed")
    path.write_text(HEADER + text)


if __name__ == "__main__":
    for file_name, contents in FILES.items():
        print(f"locking {file_name}", flush=True)
        lock(file_name, contents, sys.argv[1:])
