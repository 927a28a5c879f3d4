"""Holdpoint stands between AI agents and a team's databases."""

__version__ = "0.1.0.dev0"
