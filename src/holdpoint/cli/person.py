"""``holdpoint person``: who may answer holds. Works on the store's file.

Whoever can write the store can make themselves a person. The file must therefore be out of reach
for agents: on a machine where none of them runs, or owned by a user that none of them is.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from holdpoint.cli.hold import DEFAULT_URL, EXIT_REFUSED, EXIT_USAGE, fail, visible
from holdpoint.model.limits import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, SIGN_IN_LINK_S

if TYPE_CHECKING:
    from holdpoint.config.values import ServerConfig
    from holdpoint.store.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_CONFIGURATION: Final = 3


def server_config() -> ServerConfig | None:
    """``[server]`` of HOLDPOINT_CONFIG, else of ``holdpoint.toml`` here; None without a file.

    Only that part is read: a wrong rule elsewhere must not keep a person from being added.
    """
    from holdpoint.config.locate import Lines
    from holdpoint.config.problems import ConfigError, Notes
    from holdpoint.config.server import read_server

    path = Path(os.environ.get("HOLDPOINT_CONFIG") or "holdpoint.toml")
    try:
        text = path.read_text(encoding="utf-8")
        notes = Notes(str(path), Lines(text))
        config = read_server(tomllib.loads(text).get("server", {}), path.absolute().parent, notes)
        notes.raise_any()
    except FileNotFoundError:
        return None
    except ConfigError as error:
        fail(EXIT_CONFIGURATION, str(error))
    except (OSError, ValueError) as error:
        fail(EXIT_CONFIGURATION, f"`{path}` cannot be read: {error}")
    return config


def default_store() -> Path:
    """The store that the configuration names; nothing is guessed without one."""
    config = server_config()
    if config is None:
        raise click.UsageError(
            "no store is named: run this where `holdpoint.toml` is, or give --store, "
            "HOLDPOINT_STORE or HOLDPOINT_CONFIG"
        )
    return Path(config.store)


def on_store(command: Command) -> Command:
    """The options of every command that works on the store."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--store",
            "store_path",
            envvar="HOLDPOINT_STORE",
            type=click.Path(path_type=Path, dir_okay=False),
            default=default_store,
            help="The store's file [HOLDPOINT_STORE]; else the configuration's.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store; ends the command with words when it cannot be used."""
    from holdpoint.store.errors import StoreError
    from holdpoint.store.store import Store

    try:
        store = Store.open(path)
    except StoreError as error:
        fail(EXIT_CONFIGURATION, str(error))
    with store:
        try:
            yield store
        except StoreError as error:
            fail(EXIT_REFUSED, str(error))


def said(as_json: bool, document: dict[str, Any], *lines: str) -> None:
    """Print the outcome for people or for programs."""
    if as_json:
        click.echo(json.dumps({"ok": True, **document}, indent=2))
    else:
        for line in lines:
            click.echo(line)


@click.group()
def person() -> None:
    """People who may answer holds. Needs access to the store's file."""


def _password() -> str:
    """The password from standard input: its first line."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        fail(
            EXIT_USAGE,
            f"the password has {len(password)} characters; it needs "
            f"{PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX:,}",
        )
    return password


@person.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Set a password from standard input.")
@click.option("--token", "with_token", is_flag=True, help="Make a token and print it once.")
@on_store
def add(name: str, password_stdin: bool, with_token: bool, store_path: Path, as_json: bool) -> None:
    """Add a person, or give one a new password or token.

    A new token ends the old one; a new password signs the person's browsers out.
    """
    from holdpoint.doors.web.credentials import (
        CredentialClass,
        class_of,
        fingerprint,
        hash_password,
        new_secret,
    )

    password = _password() if password_stdin else ""
    if class_of(password) is not None:
        fail(EXIT_USAGE, "this password looks like a token of Holdpoint; choose another")
    hashed = hash_password(password) if password else ""
    token = new_secret(CredentialClass.PERSON, secrets.token_bytes) if with_token else ""
    print_hash = fingerprint(token) if token else ""
    with opened(store_path) as store:
        found = store.people.find(name)
        if found is None:
            now = datetime.now(UTC)
            store.people.add(name, now, password_hash=hashed, token_sha256=print_hash)
        elif not password and not token:
            fail(EXIT_REFUSED, f"there is a person `{visible(found.name)}` already")
        else:
            if password:
                store.people.set_password(found.name, hashed)
            if token:
                store.people.set_token(found.name, print_hash)
    lines = [f"{'changed' if found else 'added'} {visible(name)}"]
    if token:
        lines += ["", f"token: {token}", "it is shown only now; keep it in HOLDPOINT_TOKEN"]
    elif not password:
        lines.append(f"next: `holdpoint person link {visible(name)}` makes a sign-in link")
    said(as_json, {"name": name, **({"token": token} if token else {})}, *lines)


@person.command()
@click.argument("name")
@click.option("--url", envvar="HOLDPOINT_URL", help="The review page [HOLDPOINT_URL].")
@on_store
def link(name: str, url: str | None, store_path: Path, as_json: bool) -> None:
    """Make a link that signs a person in, once."""
    from holdpoint.doors.web.credentials import CredentialClass, fingerprint, new_secret

    token = new_secret(CredentialClass.SIGN_IN_LINK, secrets.token_bytes)
    until = datetime.now(UTC) + timedelta(seconds=SIGN_IN_LINK_S)
    with opened(store_path) as store:
        store.people.add_link(fingerprint(token), name, until)
    config = None if url else server_config()
    page = url or (config.web_url if config else DEFAULT_URL)
    address = f"{page.rstrip('/')}/sign-in/{token}"
    minutes = f"{SIGN_IN_LINK_S / 60:.0f}"
    said(
        as_json,
        {"name": name, "link": address, "expires_at": until.isoformat(timespec="seconds")},
        address,
        f"it works once, within {minutes} minutes; send it to {visible(name)} and nobody else",
    )


@person.command("list")
@on_store
def list_people(store_path: Path, as_json: bool) -> None:
    """List the people and how each can sign in."""
    with opened(store_path) as store:
        people = store.people.all()
    documents = [
        {
            "name": each.name,
            "password": bool(each.password_hash),
            "token": bool(each.token_sha256),
            "removed": each.revoked_at is not None,
        }
        for each in people
    ]
    lines = []
    for each in documents:
        ways = [way for way in ("password", "token") if each[way]] or ["links only"]
        state = "removed" if each["removed"] else ", ".join(ways)
        lines.append(f"{visible(str(each['name'])):<24}  {state}")
    said(as_json, {"people": documents}, *(lines or ["nobody yet: `holdpoint person add NAME`"]))


@person.command()
@click.argument("name")
@on_store
def remove(name: str, store_path: Path, as_json: bool) -> None:
    """Shut a person out for good. The name is not used again, so that the trail stays clear."""
    with opened(store_path) as store:
        if not store.people.revoke(name, datetime.now(UTC)):
            fail(EXIT_REFUSED, f"there is no person `{visible(name)}`")
    said(as_json, {"name": name}, f"removed {visible(name)}; open pages end at once")
