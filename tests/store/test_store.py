"""The store on a real disk: safe settings, one schema, words for everything that goes wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

import holdpoint.store
from holdpoint.store import Store, StoreError
from holdpoint.store.database import HEAD_REVISION
from holdpoint.store.tables import METADATA
from holdpoint.store.times import from_us, to_us

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room" / "h.db"


@pytest.fixture
def store(path: Path):
    with Store.open(path) as store:
        yield store


def test_a_new_store_is_private_durable_and_named(store: Store, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for beside in path.parent.glob("h.db-*"):
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    with store.database.reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1], "2 is FULL"
    assert store.records.origin().startswith("holdpoint/")


def test_a_file_that_others_could_read_is_tightened(path: Path) -> None:
    Store.open(path).close()
    path.chmod(0o644)
    Store.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_trails_never_have_the_same_name(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as one, Store.open(tmp_path / "b.db") as two:
        assert one.records.origin() != two.records.origin()


def test_opening_again_keeps_everything(store: Store, path: Path) -> None:
    store.agents.add("bot", "olga", "v", NOW)
    with Store.open(path) as again:
        assert again.records.origin() == store.records.origin()
        assert [agent.name for agent in again.agents.all()] == ["bot"]


def test_the_migrations_lead_to_the_tables(store: Store) -> None:
    scripts = Path(holdpoint.store.__file__).with_name("migrations")
    config = Config()
    config.set_main_option("script_location", str(scripts))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD_REVISION]
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_processes_that_open_a_new_store_at_once_make_one(path: Path) -> None:
    path.parent.mkdir()
    code = (
        "import sys; from holdpoint.store import Store\n"
        "print(Store.open(sys.argv[1]).records.origin())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    (origin,) = {child.communicate()[0].strip() for child in children}
    assert origin.startswith("holdpoint/")


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"this was a database")


def damage_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(os.path.getsize(path) - 100))


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cookies (a)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (damage_header, "is not a Holdpoint store: name another file"),
        (damage_pages, "is damaged: stop the server, keep the file as evidence"),
        (newer, "was written by a newer Holdpoint .* upgrade"),
        (foreign, "belongs to another program"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_that_does_not_serve_says_why(
    path: Path, tamper, words: str, read_only: bool
) -> None:
    Store.open(path).close()
    tamper(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words):
        Store.open(path, read_only=read_only)
    assert path.read_bytes() == before, "evidence stays as it was"


def test_a_missing_store_is_not_made_for_a_reader(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        Store.open(path, read_only=True)
    assert not path.exists()


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path)


def test_a_path_below_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path / "file" / "h.db")


def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    with Store.open(path, read_only=True) as reader:
        assert reader.agents.all() == []
        with pytest.raises(StoreError, match="is not writable"):
            reader.agents.add("bot", "olga", "v", NOW)


def test_a_reader_is_not_stopped_by_a_writer(store: Store) -> None:
    with store.database.writing(), store.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM agents").scalar() == 0


def test_odd_file_names_are_names(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?#ü.db"
    Store.open(path).close()
    assert path.exists()
    Store.open(path, read_only=True).close()


# --- agents and people ----------------------------------------------------------------------------


def test_an_agent_is_found_until_it_is_revoked(store: Store) -> None:
    store.agents.add("bot", "olga", "v1", NOW)
    found = store.agents.find("bot")
    assert found is not None
    assert (found.owner, found.created_at) == ("olga", NOW)
    assert store.agents.find("BOT") is None, "agents sign in with their exact name"
    assert store.agents.revoke("bot", NOW) is True
    assert store.agents.find("bot") is None
    assert store.agents.revoke("bot", NOW) is False
    assert store.agents.all()[0].revoked_at == NOW


@pytest.mark.parametrize("name", ["bot", "BOT", "ｂｏｔ"])
def test_names_are_used_once_in_every_spelling(store: Store, name: str) -> None:
    store.agents.add("bot", "olga", "v", NOW)
    store.agents.revoke("bot", NOW)
    with pytest.raises(StoreError, match="existed and was revoked"):
        store.agents.add(name, "olga", "v", NOW)
    with pytest.raises(StoreError, match="is an agent"):
        store.people.add(name, NOW)


def test_an_agent_cannot_take_a_person_s_name(store: Store) -> None:
    store.people.add("Anna", NOW)
    with pytest.raises(StoreError, match="is a person"):
        store.agents.add("anna", "olga", "v", NOW)
    with pytest.raises(StoreError, match="a person `Anna` exists"):
        store.people.add("ANNA", NOW)


@pytest.mark.parametrize("name", ["", " bot", "bot ", "b\not", "b\x00t", "x" * 64, "a\u202eb"])
def test_names_that_could_mislead_are_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError):
        store.agents.add(name, "olga", "v", NOW)
    with pytest.raises(StoreError):
        store.people.add(name, NOW)


def test_a_person_is_found_by_name_and_token_until_revoked(store: Store) -> None:
    store.people.add("Anna", NOW, password_hash="$argon2id$x", token_sha256="t1")
    assert store.people.find("anna") == store.people.by_token("t1")
    assert store.people.by_token("") is None
    assert store.people.by_token("t2") is None
    assert store.people.set_token("anna", "t2") is True
    assert store.people.by_token("t1") is None
    assert store.people.revoke("anna", NOW) is True
    assert store.people.find("anna") is None
    assert store.people.by_token("t2") is None


def test_people_without_a_token_are_not_found_by_an_empty_one(store: Store) -> None:
    store.people.add("anna", NOW)
    store.people.add("ben", NOW)
    assert store.people.by_token("") is None


def test_a_link_works_once_and_in_time(store: Store) -> None:
    store.people.add("anna", NOW)
    later = NOW + timedelta(minutes=5)
    for name in ("used", "late", "revoked"):
        store.people.add_link(name, "anna", later)
    assert store.people.link_stands("used", NOW)
    used = store.people.use_link("used", NOW)
    assert used is not None
    assert used.name == "anna"
    assert store.people.use_link("used", NOW) is None
    assert not store.people.link_stands("used", NOW)
    assert store.people.use_link("late", later) is None
    assert store.people.use_link("unknown", NOW) is None
    store.people.revoke("anna", NOW)
    assert store.people.use_link("revoked", NOW) is None


def test_a_link_needs_a_person(store: Store) -> None:
    store.agents.add("bot", "olga", "v", NOW)
    for nobody in ("bot", "ghost"):
        with pytest.raises(StoreError, match="there is no person"):
            store.people.add_link("x", nobody, NOW)


@given(st.integers(0, 2**53 - 1).filter(lambda us: us < to_us(datetime.max.replace(tzinfo=UTC))))
def test_times_are_kept_exactly(value: int) -> None:
    assert to_us(from_us(value)) == value
