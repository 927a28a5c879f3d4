"""``holdpoint access``: tiers as roles and grants of the database."""

from __future__ import annotations

import click

from holdpoint.cli.access_apply import apply_command
from holdpoint.cli.access_plan import plan_command
from holdpoint.cli.access_suggest import suggest_command
from holdpoint.cli.access_verify import verify_command


@click.group()
def access() -> None:
    """Plan, apply, verify and suggest what the database gives each tier."""


access.add_command(plan_command)
access.add_command(apply_command)
access.add_command(verify_command)
access.add_command(suggest_command)
