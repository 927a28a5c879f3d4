"""What the documentation says is so: commands, options, links, keys, tables, codes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from holdpoint.cli import main
from holdpoint.config import schema
from holdpoint.model.effects import Effect
from holdpoint.model.hold import HoldState
from holdpoint.policy import careful, refusals
from holdpoint.policy.careful import Answer

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")] if "_build" not in page.parts
)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def consoles(page: Path) -> Iterator[tuple[str, str]]:
    """Commands of a page's console blocks, each with the output shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S):
        for entry in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = entry.partition("\n")
            yield command, output.strip("\n")


def mentioned() -> list[tuple[str, str]]:
    """Every command of ours that a page tells people to run, with the page's name."""
    found = set()
    for page in PAGES:
        found |= {(name_of(page), command) for command, _ in consoles(page)}
        inline = re.findall(r"`((?:holdpoint|make) [a-z][^`\n]*)`", prose(page))
        found |= {(name_of(page), command) for command in inline}
    return sorted(found)


@pytest.mark.parametrize(("page", "command"), mentioned())
def test_a_command_on_a_page_exists(page: str, command: str) -> None:
    words = shlex.split(command.replace("…", "x"), comments=True)
    if words[:1] == ["holdpoint"]:
        check_words(words[1:])
    elif words[:1] == ["make"]:
        for target in (word for word in words[1:] if "=" not in word):
            assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.M)


def check_words(words: list[str]) -> None:
    """Follow a command line through the CLI; options must be known where they stand."""
    command: click.Command = main
    for word in words:
        if word.startswith("--"):
            known = {name for each in command.params for name in each.opts}
            assert word.partition("=")[0] in {*known, "--help", "--version"}, word
        elif isinstance(command, click.Group) and not word.startswith("-"):
            following = command.get_command(click.Context(command), word)
            assert following is not None, f"there is no command `{word}`"
            command = following


SHOWN = [
    (command, output)
    for command, output in consoles(ROOT / "README.md")
    if command.startswith("holdpoint") and output
]


def test_the_readme_shows_what_the_program_does() -> None:
    assert SHOWN, "the first screen shows a real answer"


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_the_readme_shows_the_programs_own_words(command: str, output: str) -> None:
    words = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "holdpoint", *words], capture_output=True, text=True, cwd="/"
    )
    assert done.stderr == ""
    assert [line.rstrip() for line in done.stdout.splitlines()] == output.splitlines()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to `{target}`"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
            assert anchor in slugs, f"{name_of(page)} links to `{target}`"


def test_the_command_line_page_is_the_programs_help() -> None:
    # In a process of its own: click remembers how each command was called first.
    written = subprocess.run(
        [sys.executable, ROOT / "tools" / "cli_reference.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (DOCS / "reference" / "cli.md").read_text() == written.stdout, (
        "run `.venv/bin/python tools/cli_reference.py > docs/reference/cli.md`"
    )


def test_the_help_fits_a_screen_and_costs_nothing() -> None:
    heavy = ("psycopg", "sqlalchemy", "pydantic", "rich", "starlette", "cryptography", "orjson")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from holdpoint.cli import main\n"
            "main(['--help'], standalone_mode=False)\n"
            f"print(*(set({heavy!r}) & set(sys.modules)), file=sys.stderr)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) <= 30
    assert done.stderr.split() == []


TABLES = {
    "server": schema.ServerTable,
    "holds": schema.HoldsTable,
    "policy": schema.PolicyTable,
    "target": schema.TargetTable,
    "tier": schema.TierTable,
    "allow": schema.AllowTable,
    "mint": schema.MintTable,
    "budget": schema.BudgetTable,
    "budget for agents": schema.BudgetRuleTable,
    "freeze": schema.FreezeTable,
    "rule": schema.RuleTable,
    "when": schema.WhenTable,
    "approve": schema.ApproveTable,
    "quorum": schema.QuorumTable,
    "example": schema.ExampleTable,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_the_configuration_is_described(table: str) -> None:
    text = (DOCS / "reference" / "configuration.md").read_text()
    code = " ".join(re.findall(r"^```.*?^```|`[^`\n]+`", text, re.M | re.S))
    missing = [key for key in schema.keys_of(TABLES[table]) if not re.search(rf"\b{key}\b", code)]
    assert not missing


def test_every_state_of_a_hold_is_described() -> None:
    text = (DOCS / "concepts" / "holds.md").read_text()
    ends = [state.value for state in HoldState if state is not HoldState.OPEN]
    assert [state for state in ends if f"| `{state}` |" not in text] == []


def test_every_code_that_clients_see_is_described() -> None:
    codes = {
        value
        for name, value in vars(refusals).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch(r"HP\d{3}", value)
    }
    text = (DOCS / "guides" / "clients.md").read_text()
    assert codes
    assert [code for code in sorted(codes) if f"| `{code}` |" not in text] == []


def test_every_effect_is_described() -> None:
    text = (DOCS / "concepts" / "how-it-decides.md").read_text()
    assert [effect.value for effect in Effect if f"| `{effect.value}` |" not in text] == []


def test_the_table_of_access_levels_is_the_policys() -> None:
    words = {Answer.ALLOW: "allow", Answer.BY_SCHEDULE: "by schedule", Answer.HOLD: "hold"}
    words |= {Answer.DENY: "deny", Answer.BY_ROWS: "allow"}
    columns = (
        Effect.READ,
        Effect.WRITE,
        Effect.BULK_WRITE,
        Effect.DDL,
        Effect.DESTRUCTIVE,
        Effect.PRIVILEGE,
        Effect.SESSION_ESCAPE,
        Effect.EXHAUSTION,
    )
    text = (DOCS / "concepts" / "how-it-decides.md").read_text()
    for access, answers in careful.TABLE.items():
        row = " | ".join(words[answers[effect]] for effect in columns)
        assert f"| `{access.value}` | {row} |" in text
        assert answers[Effect.PRIVILEGE] is answers[Effect.SERVER_SIDE], "they share a column"
        assert answers[Effect.UNKNOWN] is Answer.HOLD
