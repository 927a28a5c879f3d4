"""The command line: one file per noun. Commands are imported when they are called.

Start-up is a budget: ``holdpoint --help`` loads nothing but click.
"""

from __future__ import annotations

import importlib
from typing import Final, NamedTuple

import click

from holdpoint import __version__

HELP_COLUMN_COLUMNS: Final = 78


class Entry(NamedTuple):
    """A command of the root: where it is, and its line in the help."""

    section: str
    module: str
    attribute: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "serve": Entry("Run", "serve", "serve", "Start the gate and the review page"),
    "demo": Entry("Run", "demo", "demo", "Try it out: a shop database, an agent, a hold"),
    "doctor": Entry("Run", "doctor", "doctor", "Check every hop and name the first broken one"),
    "explain": Entry("Decide", "explain", "explain", "Say what a statement would do, and why"),
    "check": Entry("Decide", "check", "check", "Judge statements from a file or a pipe"),
    "policy": Entry("Decide", "policy", "policy", "Create and check the policy"),
    "hold": Entry("Decide", "hold", "hold", "List, approve or reject held statements"),
    "access": Entry("Who", "access", "access", "Plan, apply, verify what the database gives"),
    "agent": Entry("Who", "agent", "agent", "Add and revoke agents"),
    "task": Entry("Who", "task", "task", "Give agents tasks, and tiers for a time"),
    "person": Entry("Who", "person", "person", "Add and remove people who may answer"),
    "audit": Entry("Prove", "audit", "audit", "Show, export and verify the trail"),
}


class Root(click.Group):
    """The root group: knows its commands by name, imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"holdpoint.cli.{entry.module}")
        command: click.Command = getattr(module, entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, from the table alone."""
        section = ""
        rows: list[tuple[str, str]] = []
        for name, entry in COMMANDS.items():
            if entry.section != section:
                _write(formatter, section, rows)
                section, rows = entry.section, []
            rows.append((name, entry.help))
        _write(formatter, section, rows)


def _write(formatter: click.HelpFormatter, section: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(section):
            formatter.write_dl(rows, col_max=HELP_COLUMN_COLUMNS)


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 findings or held, 2 usage, 3 configuration, "
    "4 unreachable, 5 trail broken.",
)
@click.version_option(__version__, prog_name="holdpoint")
def main() -> None:
    """Holdpoint stands between AI agents and your databases."""
