"""``holdpoint hold``: see and answer holds from a terminal, as a client of the running server.

It has a person's own credential and goes the same way as the review page. It never opens the store:
whoever can read the store's file needs no client.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import click

DEFAULT_URL: Final = "http://127.0.0.1:7433"
TIMEOUT_S: Final = 15.0  # chosen: the server answers from its own store
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 4

_PERSON, _AGENT = "hpp_", "hpa_"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server to ask, and as whom."""

    url: str
    token: str


def fail(code: int, message: str, hint: str = "") -> NoReturn:
    """End with words on standard error and an exit code."""
    click.echo(f"error: {visible(message)}", err=True)
    if hint:
        click.echo(f"hint:  {visible(hint)}", err=True)
    raise SystemExit(code)


def visible(text: str) -> str:
    """Text of an agent made safe for a terminal: what would not print is shown by its number."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"<U+{ord(char):04X}>"
        for char in text.replace("\r\n", "\n").replace("\t", "    ")
    )


def credentials_path() -> Path:
    """Where the credentials file is looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "holdpoint" / "credentials.toml"


def _from_file() -> dict[str, str]:
    """``url`` and ``token`` of the credentials file; a file that others can read is refused."""
    path = credentials_path()
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or state.st_uid != os.geteuid():
                fail(EXIT_USAGE, f"`{path}` can be read by others", f"run `chmod 600 {path}`")
            values = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        fail(EXIT_USAGE, f"`{path}` cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(EXIT_USAGE, f"`{path}` is not readable as TOML: {error}")
    return {key: value for key, value in values.items() if isinstance(value, str)}


def _server(url: str | None, token: str | None, plain_http: bool) -> Server:
    """The server from options and environment, then from the credentials file."""
    stored = {} if url and token else _from_file()
    url = address(url or stored.get("url") or DEFAULT_URL)
    token = token or stored.get("token") or ""
    if token.startswith(_AGENT):
        fail(EXIT_USAGE, "this is an agent's credential; agents cannot see or answer holds")
    if not token.startswith(_PERSON):
        fail(
            EXIT_USAGE,
            "a person's token is needed" if not token else "this is not a person's token",
            "make one with `holdpoint person add NAME --token`; give it in HOLDPOINT_TOKEN "
            f"or as `token` in `{credentials_path()}`",
        )
    check_protected(url, plain_http)
    return Server(url=url, token=token)


def address(url: str) -> str:
    """A server's address without a slash at its end; ends the command if it is none."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        fail(EXIT_USAGE, f"`{visible(url)}` is not an address like `{DEFAULT_URL}`")
    return url


def check_protected(url: str, plain_http: bool) -> None:
    """End the command if a credential would leave this machine in the clear."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not plain_http:
        fail(
            EXIT_USAGE,
            f"your credential would travel to `{parts.hostname}` unprotected",
            "use an https address or a tunnel, or accept it with `--plain-http`",
        )


def _ask(server: Server, method: str, path: str, body: dict[str, str] | None = None) -> Any:
    return ask(server.url, f"Bearer {server.token}", method, path, body)


def ask(
    url: str, authorization: str, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    """One request; the answer's JSON. Ends the command with words when there is none."""
    import httpx2

    loopback = urlsplit(url).hostname in _LOOPBACK
    headers = {"authorization": authorization}
    try:
        # A proxy from the environment has no business between us and our own machine.
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=not loopback) as client:
            answer = client.request(method, url + path, headers=headers, json=body)
    except httpx2.HTTPError as error:
        fail(
            EXIT_UNREACHABLE,
            f"the server at `{url}` cannot be reached: {str(error).lower()}",
            "is `holdpoint serve` running there? `--url` or HOLDPOINT_URL names another",
        )
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or "ok" not in document:
        fail(
            EXIT_UNREACHABLE,
            f"what answers at `{url}` is not Holdpoint (status {answer.status_code})",
        )
    if not document["ok"]:
        message, hint = str(document.get("error", "")), str(document.get("hint", ""))
        fail(EXIT_REFUSED, visible(message), visible(hint))
    return document


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))


