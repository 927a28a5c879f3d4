"""The demo's stage: a directory with the shop's URLs, a configuration, and a store with two users.

Everything a real installation has, in one directory of its own, so that people can look at it.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from holdpoint.demo.shop import Shop
from holdpoint.doors.web.credentials import CredentialClass, fingerprint, new_secret
from holdpoint.model.limits import SIGN_IN_LINK_S
from holdpoint.store.store import Store
from holdpoint.wire.postgres.scram import SALT_BYTES, make_verifier

AGENT: Final = "shop-agent"
OWNER: Final = "sam"  # answers for the agent, and may therefore not answer its holds
PERSON: Final = "alex"

CONFIGURATION: Final = """\
# The demo's configuration. A real one is made by `holdpoint policy init`.
[server]
listen = "127.0.0.1:{postgres_port}"
web = "127.0.0.1:{web_port}"
store = "holdpoint.db"

[targets.shop]
engine = "postgres"
admin_url = "file:{directory}/owner.url"  # for `holdpoint access`: people's commands
environment = "production"
timezone = "Europe/Berlin"
business_hours = "Mon-Fri 08:00-18:00"

# The default: what an agent gets that names no tier. Reads never go to the primary instead.
[targets.shop.tiers.replica]
access = "read-only"
url = "file:{directory}/reader.url"
replica = true
lag_over = "10s"
when_lagging = "wait"
role = "shop_reader"
grants = {{ "*" = ["select"] }}

[targets.shop.tiers.write]
access = "read-write"
agents = ["{agent}"]
url = "file:{directory}/writer.url"
role = "shop_writer"
functions = {{ "reserve_stock(integer, text, integer)" = ["execute"] }}

[targets.shop.tiers.write.grants]
"*" = ["select"]
orders = ["insert", "update", "delete"]
order_items = ["insert", "update", "delete"]
payments = ["insert", "update", "delete"]
inventory = ["update"]
products = ["update"]

[targets.shop.tiers.owner]
access = "owner"
agents = ["{agent}"]  # for `holdpoint access apply`; a real one would be for nobody but that
url = "file:{directory}/owner.url"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A prepared installation. ``person_token`` and ``agent_password`` are secrets."""

    configuration: Path
    store: Path
    postgres_port: int
    web_port: int
    agent_password: str
    person_token: str
    link_token: str

    @property
    def base_url(self) -> str:
        """Where the review page is."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def sign_in_link(self) -> str:
        """The link that signs the person in, once."""
        return f"{self.base_url}/sign-in/{self.link_token}"

    def agent_url(self, tier: str = "") -> str:
        """What the agent gets instead of the database's address."""
        database = quote(f"shop/{tier}" if tier else "shop", safe="")
        login = f"{AGENT}:{quote(self.agent_password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.postgres_port}/{database}"


def set_stage(directory: Path, shop: Shop, *, postgres_port: int, web_port: int) -> Stage:
    """Write URLs, configuration and store into ``directory``, which must be private and empty."""
    urls = {"reader": shop.reader, "writer": shop.writer, "owner": shop.owner}
    for name, url in urls.items():
        write_secret(directory / f"{name}.url", url)
    configuration = directory / "holdpoint.toml"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory, postgres_port=postgres_port, web_port=web_port, agent=AGENT
        )
    )
    store = directory / "holdpoint.db"
    agent_password = new_secret(CredentialClass.AGENT, secrets.token_bytes)
    person_token = new_secret(CredentialClass.PERSON, secrets.token_bytes)
    link_token = new_secret(CredentialClass.SIGN_IN_LINK, secrets.token_bytes)
    now = datetime.now(UTC)
    add_agent(store, AGENT, OWNER, agent_password)
    with Store.open(store) as opened:
        opened.people.add(OWNER, now)
        opened.people.add(PERSON, now, token_sha256=fingerprint(person_token))
        expires = now + timedelta(seconds=SIGN_IN_LINK_S)
        opened.people.add_link(fingerprint(link_token), PERSON, expires)
    return Stage(
        configuration=configuration,
        store=store,
        postgres_port=postgres_port,
        web_port=web_port,
        agent_password=agent_password,
        person_token=person_token,
        link_token=link_token,
    )


def add_agent(store: Path, name: str, owner: str, password: str) -> None:
    """Add an agent to a store, which is made if it is not there; only a verifier is kept."""
    verifier = make_verifier(password, secrets.token_bytes(SALT_BYTES))
    with Store.open(store) as opened:
        opened.agents.add(name, owner, verifier, datetime.now(UTC))


def write_secret(path: Path, text: str) -> None:
    """Write a file that only this user can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
