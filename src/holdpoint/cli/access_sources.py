"""Statements for ``access suggest`` from where there is no trail yet: statistics, server logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdpoint.access.history import Said
from holdpoint.model.upstream import UpstreamUrl


def from_statistics(url: UpstreamUrl, role: str, notes: list[str]) -> Iterator[tuple[Said, int]]:
    """Yield what ``pg_stat_statements`` has."""
    raise NotImplementedError


def from_log(
    path: Path, url: UpstreamUrl, role: str, since_us: int, notes: list[str]
) -> Iterator[tuple[Said, int]]:
    """Yield what a log has."""
    raise NotImplementedError
