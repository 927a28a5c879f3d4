"""An impact back from the JSON values of a record: the figures that decisions rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdpoint.model.impact import Basis, Cascade, Figure, Impact, ReadCost


def impact_of(document: object) -> Impact:
    """Return the figures of a record; a record without any gives figures that nobody asked for.

    Raises KeyError, TypeError or ValueError for what is no impact document.
    """
    if not isinstance(document, Mapping):
        return Impact()
    read = document.get("read")
    return Impact(
        rows=_figure(document["rows"]),
        table_rows=_figure(document["table_rows"]),
        cascades=tuple(_cascade(each) for each in document.get("cascades", [])),
        read=None if read is None else _read(read),
    )


def _figure(document: Mapping[str, Any]) -> Figure:
    value = document["value"]
    return Figure(
        None if value is None else int(value),
        Basis(document["basis"]),
        str(document.get("why", "")),
    )


def _cascade(document: Mapping[str, Any]) -> Cascade:
    return Cascade(
        level=int(document["level"]),
        table=str(document["table"]),
        constraint=str(document["constraint"]),
        action=str(document["action"]),
        through=str(document["through"]),
        rows=_figure(document["rows"]),
    )


def _read(document: Mapping[str, Any]) -> ReadCost:
    return ReadCost(
        cost=int(document["cost"]),
        rows=int(document["rows"]),
        hurts=str(document.get("hurts", "")),
        basis=Basis(document["basis"]),
        why=str(document.get("why", "")),
    )
