"""EmbeddedReplica: a streaming replica of an embedded server, for as long as we live.

The copy is made by ``pg_basebackup`` from the running primary and kept up to date over 127.0.0.1,
with SCRAM-SHA-256 and a role that may do nothing but replicate. A replication slot keeps what the
replica has not received yet, so that it can be left behind for as long as a test wants.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from holdpoint.embedded.binaries import Install
from holdpoint.embedded.errors import EmbeddedError
from holdpoint.embedded.owner import Owner
from holdpoint.embedded.server import HOST, EmbeddedPostgres, checked
from holdpoint.model import limits
from holdpoint.wire.postgres import scram

_NUMBERS: Final = itertools.count(1)
_POLL_S: Final = 0.02
# A lost primary is looked for this often; the server's default of 5 s is for machines far apart.
_SETTINGS: Final = {"hot_standby": "on", "wal_retrieve_retry_interval": "200ms"}


class EmbeddedReplica(EmbeddedPostgres):
    """A hot standby of ``primary``, which must be started; a context manager like that.

    It has the primary's settings, with ``settings`` on top, its superuser and its password. The
    data is gone after ``stop``; role and slot are removed from the primary if that still runs.
    """

    def __init__(
        self, primary: EmbeddedPostgres, *, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            primary.version,
            cache_dir=primary._cache_dir,
            settings={**primary._settings, **_SETTINGS, **(settings or {})},
            user=primary._user,
            home=primary._home,
        )
        self.primary = primary
        self.password = primary.password
        self.name = f"holdpoint_replica_{next(_NUMBERS)}"
        """The name of its role, its slot and its walreceiver on the primary."""
        self._secret = secrets.token_urlsafe(24)

    def start(self) -> None:
        """Copy the primary and start; returns when the replica accepts connections."""
        if self._watchdog is not None:
            raise EmbeddedError("the embedded replica is already started")
        verifier = scram.make_verifier(self._secret, secrets.token_bytes(scram.SALT_BYTES))
        with self._at_primary() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN REPLICATION PASSWORD {}").format(
                    sql.Identifier(self.name), sql.Literal(verifier)
                )
            )
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [self.name])
        try:
            super().start()
        except BaseException:
            self._forget()
            raise

    def stop(self) -> None:
        """Stop the replica and remove its data; does nothing if it does not run."""
        runs = self._watchdog is not None
        super().stop()
        if runs and self._watchdog is None:
            self._forget()

    def promote(self) -> None:
        """Make it a primary of its own; returns when it takes writes."""
        if not self._ask(self, "SELECT pg_promote(true, %s)", int(limits.EMBEDDED_START_TIMEOUT_S)):
            raise EmbeddedError("the replica was not promoted in time")

    def pause_replay(self) -> None:
        """Stop applying what comes from the primary; it is still received."""
        self._ask(self, "SELECT pg_wal_replay_pause()")
        if self.version >= 14:  # before, a request cannot be told from a pause
            self._until("SELECT pg_get_wal_replay_pause_state() = 'paused'", "pause")

    def resume_replay(self) -> None:
        """Apply again."""
        self._ask(self, "SELECT pg_wal_replay_resume()")

    def wait_caught_up(self) -> None:
        """Return when everything is applied that the primary had committed at the call."""
        with self._at_primary() as connection:
            # A commit that waits for the log also writes what was committed without waiting.
            with connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = local")
                connection.execute("SELECT pg_logical_emit_message(true, 'holdpoint', '')")
            row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None, "a SELECT without FROM gives a row"
        self._until("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", "catch up", row[0])

    # --- how it is made ---------------------------------------------------------------------------

    def _fill(self, folder: Path, install: Install, owner: Owner, cache: Path) -> None:
        """Copy the primary into the folder, as the server's user."""
        timeout_s = limits.EMBEDDED_PREPARE_TIMEOUT_S
        port = self.primary.port
        # Neither log nor command line has the password.
        line = f"{HOST}:{port}:*:{self.name}:{self._secret}\n"
        owner.write(folder / "primary.pass", line.encode())
        program: list[str | Path] = [install.program("pg_basebackup"), "-D", folder / "data"]
        options = ["--checkpoint=fast", "--wal-method=stream", f"--slot={self.name}"]
        options += ["--no-sync", "--no-manifest", f"--dbname={self._source(folder)}"]
        checked(owner.run([*program, *options], timeout_s=timeout_s))
        owner.write(folder / "data" / "standby.signal", b"")
        checked(owner.run(["mkdir", folder / "s"], timeout_s=timeout_s))

    def _source(self, folder: Path) -> str:
        """Where the replica finds its primary, as libpq reads it."""
        return make_conninfo(
            "",
            host=HOST,
            port=self.primary.port,
            user=self.name,
            passfile=str(folder / "primary.pass"),
            application_name=self.name,
            sslmode="disable",
            gssencmode="disable",
        )

    def _server_settings(self, folder: Path) -> dict[str, str]:
        return {
            **super()._server_settings(folder),
            "primary_conninfo": self._source(folder),
            "primary_slot_name": self.name,
        }

    # --- asking -----------------------------------------------------------------------------------

    def _at_primary(self) -> psycopg.Connection:
        return psycopg.connect(self.primary.url(), autocommit=True)

    @staticmethod
    def _ask(server: EmbeddedPostgres, query: LiteralString, *values: object) -> Any:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None, "a SELECT without FROM gives a row"
        return row[0]

    def _until(self, query: LiteralString, what: str, *values: object) -> None:
        end = time.monotonic() + limits.EMBEDDED_START_TIMEOUT_S
        while not self._ask(self, query, *values):
            if time.monotonic() > end:
                raise EmbeddedError(
                    f"the replica did not {what} within {limits.EMBEDDED_START_TIMEOUT_S:g} s"
                )
            time.sleep(_POLL_S)

    def _forget(self) -> None:
        """Remove role and slot from the primary; it may be gone, and its data with it."""
        with suppress(psycopg.Error, EmbeddedError), self._at_primary() as connection:
            end = time.monotonic() + limits.EMBEDDED_STOP_TIMEOUT_S
            while time.monotonic() < end:
                try:
                    connection.execute(
                        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                        " WHERE slot_name = %s",
                        [self.name],
                    )
                    break
                except psycopg.errors.ObjectInUse:  # its walsender has not noticed the end yet
                    time.sleep(_POLL_S)
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(self.name)))
