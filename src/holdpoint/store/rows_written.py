"""How many rows each task has written: counted before a statement runs, corrected after it."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from holdpoint.store.database import Database
from holdpoint.store.tables import ROWS_WRITTEN


class RowsWritten:
    """The rows that tasks have written, those set aside for running statements included."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, task: str) -> int:
        """Return how many rows a task has written."""
        with self._database.reading() as connection:
            found = select(ROWS_WRITTEN.c.rows).where(ROWS_WRITTEN.c.task == task)
            rows = connection.execute(found).scalar()
            return 0 if rows is None else int(rows)

    def add(self, task: str, rows: int) -> None:
        """Count more of them, or fewer for a negative number."""
        more = update(ROWS_WRITTEN).where(ROWS_WRITTEN.c.task == task)
        with self._database.writing() as connection:
            done = connection.execute(more.values(rows=ROWS_WRITTEN.c.rows + rows))
            if done.rowcount == 0:
                connection.execute(insert(ROWS_WRITTEN).values(task=task, rows=rows))
