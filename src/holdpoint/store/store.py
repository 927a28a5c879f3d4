"""The store as the rest of the house sees it: one file, one object, one part per table."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from sqlalchemy import insert, select

from holdpoint.store.agents import Agents
from holdpoint.store.credentials import Credentials
from holdpoint.store.database import Database
from holdpoint.store.holds import Holds
from holdpoint.store.people import People
from holdpoint.store.records import Records
from holdpoint.store.rows_written import RowsWritten
from holdpoint.store.tables import TRAIL
from holdpoint.store.tasks import Tasks


class Store:
    """The open store, one part for each table or two that belong together.

    Every method raises ``StoreError`` with words when the file does not serve.
    """

    def __init__(self, database: Database) -> None:
        self.database: Final = database
        self.path: Final = database.path
        self.agents: Final = Agents(database)
        self.credentials: Final = Credentials(database)
        self.tasks: Final = Tasks(database)
        self.rows_written: Final = RowsWritten(database)
        self.people: Final = People(database)
        self.holds: Final = Holds(database)
        self.records: Final = Records(database)

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Store:
        """Open the store at ``path``, creating it unless ``read_only``."""
        database = Database.open(Path(path), read_only=read_only)
        try:
            if not read_only:
                _name_trail(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def beside(self, suffix: str) -> Path:
        """Return the path of a file that lives beside the store: ``beside(".key")``."""
        return self.path.with_name(self.path.name + suffix)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _name_trail(database: Database) -> None:
    """Give a new trail a name of its own, so that two trails can never be spliced."""
    with database.reading() as connection:
        if connection.execute(select(TRAIL.c.id)).first() is not None:
            return
    origin = f"holdpoint/{secrets.token_hex(8)}"
    with database.writing() as connection:
        if connection.execute(select(TRAIL.c.id)).first() is None:
            created = time.time_ns() // 1000
            connection.execute(insert(TRAIL).values(id=1, origin=origin, created_at=created))
