"""A line on the terminal while something long is read; nothing where no person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import click

Item = TypeVar("Item")

SHOWN_FROM: Final = 2_000  # fewer are done before anybody could read the line
STEP: Final = 500


def shown(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Yield ``items``, of which ``total`` are expected, and draw how far they are."""
    if total < SHOWN_FROM or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        done = 0
        for item in items:
            yield item
            done += 1
            if done % STEP == 0:
                bar.update(STEP)
        bar.update(done % STEP)
