"""``holdpoint task request``: an agent asks people for a tier, and collects what they gave.

It signs in with the agent's own secret, or a task's, which answers nothing and sees nobody's holds
but its own. The same command run again goes on where the first one stopped.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn
from urllib.parse import quote

import click

from holdpoint.cli.hold import (
    DEFAULT_URL,
    EXIT_REFUSED,
    EXIT_USAGE,
    address,
    ask,
    check_protected,
    fail,
    visible,
)
from holdpoint.model.limits import REQUEST_MAX_S, REQUEST_S

POLL_S: Final = 2.0  # chosen: people take minutes; the server is asked rarely enough
_PERSON: Final = "hpp_"


@click.command()
@click.argument("tier", metavar="TARGET/TIER")
@click.option("--reason", required=True, help="Why, for the people who answer.")
@click.option("--for", "duration", default=f"{REQUEST_S / 3600:.0f}h", show_default=True,
              help="How long it is needed.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Wait until somebody answers.")
@click.option("--agent", envvar="HOLDPOINT_AGENT", help="Who asks: a name or a task's id.")
@click.option("--url", envvar="HOLDPOINT_URL", default=DEFAULT_URL, show_default=True,
              help="The server [HOLDPOINT_URL].")  # fmt: skip
@click.option("--plain-http", is_flag=True, help="Allow http to another machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def request(
    tier: str,
    reason: str,
    duration: str,
    wait: bool,
    agent: str | None,
    url: str,
    plain_http: bool,
    as_json: bool,
) -> None:
    """Ask people for a tier, as the agent; print a connection string once they gave it.

    The agent's name and secret are taken from HOLDPOINT_AGENT and HOLDPOINT_SECRET. Run it again to
    see how it stands. Exit codes: 0 collected, 1 waits or refused, 2 usage, 4 unreachable.
    """
    from holdpoint.cli.credentials import seconds

    for_s = seconds(duration, REQUEST_MAX_S, "--for")
    # No option for the secret: every process of a machine can read the words of the others.
    send = _sender(url, agent, os.environ.get("HOLDPOINT_SECRET"), plain_http)
    body = {"tier": tier, "reason": reason, "for_s": int(for_s)}
    asked = send("POST", "/agent/requests", body)["request"]
    if wait:
        asked = _waited(asked, send)
    if asked["state"] != "approved":
        _say_state(asked, as_json)
    got = send("POST", f"/agent/requests/{quote(asked['id'], safe='')}/collect", {})
    _say_collected(got, as_json)


Send = Callable[[str, str, dict[str, Any] | None], Any]


def _sender(url: str, agent: str | None, secret: str | None, plain_http: bool) -> Send:
    """A function that sends a request as the agent."""
    url = address(url)
    if not agent or not secret:
        fail(
            EXIT_USAGE,
            "who asks is not known",
            "set HOLDPOINT_AGENT to the agent's name or a task's id, and HOLDPOINT_SECRET to its "
            "secret",
        )
    if secret.startswith(_PERSON):
        fail(EXIT_USAGE, "this is a person's token; agents ask with their own secret")
    if ":" in agent:
        fail(EXIT_USAGE, "a name with `:` cannot be sent")  # RFC 7617, section 2
    check_protected(url, plain_http)
    basic = base64.b64encode(f"{agent}:{secret}".encode("utf-8", "replace")).decode("ascii")
    return lambda method, path, body: ask(url, f"Basic {basic}", method, path, body)


def _waited(asked: Any, send: Send) -> Any:
    """Look again until it is no longer open; its own expiry bounds that."""
    if asked["state"] == "open":
        click.echo(_waiting_line(asked), err=True)
    while asked["state"] == "open":
        time.sleep(POLL_S)
        last = asked["approvals"]
        asked = send("GET", f"/agent/requests/{quote(asked['id'], safe='')}", None)["request"]
        if asked["state"] == "open" and asked["approvals"] != last:
            click.echo(_waiting_line(asked), err=True)
    return asked


def _waiting_line(asked: Any) -> str:
    line = (
        f"{asked['id']} waits for people ({asked['approvals']} of {asked['wanted']} approved), "
        f"until {asked['expires_at']}; see {asked['page']}"
    )
    return visible(line)


def _say_state(asked: Any, as_json: bool) -> NoReturn:
    """Say how it stands and end: nothing was collected."""
    if as_json:
        from holdpoint.cli.person import said

        said(True, {"ok": False, "request": asked})
        raise SystemExit(EXIT_REFUSED)
    if asked["state"] == "open":
        click.echo(_waiting_line(asked))
        click.echo("run the same command again to collect it, or with `--wait`")
        raise SystemExit(EXIT_REFUSED)
    note = f": {asked['note']}" if asked["note"] else ""
    hints = {
        "rejected": "do without it, or give a better reason",
        "expired": "nobody answered in time, which is no refusal: ask again",
    }
    fail(
        EXIT_REFUSED,
        visible(f"{asked['id']} for {asked['tier']} is {asked['state']}{note}"),
        hints.get(asked["state"], "ask again"),
    )


def _say_collected(got: Any, as_json: bool) -> None:
    from holdpoint.cli.person import said

    task = got["task"]
    said(
        as_json,
        got,
        visible(f"task {task['id']}: {', '.join(task['tiers'])} until {task['expires_at']}"),
        "",
        visible(f"secret: {got['secret']}"),
        visible(f"connect with: {got['connection']}"),
        "it is shown only now",
    )
