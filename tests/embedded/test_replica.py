"""The embedded replica: it follows its primary, takes no writes, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdpoint.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedReplica
from support.servers import Replicated, fresh_database


@pytest.fixture
def notes(replicated: Replicated) -> Iterator[str]:
    """A database with an empty table `notes`, there on both servers."""
    with fresh_database(replicated.primary, "CREATE TABLE notes (text text)") as name:
        replicated.replica.wait_caught_up()
        yield name


def write(server: EmbeddedPostgres, database: str, text: str) -> None:
    with psycopg.connect(server.url(database=database), autocommit=True) as connection:
        connection.execute("INSERT INTO notes VALUES (%s)", [text])


def notes_at(server: EmbeddedPostgres, database: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url(database=database)) as connection:
        return connection.execute("SELECT text FROM notes ORDER BY text").fetchall()


def test_what_is_committed_arrives(replicated: Replicated, notes: str) -> None:
    write(replicated.primary, notes, "first")
    replicated.replica.wait_caught_up()
    assert notes_at(replicated.replica, notes) == [("first",)]


def test_it_takes_no_writes_not_even_from_the_superuser(replicated: Replicated, notes: str) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        write(replicated.replica, notes, "never")


def test_paused_it_receives_and_does_not_apply(replicated: Replicated, notes: str) -> None:
    replica = replicated.replica
    replica.pause_replay()
    try:
        write(replicated.primary, notes, "later")
        assert notes_at(replica, notes) == []
    finally:
        replica.resume_replay()
    replica.wait_caught_up()
    assert notes_at(replica, notes) == [("later",)]


def left_at(primary: EmbeddedPostgres, name: str) -> tuple[Any, ...] | None:
    with psycopg.connect(primary.url()) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = %(name)s),"
            " (SELECT count(*) FROM pg_roles WHERE rolname = %(name)s)",
            {"name": name},
        ).fetchone()


def test_promoted_it_is_a_primary_of_its_own_and_stopped_it_leaves_nothing_behind(
    replicated: Replicated, notes: str
) -> None:
    with EmbeddedReplica(replicated.primary) as other:
        folder = other.socket_dir.parent
        assert left_at(replicated.primary, other.name) == (1, 1)
        other.promote()
        write(other, notes, "here only")
        assert notes_at(other, notes) == [("here only",)]
    assert notes_at(replicated.primary, notes) == []
    assert not folder.exists()
    assert left_at(replicated.primary, other.name) == (0, 0)


def test_a_copy_that_fails_leaves_nothing_behind() -> None:
    """A primary that lets nobody replicate: one walsender is not enough for a copy."""
    with EmbeddedPostgres(18, durable=False, settings={"max_wal_senders": "1"}) as primary:
        replica = EmbeddedReplica(primary)
        with pytest.raises(EmbeddedError, match=r"pg_basebackup.*failed"):
            replica.start()
        assert left_at(primary, replica.name) == (0, 0)


def test_its_secrets_are_on_no_command_line_and_in_no_log(replicated: Replicated) -> None:
    replica = replicated.replica
    secrets = [replica._secret.encode(), replica.password.encode()]
    said = replica.log_file.read_bytes() + replicated.primary.log_file.read_bytes()
    said += Path(f"/proc/{replica.pid}/cmdline").read_bytes()
    assert [secret for secret in secrets if secret in said] == []


def test_its_settings_stand_on_top_of_the_primarys_which_it_outlives() -> None:
    shared = {"max_connections": "30", "work_mem": "5MB"}
    with (
        EmbeddedPostgres(16, durable=False, settings=shared) as primary,
        EmbeddedReplica(primary, settings={"work_mem": "6MB"}) as replica,
    ):
        primary.stop()
        with psycopg.connect(replica.url()) as connection:
            row = connection.execute(
                "SELECT pg_is_in_recovery(), current_setting('max_connections'),"
                " current_setting('work_mem'), current_setting('server_version_num')::int / 10000"
            ).fetchone()
    assert row == (True, "30", "6MB", 16)


def test_without_a_primary_there_is_no_replica() -> None:
    with pytest.raises(EmbeddedError, match="not started"):
        EmbeddedReplica(EmbeddedPostgres(18)).start()
