"""How a session begins: what others have planted for it, whose role it gets, and its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from door_support import AGENTS, SECRET, TABLES, Gate, eventually, write_config
from escape_support import OPENS, WEAK, database_with_traps, escaping
from psycopg.conninfo import conninfo_to_dict
from wire_client import RefusedError

from holdpoint import app
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.wire.postgres.frames import frame
from support.servers import fresh_database

SET_CONFIG_OID = 2078  # PostgreSQL: pg_proc.dat
LOGIN_TRIGGER = f"""
CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql
    AS $$BEGIN PERFORM {OPENS}; END$$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION on_login()
"""
EVIL = f"""
CREATE SCHEMA evil;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$SELECT {OPENS}$$;
CREATE VIEW evil.pg_class AS SELECT {OPENS};
"""


@pytest.fixture(scope="module")
def trap(postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with database_with_traps(postgres18, tmp_path_factory.mktemp("planted18"), EVIL) as gate:
        yield gate


@pytest.fixture(scope="module")
def trap16(
    postgres16: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with database_with_traps(postgres16, tmp_path_factory.mktemp("planted16"), EVIL) as gate:
        yield gate


@contextmanager
def planted(gate: Gate, *settings: str) -> Iterator[None]:
    """Settings of the database, and of the tier's role in it, for the sessions to come."""
    database = conninfo_to_dict(gate.direct)["dbname"]
    places = (f"DATABASE {database}", f"ROLE CURRENT_USER IN DATABASE {database}")
    with psycopg.connect(gate.direct, autocommit=True) as connection:
        for setting in settings:
            whose, _, words = setting.partition(" ")
            connection.execute(f"ALTER {places[whose == 'role']} SET {words}".encode())
        gate.look_again()
        try:
            yield
        finally:
            for place in places:
                connection.execute(f"ALTER {place} RESET ALL".encode())
            gate.look_again()


@pytest.mark.parametrize(
    ("where", "setting", "words"),
    [
        ("trap", f"role role = '{WEAK}'", f"begins as role `{WEAK}` and not as `postgres`"),
        ("trap16", f"role role = '{WEAK}'", f"begins as role `{WEAK}` and not as `postgres`"),
        ("trap", f"database role = '{WEAK}'", f"begins as role `{WEAK}`"),
        ("trap", "database session_replication_role = 'replica'", "foreign keys turned off"),
    ],
)
def test_a_session_that_is_not_what_its_tier_says_does_not_begin(
    request: pytest.FixtureRequest, where: str, setting: str, words: str
) -> None:
    trap: Gate = request.getfixturevalue(where)
    since = trap.length()
    with planted(trap, setting), pytest.raises(RefusedError) as refused, trap.raw("replica"):
        pass
    assert refused.value.fields["S"] == "FATAL"
    assert words in refused.value.fields["M"]
    trap.quiet()
    reasons = [body["reason"] for kind, body in trap.trail(since) if kind == "session.refused"]
    assert [words in reason for reason in reasons] == [True]


def test_a_login_trigger_that_opens_the_session_ends_it(trap: Gate) -> None:
    with psycopg.connect(trap.direct, autocommit=True) as connection:
        connection.execute(LOGIN_TRIGGER.encode())
        try:
            with pytest.raises(RefusedError, match="may write"), trap.raw("replica"):
                pass
            with trap.raw("write"):  # where it may anyway
                pass
        finally:
            connection.execute("DROP EVENT TRIGGER on_login")
            connection.execute("DROP FUNCTION on_login")
            trap.look_again()


