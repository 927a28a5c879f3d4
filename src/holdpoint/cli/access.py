"""``holdpoint access``: tiers as roles and grants of the database."""

from __future__ import annotations

import click


@click.group()
def access() -> None:
    """Plan, apply, verify and suggest what the database gives each tier."""
