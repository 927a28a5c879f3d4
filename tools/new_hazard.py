"""Write the stubs of a new hazard: ``make new-hazard CODE=HP2299 NAME=big_update TITLE="..."``.

One hazard is one module, one code, one page, and examples that the tests run. The stubs pass the
linters; ``tests/impact/hazards`` fails until every place marked ``FILL IN`` says what it asks for.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from pathlib import Path

TITLE_CHARS_MAX = 60
HAZARDS = Path("src/holdpoint/impact/hazards")
PAGES = Path("docs/hazards")

MODULE = '''"""{code}: {title}."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.effects import Mark, MarkKind, Statement
from holdpoint.model.finding import Finding

CODE: Final = "{code}"
TITLE: Final = "{title}"
# FILL IN: the kinds of marks it speaks of. A new kind stands in `model/effects.py`; `sql` makes it.
MARKS: Final = frozenset[MarkKind]()
# FILL IN: statements that carry the danger. If only a catalog shows it, add EXAMPLES_SCHEMA.
EXAMPLES_HIT: Final[tuple[str, ...]] = ()
# FILL IN: statements that look like it and are harmless, or are another danger.
EXAMPLES_MISS: Final[tuple[str, ...]] = ()


def applies(mark: Mark) -> bool:
    """Whether this hazard, of those that speak of the mark's kind, is the one meant."""
    return mark.kind in MARKS


def describe(mark: Mark, statement: Statement) -> Finding:
    """The finding for one mark of a statement."""
    return Finding(
        code=CODE,
        # FILL IN: what would happen, to which object.
        message=f"`{{clip(mark.subject)}}`: {{TITLE}}",
        hint="FILL IN: what to do next",
    )
'''

PAGE = """# {code}: {title}

## What it does

FILL IN: what the statement does that is dangerous.

## Why it is dangerous

FILL IN: what can be lost, or who has to wait.

## Example

```sql
FILL IN: a statement that carries it
```

## What to do instead

FILL IN: the safe way to the same end.
"""


class Taken(Exception):
    """The hazard cannot be written; says why, in words."""


def check(root: Path, code: str, name: str, title: str) -> None:
    """Raise ``Taken`` unless code, name and title are well formed and free."""
    if not re.fullmatch(r"HP[1-6]\d{3}", code):
        raise Taken(
            f"`{code}` is no hazard's code: use HP and four digits, the first one 1 to 6 "
            "(HP7 is policy's, HP8 the holds', HP9 the commands')"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise Taken(f"`{name}` cannot be a module's name: use lower-case letters, digits and _")
    if not 0 < len(title) <= TITLE_CHARS_MAX or not re.fullmatch(r"[\w ,:;()'=/-]*\w\)?", title):
        raise Taken(
            f"give a TITLE of at most {TITLE_CHARS_MAX} characters, without quotes, backticks "
            "and full stop"
        )
    if (root / PAGES / f"{code}.md").exists() or code in codes(root).values():
        raise Taken(f"`{code}` is taken: see {PAGES / code}.md")
    if (root / HAZARDS / f"{name}.py").exists():
        raise Taken(f"the name `{name}` is taken: see {HAZARDS / name}.py")


def codes(root: Path) -> dict[str, str]:
    """The codes of the modules that are there, by name."""
    found = {}
    for path in sorted((root / HAZARDS).glob("*.py")):
        match = re.search(r'^CODE: Final = "(HP\d{4})"$', path.read_text(encoding="utf-8"), re.M)
        if match:
            found[path.stem] = match.group(1)
    return found


def registered(text: str, name: str, by_name: dict[str, str]) -> str:
    """The package's own text with one more module: among the imports, and in the list by code."""
    head, opening, rest = text.partition("from holdpoint.impact.hazards import (\n")
    imports, closing, rest = rest.partition(")\n")
    lines = sorted([*imports.splitlines(keepends=True), f"    {name},\n"])
    text = head + opening + "".join(lines) + closing + rest
    head, opening, rest = text.partition("HAZARDS: Final[tuple[Hazard, ...]] = (\n")
    listed, closing, rest = rest.partition(")\n")
    modules = [line.strip(" ,\n") for line in listed.splitlines()]
    modules = sorted([*modules, name], key=lambda module: by_name[module])
    return head + opening + "".join(f"    {module},\n" for module in modules) + closing + rest


def write(root: Path, code: str, name: str, title: str) -> list[Path]:
    """Write module and page and register the module; gives the files to fill in."""
    check(root, code, name, title)
    module, page = root / HAZARDS / f"{name}.py", root / PAGES / f"{code}.md"
    module.write_text(MODULE.format(code=code, title=title), encoding="utf-8")
    page.write_text(PAGE.format(code=code, title=title), encoding="utf-8")
    package = root / HAZARDS / "__init__.py"
    text = package.read_text(encoding="utf-8")
    package.write_text(registered(text, name, codes(root)), encoding="utf-8")
    return [module, page]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", metavar="CODE", help="HP and four digits")
    parser.add_argument("name", metavar="NAME", help="the module's name")
    parser.add_argument("title", metavar="TITLE", help="the danger in a few words")
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent)
    options = parser.parse_args()
    try:
        files = write(options.root, options.code, options.name, options.title)
    except Taken as problem:
        sys.exit(f"error: {problem}")
    for path in files:
        print(f"written: {path.relative_to(options.root)}")
    print("fill in what they ask for; `pytest tests/impact/hazards` tells what is left")


if __name__ == "__main__":
    main()
