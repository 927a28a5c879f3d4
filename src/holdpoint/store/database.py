"""Opens the store: the SQLite file, its safety settings, its migrations, its errors in words."""

from __future__ import annotations

import os
import sqlite3
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import QueuePool

from holdpoint.model import limits
from holdpoint.store.errors import StoreError

HEAD_REVISION: Final = "0003"  # the newest file in `migrations/versions`
_READING: Final = "holdpoint_reading"


class Database:
    """One open store file. Safe to use from several threads; other processes may have it open."""

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path: Final = path
        self._connect = _connector(path, "ro" if read_only else "rw")
        self._engine = _engine(self._connect)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Database:
        """Open the store at ``path``, creating or migrating it unless ``read_only``.

        Raises ``StoreError`` if it is missing (read-only), not a store, damaged, locked, not
        writable, or of a newer version.
        """
        path = path.absolute()
        if read_only:
            if not path.exists():
                raise StoreError(f"there is no store at `{path}`: name another with `--store`")
        else:
            _create_private(path)
        database = cls(path, read_only)
        try:
            database._bring_up_to_date(read_only)
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and never waits for a writer."""
        with self.words(), self._engine.connect() as raw:
            connection = raw.execution_options(**{_READING: True})
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is the only writer from its first statement on."""
        with self.words(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def words(self) -> Iterator[None]:
        """Turn the database's errors into ``StoreError`` with words."""
        try:
            yield
        except exc.DBAPIError as error:
            raise StoreError(describe(error, self.path)) from error
        except exc.TimeoutError as error:
            raise StoreError(f"the store `{self.path}` is overloaded: try again") from error

    def _bring_up_to_date(self, read_only: bool) -> None:
        with self.reading() as connection:
            revision = _revision(connection)
        if revision == HEAD_REVISION and read_only:
            return
        if revision is not None and revision not in _known_revisions():
            raise StoreError(
                f"the store `{self.path}` was written by a newer Holdpoint (schema `{revision}`, "
                f"this one knows up to `{HEAD_REVISION}`): upgrade, or name another store"
            )
        if read_only:
            raise StoreError(
                f"the store `{self.path}` is of an older version (schema `{revision}`): "
                "start the server once, which brings it up to date"
            )
        self._keep_a_log()
        if revision != HEAD_REVISION:
            with self.writing() as connection:
                if _revision(connection) != HEAD_REVISION:  # another process may be faster
                    _migrate(connection)

    def _keep_a_log(self) -> None:
        """Let readers and the writer work at once (WAL). Only now: the file is known to be ours."""
        try:
            connection = self._connect()
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(describe(error, self.path)) from error


def describe(error: BaseException, path: Path) -> str:
    """Say in words what went wrong with the store, and what to do next."""
    original = getattr(error, "orig", None) or error
    name = str(getattr(original, "sqlite_errorname", ""))
    for prefix, words in _WORDS:
        if name.startswith(prefix):
            return f"the store `{path}` {words}"
    return f"the store `{path}` failed: {original}"


_WORDS: Final = (
    ("SQLITE_NOTADB", "is not a Holdpoint store: name another file with `--store`"),
    ("SQLITE_CORRUPT", "is damaged: stop the server, keep the file as evidence, run "
     "`holdpoint audit verify`, and restore a backup"),
    ("SQLITE_BUSY", "is locked by another process: wait for it, or stop it"),
    ("SQLITE_LOCKED", "is locked by another process: wait for it, or stop it"),
    ("SQLITE_READONLY", "is not writable: check the rights of the file and its directory"),
    ("SQLITE_PERM", "may not be opened: check the rights of the file and its directory"),
    ("SQLITE_CANTOPEN", "cannot be opened: check that its directory exists and its rights"),
    ("SQLITE_FULL", "cannot grow: the disk is full; free space, the server goes on by itself"),
    ("SQLITE_IOERR", "cannot be read or written: check the disk, its space and the system's log"),
)  # fmt: skip


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; tighten an existing one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"the store `{path}` is not a file: name another with `--store`")
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise StoreError(
            f"the store `{path}` cannot be opened ({reason}): "
            "check that its directory exists and is writable, and the disk's space"
        ) from error


def _connector(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    uri = f"file:{urllib.parse.quote(str(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=limits.STORE_BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin where SQLAlchemy says, see `_engine`
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # FULL: a commit is on the disk when it returns, also after a power failure.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options: Any = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN" if options.get(_READING) else "BEGIN IMMEDIATE")

    return engine


def _revision(connection: Connection) -> str | None:
    """Return the schema's revision; None for an empty file. Cheap: Alembic is not loaded."""
    names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    if "alembic_version" not in names:
        if names:
            raise StoreError("this SQLite file belongs to another program: name another store")
        return None
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)


def _known_revisions() -> frozenset[str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    return frozenset(script.revision for script in scripts.walk_revisions())


def _migrate(connection: Connection) -> None:
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD_REVISION)


def _alembic_config() -> Any:
    # Alembic takes a tenth of a second to load, and is needed only when the schema is not current.
    from alembic.config import Config

    config = Config()
    scripts = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
