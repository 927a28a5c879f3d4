"""An impact as JSON values, for records, the review page and the command line.

``rows`` and ``table_rows`` are always there; the rest only where it was looked for and found.
"""

from __future__ import annotations

from typing import Any

from holdpoint.model.impact import Figure, Impact, ReadCost, TableImpact


def impact_document(impact: Impact) -> dict[str, Any]:
    """Return what is known of an impact."""
    document: dict[str, Any] = {
        "rows": figure_document(impact.rows),
        "table_rows": figure_document(impact.table_rows),
    }
    parts: dict[str, Any] = {
        "words": list(impact.words),
        "tables": [_table(table) for table in impact.tables],
        "cascades": [
            {
                "level": each.level,
                "table": each.table,
                "constraint": each.constraint,
                "action": each.action,
                "through": each.through,
                "rows": figure_document(each.rows),
            }
            for each in impact.cascades
        ],
        "firings": [
            {
                "table": each.table,
                "name": each.name,
                "when": each.when,
                "function": each.function,
                "does": list(each.does),
                "outside": each.outside,
            }
            for each in impact.firings
        ],
        "dependents": [
            {"kind": each.kind, "name": each.name, "on": each.on, "goes": each.goes}
            for each in impact.dependents
        ],
        "users": [
            {"table": each.table, "kind": each.kind, "name": each.name, "detail": each.detail}
            for each in impact.users
        ],
        "undo": None if impact.undo is None else impact.undo.value,
        "undo_how": impact.undo_how,
        "read": None if impact.read is None else _read(impact.read),
        "failed": list(impact.failed),
    }
    document.update({name: part for name, part in parts.items() if part})
    return document


def figure_document(figure: Figure) -> dict[str, Any]:
    """Return a figure with its basis."""
    return {"value": figure.value, "basis": figure.basis.value, "why": figure.why}


def _table(table: TableImpact) -> dict[str, Any]:
    return {
        "name": table.name,
        "rows": figure_document(table.rows),
        "table_rows": figure_document(table.table_rows),
        "size_bytes": figure_document(table.size_bytes),
        "indexes": list(table.indexes),
        "partitions": table.partitions,
        "lock": "" if table.lock is None else table.lock.value,
        "blocks": table.blocks,
        "work": table.work.value,
        "why": table.why,
        "busy": figure_document(table.busy),
    }


def _read(read: ReadCost) -> dict[str, Any]:
    return {
        "cost": read.cost,
        "rows": read.rows,
        "hurts": read.hurts,
        "plan": list(read.plan),
        "basis": read.basis.value,
        "why": read.why,
    }
