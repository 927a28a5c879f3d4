"""The stage is a real installation whose secrets stay where they belong."""

from pathlib import Path

import pytest

from holdpoint import config
from holdpoint.demo.shop import Shop
from holdpoint.demo.stage import AGENT, PERSON, Stage, set_stage
from holdpoint.doors.web.credentials import fingerprint
from holdpoint.store.store import Store

SHOP = Shop(
    reader="postgresql:///shop?user=shop_reader&password=r",
    writer="postgresql:///shop?user=shop_writer&password=w",
    owner="postgresql:///shop?user=shop_owner&password=o",
    orders=1,
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return set_stage(tmp_path, SHOP, postgres_port=6543, web_port=7433)


def test_its_configuration_has_nothing_wrong(stage: Stage) -> None:
    loaded = config.load(stage.configuration)
    target = loaded.target("shop")
    assert target is not None
    assert [tier.access.value for tier in target.tiers] == ["read-only", "read-write", "owner"]
    assert loaded.server.web_url == stage.base_url
    assert loaded.server.store == str(stage.store)


def test_agent_and_person_are_known(stage: Stage) -> None:
    with Store.open(stage.store) as store:
        agent = store.agents.find(AGENT)
        person = store.people.by_token(fingerprint(stage.person_token))
    assert agent is not None
    assert person is not None
    assert person.name == PERSON
    assert agent.owner != PERSON, "the owner of an agent may not answer its holds"


def test_no_file_holds_a_secret_of_a_user(stage: Stage) -> None:
    for path in stage.store.parent.iterdir():
        content = path.read_bytes()
        for secret in (stage.agent_password, stage.person_token, stage.link_token):
            assert secret.encode() not in content, path.name


def test_urls_of_the_database_are_for_the_gate_only(stage: Stage) -> None:
    for name in ("reader", "writer", "owner"):
        path = stage.store.parent / f"{name}.url"
        assert path.stat().st_mode & 0o077 == 0
        assert f"{name}.url" in stage.configuration.read_text()
    assert "password" not in stage.configuration.read_text()
