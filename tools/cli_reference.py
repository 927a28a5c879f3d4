"""Write ``docs/reference/cli.md`` from the command line itself; a test keeps both alike.

Usage: ``.venv/bin/python tools/cli_reference.py > docs/reference/cli.md``
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import click

from holdpoint.cli import main

WIDTH = 80
HEAD = """\
# Command line

Every command explains itself with `--help`; this page is those texts, written by
`tools/cli_reference.py`. Exit codes stand in [one table](exit-codes.md). Commands that print data
take `--json`. Data goes to standard output, everything else to standard error.
"""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all commands below a group, in the order of its help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def help_of(path: tuple[str, ...]) -> str:
    """What ``holdpoint … --help`` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main.main(
            [*path, "--help"], prog_name="holdpoint", standalone_mode=False, terminal_width=WIDTH
        )
    return output.getvalue().rstrip()


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"```text\n{help_of(())}\n```\n"]
    for path in commands(main):
        title = f"{'#' * (1 + len(path))} holdpoint {' '.join(path)}"
        parts.append(f"{title}\n\n```text\n{help_of(path)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