def _connection(command: Command) -> Command:
    """The options that every command of this group takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the server's JSON."),
        click.option("--plain-http", is_flag=True, help="Allow http to another machine."),
        click.option(
            "--token", envvar="HOLDPOINT_TOKEN", help="A person's token [HOLDPOINT_TOKEN]."
        ),
        click.option("--url", envvar="HOLDPOINT_URL", help="The server [HOLDPOINT_URL]."),
    ):
        command = option(command)
    return command


@click.group()
def hold() -> None:
    """See and answer the statements that wait for a person.

    Exit codes: 0 done, 1 refused or not found, 2 usage, 4 the server cannot be reached.
    """


@hold.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@_connection
def list_holds(
    everything: bool, url: str | None, token: str | None, plain_http: bool, as_json: bool
) -> None:
    """List what waits, soonest to expire first."""
    document = _ask(_server(url, token, plain_http), "GET", "/api/holds")
    holds = [each for each in document["holds"] if everything or each["open"]]
    if as_json:
        _print_json({**document, "holds": holds})
        return
    if not holds:
        click.echo("nothing waits")
    for each in holds:
        line = f"{each['id']}  {each['standing']}  until {each['expires_at']}"
        click.echo(visible(line))
        click.echo(visible(f"    {_line(each['summary'])}"))
        place = f"{each['agent']} on {each['target']}/{each['tier']}"
        click.echo(visible(f"    {_line(place)}"))


@hold.command()
@click.argument("hold_id", metavar="ID")
@_connection
def show(hold_id: str, url: str | None, token: str | None, plain_http: bool, as_json: bool) -> None:
    """Show one hold with everything that its answer rests on."""
    document = _get(_server(url, token, plain_http), hold_id)
    if as_json:
        _print_json(document)
    else:
        click.echo(describe(document["hold"]))


def _get(server: Server, hold_id: str) -> Any:
    return _ask(server, "GET", f"/api/holds/{quote(hold_id, safe='')}")


def _answer(server: Server, hold_id: str, answer: str, note: str, *, as_json: bool) -> None:
    """Show the hold, then answer exactly what was shown."""
    if any("\ud800" <= char <= "\udfff" for char in note):
        fail(EXIT_USAGE, "the note is not valid text in this terminal's encoding")
    shown = _get(server, hold_id)["hold"]
    if not as_json:
        click.echo(describe(shown) + "\n")
        if sys.stdin.isatty():
            click.confirm(f"{answer} this?", abort=True)
    body = {"answer": answer, "note": note, "digest": shown["digest"]}
    document = _ask(server, "POST", f"/api/holds/{quote(hold_id, safe='')}/answer", body)
    if as_json:
        _print_json(document)
        return
    now = document["hold"]
    click.echo(visible(f"{now['id']}: {now['standing']}; {now['meaning']}"))


@hold.command()
@click.argument("hold_id", metavar="ID")
@click.option("--note", default="", help="A word to the agent and the trail.")
@_connection
def approve(
    hold_id: str,
    note: str,
    url: str | None,
    token: str | None,
    plain_http: bool,
    as_json: bool,
) -> None:
    """Show a hold and let exactly this statement run once.

    At a terminal it asks before it sends; in a pipe or with --json it does not.
    """
    _answer(_server(url, token, plain_http), hold_id, "approve", note, as_json=as_json)


@hold.command()
@click.argument("hold_id", metavar="ID")
@click.option("--note", default="", help="A word to the agent and the trail.")
@_connection
def reject(
    hold_id: str,
    note: str,
    url: str | None,
    token: str | None,
    plain_http: bool,
    as_json: bool,
) -> None:
    """Show a hold and refuse it."""
    _answer(_server(url, token, plain_http), hold_id, "reject", note, as_json=as_json)


def describe(shown: dict[str, Any]) -> str:
    """A hold in words for a terminal; nothing in it can move the cursor or hide."""
    case = shown.get("case", {})
    asks = case.get("kind") == "tier"
    lines = [
        f"{shown['id']}  {shown['standing']}: {shown['meaning']}",
        _line(shown["summary"]),
        "",
        *_impact(case),
        *_facts(shown, case),
        "",
        "what it asks for:" if asks else "why it is held:",
    ]
    for finding in shown["findings"]:
        lines.append(f"  {finding['code']}  {_line(finding['message'])}")
        said = (_line(finding.get(key, "")) for key in ("detail", "hint"))
        lines += [f"          {words}" for words in said if words]
    lines += ["", "the reason it gives:" if asks else "what would run:"]
    text = str(case.get("text", case.get("unreadable", "")))
    lines += [f"  | {line}" for line in visible(text).split("\n")]
    lines += [
        f"  ${number} = {json.dumps(value.get('text', value.get('hex')))}"
        for number, value in enumerate(case.get("parameters") or [], start=1)
    ]
    for statement in case.get("statements", []):
        lines += _statement(statement)
    lines += ["", f"digest {shown['digest']}"]
    return visible("\n".join(lines))


def _impact(case: dict[str, Any]) -> list[str]:
    """What would happen, in the sentences that the review page shows."""
    words = case.get("impact", {}).get("words", [])
    return ["what would happen:", *(f"  - {_line(each)}" for each in words), ""] if words else []


def _statement(statement: dict[str, Any]) -> list[str]:
    """What one statement touches, and what was not understood of it."""
    uses = ", ".join(f"{use['access']} {use['name']}" for use in statement.get("objects", []))
    unknowns = "; ".join(statement.get("unknowns", []))
    return [
        f"  {_line(statement.get('tag', ''))}: {_line(uses) or 'no objects'}",
        *([f"  not understood: {_line(unknowns)}"] if unknowns else []),
    ]


def _line(text: object) -> str:
    """Text on one line: a name with a line break in it must not begin a line of its own."""
    return " ".join(str(text).split())


def _facts(shown: dict[str, Any], case: dict[str, Any]) -> list[str]:
    """The short facts, one per line."""
    impact = case.get("impact", {})
    figures = {name: impact[name] for name in ("rows", "table_rows") if name in impact}
    facts = {
        "agent": shown["agent"],
        "task": shown["task"] or "(none)",
        "session": shown["session"],
        "from": case.get("peer", ""),
        "target": f"{shown['target']}/{shown['tier']}  {case.get('environment', '')}",
        "role": f"{case.get('role', '')}  {case.get('access', '')}" if "role" in case else "",
        "access": "" if "role" in case else case.get("access", ""),
        "effects": ", ".join(case.get("effects", [])),
        **{name.replace("_", " "): _figure(figure) for name, figure in figures.items()},
        "expires": shown["expires_at"],
        "needed": ", ".join(shown["need"]),
        "answers": "; ".join(
            f"{given['approver']}: {given['answer']} {given['note']}".strip()
            for given in shown["approvals"]
        ),
    }
    return [f"  {name:<10}  {_line(value)}" for name, value in facts.items() if value]


def _figure(figure: dict[str, Any]) -> str:
    value = figure.get("value")
    number = f"{value:,} " if isinstance(value, int) else ""
    why = f": {figure['why']}" if figure.get("why") else ""
    return f"{number}({figure.get('basis', 'unknown')}{why})"
