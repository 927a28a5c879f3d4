"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path

import click

#: The configuration of a command that cannot do without one.
config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HOLDPOINT_CONFIG",
    default=Path("holdpoint.toml"),
    show_default=True,
    help="The configuration [HOLDPOINT_CONFIG].",
)
