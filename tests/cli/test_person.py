"""Adding and removing people and agents, on a real store."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdpoint.cli.agent import agent
from holdpoint.cli.person import person
from holdpoint.doors.web.credentials import fingerprint, password_matches
from holdpoint.store.store import Store
from holdpoint.wire.postgres.scram import parse_verifier


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holdpoint.db"


def run(group, path: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(group, [*words, "--store", str(path)], input=stdin)


def test_a_password_is_kept_as_a_hash_only(path: Path):
    done = run(person, path, "add", "anna", "--password-stdin", stdin="correct horse battery\n")
    assert done.exit_code == 0, done.output
    with Store.open(path) as store:
        anna = store.people.find("anna")
    assert anna is not None
    assert password_matches(anna.password_hash, "correct horse battery")
    assert b"correct horse" not in path.read_bytes()


@pytest.mark.parametrize("password", ["short", "", "hpa_" + "x" * 40])
def test_poor_passwords_are_refused(path: Path, password: str):
    done = run(person, path, "add", "anna", "--password-stdin", stdin=password + "\n")
    assert done.exit_code == 2


def test_a_new_token_ends_the_old_one(path: Path):
    first = json.loads(run(person, path, "add", "anna", "--token", "--json").output)["token"]
    second = json.loads(run(person, path, "add", "anna", "--token", "--json").output)["token"]
    assert first.startswith("hpp_")
    with Store.open(path) as store:
        assert store.people.by_token(fingerprint(first)) is None
        assert store.people.by_token(fingerprint(second)) is not None


def test_adding_somebody_twice_is_refused_when_nothing_changes(path: Path):
    assert run(person, path, "add", "anna").exit_code == 0
    again = run(person, path, "add", "Anna")
    assert (again.exit_code, "already" in again.output) == (1, True)


def test_a_link_is_made_for_people_only(path: Path):
    assert run(person, path, "link", "anna").exit_code == 1
    run(person, path, "add", "anna")
    made = json.loads(run(person, path, "link", "anna", "--json").output)
    token = made["link"].rpartition("/")[2]
    with Store.open(path) as store:
        assert store.people.link_stands(fingerprint(token), datetime.now(UTC))


def test_a_removed_person_is_gone_and_stays_listed(path: Path):
    run(person, path, "add", "anna", "--token")
    assert run(person, path, "remove", "anna").exit_code == 0
    assert run(person, path, "remove", "anna").exit_code == 1
    listed = json.loads(run(person, path, "list", "--json").output)["people"]
    assert listed == [{"name": "anna", "password": False, "token": False, "removed": True}]


def test_an_agent_needs_a_person_as_owner(path: Path):
    """A mistyped owner would let the real one answer their own agent's holds."""
    refused = run(agent, path, "add", "bot", "--owner", "ana")
    assert (refused.exit_code, "no person `ana`" in refused.output) == (1, True)


def test_an_agents_secret_is_kept_as_a_verifier_only(path: Path):
    run(person, path, "add", "anna")
    done = run(agent, path, "add", "bot", "--owner", "ANNA", "--target", "shop/write", "--json")
    made = json.loads(done.output)
    assert made["secret"].startswith("hpa_")
    assert made["connection"].startswith(f"postgresql://bot:{made['secret']}@")
    assert made["connection"].endswith("/shop%2Fwrite")
    with Store.open(path) as store:
        bot = store.agents.find("bot")
        login = store.credentials.standing(["bot"], datetime.now(UTC))["bot"]
    assert bot is not None
    assert bot.owner == "anna", "the owner as the people's table spells it"
    assert parse_verifier(login.scram_verifier).iterations >= 4096
    assert made["secret"].encode() not in path.read_bytes()


def test_no_name_is_both_a_person_and_an_agent(path: Path):
    run(person, path, "add", "anna")
    assert run(agent, path, "add", "Anna", "--owner", "anna").exit_code == 1
    run(agent, path, "add", "bot", "--owner", "anna")
    assert run(person, path, "add", "BOT").exit_code == 1


def test_a_revoked_agent_cannot_be_found(path: Path):
    run(person, path, "add", "anna")
    run(agent, path, "add", "bot", "--owner", "anna")
    assert run(agent, path, "revoke", "bot").exit_code == 0
    assert run(agent, path, "revoke", "bot").exit_code == 1
    listed = json.loads(run(agent, path, "list", "--json").output)["agents"]
    assert listed == [{"name": "bot", "owner": "anna", "revoked": True}]


def test_a_store_that_is_none_is_told_in_words(tmp_path: Path):
    other = tmp_path / "notes.db"
    other.write_text("not a database" * 100)
    done = run(person, other, "list")
    assert done.exit_code == 3
    assert "error:" in done.output
    assert "Traceback" not in done.output


def test_the_store_is_the_one_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A person added to another store than the server's could never sign in."""
    monkeypatch.chdir(tmp_path)
    lost = CliRunner().invoke(person, ["list"])
    assert (lost.exit_code, "no store is named" in lost.output) == (2, True)
    config = '[server]\nstore = "my.db"\nweb = "127.0.0.1:9999"\n[[rules]]\nnonsense = true\n'
    (tmp_path / "holdpoint.toml").write_text(config)
    assert CliRunner().invoke(person, ["add", "anna"]).exit_code == 0
    made = CliRunner().invoke(person, ["link", "anna"])
    assert made.output.startswith("http://127.0.0.1:9999/sign-in/hpl_")
    with Store.open(tmp_path / "my.db", read_only=True) as store:
        assert store.people.find("anna") is not None
    (tmp_path / "holdpoint.toml").write_text("[server]\nstore = ")
    broken = CliRunner().invoke(person, ["list"])
    assert (broken.exit_code, "cannot be read" in broken.output) == (3, True)