def test_what_is_planted_and_harmless_stays_without_effect(trap: Gate) -> None:
    misread = (
        r"SELECT '\' , $$ ' , set_config($a$default_transaction_read_only$a$, $a$off$a$, false)"
        " -- $$"
    )  # a string and another one, or a call: standard_conforming_strings decides
    with (
        planted(
            trap,
            "database default_transaction_read_only = off",
            "role default_transaction_read_only = off",
            "database search_path = evil, pg_catalog, public",
            "database standard_conforming_strings = off",
        ),
        escaping(trap) as escapes,
    ):
        for text in ("SELECT lower('A')", "TABLE pg_class", misread):
            answer = escapes.attempt(False, text)
            assert answer.split()[-2] in ("E:42501", "E:HP001"), text


@pytest.mark.parametrize(
    "setting",
    [
        {"options": "-c default_transaction_read_only=off"},
        {"options": "-cdefault_transaction_read_only=off"},
        {"options": "--default_transaction_read_only=off"},
        {"options": f"-c role={WEAK}"},
        {"options": "-c work_mem=1GB"},
        {"options": "-c session_replication_role=replica"},
        {"options": r"-c search_path=evil,\ pg_catalog"},
        {"default_transaction_read_only": "off"},
        {"role": WEAK},
        {"search_path": "evil"},
        {"work_mem": "1GB"},
        {"replication": "database"},
    ],
    ids=str,
)
def test_no_setting_of_the_start_leads_out(trap: Gate, setting: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused, trap.raw("replica", **setting):
        pass
    assert refused.value.fields["C"] in ("0A000", "22023")


def test_libpqs_own_ways_to_give_settings(trap: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(psycopg.OperationalError, match="default_transaction_read_only"):
        trap.connect("replica", options="-c default_transaction_read_only=off")
    monkeypatch.setenv("PGOPTIONS", f"-c role={WEAK}")
    with pytest.raises(psycopg.OperationalError, match="setting `role`"):
        trap.connect("replica")


def test_frames_that_are_no_statements_run_nothing(trap: Gate) -> None:
    """A FunctionCall would call `set_config` without any text that could be read."""
    arguments = b"".join(
        len(each).to_bytes(4, "big") + each
        for each in (b"default_transaction_read_only", b"off", b"f")
    )
    call = SET_CONFIG_OID.to_bytes(4, "big") + b"\0\0" + b"\0\3" + arguments + b"\0\0"
    with escaping(trap) as escapes:
        assert escapes.agent.ask(frame(ord("F"), call)) == "E:0A000 ZI"
        escapes.prove("FunctionCall")


def test_the_record_of_the_start_says_as_whom(trap: Gate) -> None:
    since = trap.length()
    with trap.raw("replica"):
        pass
    trap.quiet()
    ((_, opened),) = [each for each in trap.trail(since) if each[0] == "session.opened"]
    shown = {key: opened[key] for key in ("role", "superuser", "replica")}
    assert shown == {"role": "postgres", "superuser": True, "replica": False}


# --- secrets and minted roles ---------------------------------------------------------------------

MINTING = """
CREATE ROLE gate_reader LOGIN PASSWORD 'pw of reader';
CREATE ROLE gate_minter LOGIN CREATEROLE PASSWORD 'pw of minter';
GRANT gate_reader TO gate_minter WITH ADMIN OPTION;
CREATE SCHEMA gate_reader;
CREATE TABLE gate_reader.orders AS SELECT 'of the schema named as the role' AS status;
GRANT USAGE ON SCHEMA gate_reader TO gate_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public, gate_reader TO gate_reader;
"""
PASSWORDS = ("pw of reader", "pw of minter", SECRET)


@pytest.fixture(scope="module")
def minting(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gate, Path]]:
    """A gate whose tier `replica` gives each session a role, with secrets from commands."""
    folder = tmp_path_factory.mktemp("minting")
    with fresh_database(postgres18, TABLES + MINTING) as name:
        base = conninfo_to_dict(postgres18.url(database=name))
        place = f"{base['host']}:{base['port']}/{name}"
        for role in ("reader", "minter"):
            (folder / role).write_text(f"postgres://gate_{role}:pw%20of%20{role}@{place}\n")
        (folder / "url").write_text(f"postgres://gate_reader@{place}\n")
        (folder / "pw").write_text("pw of reader\n")
        write_config(folder, postgres18.url(database=name))
        path = folder / "holdpoint.toml"
        text = path.read_text().replace(
            f'url = "file:{folder}/upstream.url"\n',
            f'url = "command:cat {folder}/url"\npassword = "command:cat {folder}/pw"\n'
            f'mint = {{ url = "command:cat {folder}/minter", valid = "1h" }}\n',
            1,
        )
        path.write_text(text)
        with Gate.of(path, postgres18.url(database=name)) as gate:
            gate.look_again()
            yield gate, folder
        with psycopg.connect(gate.direct, autocommit=True) as connection:
            connection.execute("DROP OWNED BY gate_reader CASCADE; DROP SCHEMA gate_reader CASCADE")
            connection.execute("DROP ROLE gate_reader, gate_minter")


def minted_roles(gate: Gate) -> list[str]:
    with psycopg.connect(gate.direct) as connection:
        found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'hp\\_%'")
        return [name for (name,) in found]


def test_each_session_has_a_role_of_its_own(minting: tuple[Gate, Path]) -> None:
    gate, _ = minting
    since = gate.length()
    with gate.raw("replica") as one, gate.raw("replica", AGENTS[1]) as other:
        names = [
            wire.query("SELECT current_user").split("D:")[1].split()[0] for wire in (one, other)
        ]
        assert names[0].startswith("hp_claude_")
        assert names[1].startswith("hp_gpt_")
        assert sorted(minted_roles(gate)) == sorted(names)
        # `$user` is the minted role: the schema that is named as the tier's role is not meant.
        for text in (
            "SELECT status FROM orders WHERE id = 1",
            'SET search_path = "$user", public; SELECT status FROM orders WHERE id = 1',
            "RESET search_path; SELECT status FROM orders WHERE id = 1",
        ):
            assert "D:new" in one.query(text), text
        assert one.query("SELECT * FROM payments FOR UPDATE").startswith("E:42501")
        assert one.query("DISCARD ALL") == "C:DISCARD ALL ZI"
        assert names[0] in one.query("SELECT current_user")
    eventually(lambda: not minted_roles(gate), "the end of the minted roles")
    gate.quiet()
    opened = [body["role"] for kind, body in gate.trail(since) if kind == "session.opened"]
    assert sorted(opened) == sorted(names)


def test_secrets_are_nowhere(minting: tuple[Gate, Path], capfd: pytest.CaptureFixture[str]) -> None:
    gate, folder = minting
    with gate.raw("replica"):
        pass
    # What drops the session's role reads the minter's URL anew: it must be done before that is bad.
    eventually(lambda: not minted_roles(gate), "the end of the minted role")
    (folder / "minter").write_text("postgres://gate_minter:pw%20of%20somebody@127.0.0.1:1/x\n")
    app._COMMANDS._kept.clear()
    with pytest.raises(RefusedError) as refused, gate.raw("replica"):
        pass
    assert "HP8016" in refused.value.fields["M"]
    (folder / "url").unlink()
    app._COMMANDS._kept.clear()
    with pytest.raises(RefusedError) as unreachable, gate.raw("replica"):
        pass
    assert "no URL: `cat` ended with 1" in unreachable.value.fields["M"]
    gate.quiet()
    told = f"{refused.value.fields} {unreachable.value.fields} {gate.trail()}"
    told += "".join(capfd.readouterr())
    store = Path(gate.config.server.store)
    written = [each for each in store.parent.glob(store.name + "*") if each.is_file()]
    assert len(written) > 1
    for password in (*PASSWORDS, "pw%20of", "pw of somebody"):
        assert password not in told
        for file in written:
            assert password.encode() not in file.read_bytes(), file
    assert os.fspath(folder / "minter") not in told  # the arguments of a command
