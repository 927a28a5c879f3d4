"""Answering holds from a terminal, against a running server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdpoint.cli.hold import visible
from holdpoint.model.hold import HoldState
from support.web import Review, review

pytestmark = pytest.mark.anyio


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
async def door(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Review]:
    async with review(tmp_path) as running:
        yield running


async def run(*words: str, home: Path, **environment: str) -> Done:
    """Run ``holdpoint hold`` as a user does, with nothing in the environment but what is given."""
    known = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    program = "from holdpoint.cli.hold import hold; hold(prog_name='holdpoint hold')"
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, *words],
        env=known,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Done(ended.returncode, ended.stdout, ended.stderr)


def as_person(door: Review, name: str = "anna") -> dict[str, str]:
    return {"HOLDPOINT_URL": door.url, "HOLDPOINT_TOKEN": door.tokens[name]}


async def test_a_hold_is_listed_shown_and_approved(door: Review, tmp_path: Path):
    use = {"name": "public.orders", "kind": "relation", "access": "write"}
    statement = {"tag": "DELETE", "objects": [use], "unknowns": ["function `f` is not known"]}
    hold = await door.hold(
        "DELETE FROM orders\nWHERE x = $1", parameters=[{"text": "1"}], statements=[statement]
    )
    listed = await run("list", home=tmp_path, **as_person(door))
    assert (listed.code, hold.id in listed.out) == (0, True)
    shown = await run("show", hold.id, home=tmp_path, **as_person(door))
    for words in ("  | DELETE FROM orders", "  | WHERE x = $1", '$1 = "1"', "HP2204", hold.digest):
        assert words in shown.out
    assert "48,211 (estimate)" in shown.out
    assert "  DELETE: write public.orders" in shown.out
    assert "  not understood: function `f` is not known" in shown.out
    done = await run("approve", hold.id, "--note", "fine", home=tmp_path, **as_person(door))
    assert done.code == 0
    assert "  | DELETE FROM orders" in done.out, "what is approved is shown"
    assert "approved" in done.out.splitlines()[-1]
    now = await door.book.get(hold.id)
    assert now is not None
    assert (now.state, now.approvals[0].note) == (HoldState.APPROVED, "fine")


async def test_what_would_happen_stands_first(door: Review, tmp_path: Path):
    rows = {"value": 48211, "basis": "estimate", "why": ""}
    words = ["removes about 48,211 rows", "by cascade\nmore\x1b[2J"]
    hold = await door.hold(impact={"rows": rows, "words": words, "tables": [{"name": "orders"}]})
    shown = await run("show", hold.id, home=tmp_path, **as_person(door))
    place = shown.out.index("what would happen:\n  - removes about 48,211 rows\n")
    assert place < shown.out.index("agent")
    assert "  - by cascade more<U+001B>[2J\n" in shown.out


async def test_a_rejection_in_json(door: Review, tmp_path: Path):
    hold = await door.hold()
    done = await run("reject", hold.id, "--json", home=tmp_path, **as_person(door))
    assert (done.code, json.loads(done.out)["hold"]["state"]) == (0, "rejected")
    again = await run("approve", hold.id, home=tmp_path, **as_person(door))
    assert again.code == 1
    assert "rejected, no longer open" in again.err


async def test_what_is_refused_ends_with_one(door: Review, tmp_path: Path):
    hold = await door.hold()
    own = await run("approve", hold.id, home=tmp_path, **as_person(door, "olga"))
    assert (own.code, "somebody else must decide" in own.err) == (1, True)
    missing = await run("show", "h-none", home=tmp_path, **as_person(door))
    assert (missing.code, "no such hold" in missing.err) == (1, True)
    stranger = {**as_person(door), "HOLDPOINT_TOKEN": "hpp_" + "A" * 43}
    unknown = await run("approve", hold.id, home=tmp_path, **stranger)
    assert (unknown.code, "unknown" in unknown.err) == (1, True)
    now = await door.book.get(hold.id)
    assert now is not None
    assert now.state is HoldState.OPEN


async def test_an_agents_credential_is_refused_before_anything_is_sent(tmp_path: Path):
    nowhere = {"HOLDPOINT_URL": "http://127.0.0.1:9", "HOLDPOINT_TOKEN": "hpa_" + "A" * 43}
    done = await run("list", home=tmp_path, **nowhere)
    assert (done.code, "agent" in done.err) == (2, True)


async def test_no_server_ends_with_four(tmp_path: Path):
    nowhere = {"HOLDPOINT_URL": "http://127.0.0.1:9", "HOLDPOINT_TOKEN": "hpp_" + "A" * 43}
    done = await run("list", home=tmp_path, **nowhere)
    assert (done.code, "cannot be reached" in done.err) == (4, True)
    assert "Traceback" not in done.err


async def test_the_token_does_not_travel_in_the_clear(tmp_path: Path):
    far = {"HOLDPOINT_URL": "http://gate.invalid", "HOLDPOINT_TOKEN": "hpp_" + "A" * 43}
    done = await run("list", home=tmp_path, **far)
    assert (done.code, "unprotected" in done.err) == (2, True)


async def test_the_credentials_file_must_be_private(door: Review, tmp_path: Path):
    file = tmp_path / ".config" / "holdpoint" / "credentials.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'url = "{door.url}"\ntoken = "{door.tokens["anna"]}"\n')
    file.chmod(0o644)
    open_to_all = await run("list", home=tmp_path)
    assert (open_to_all.code, "chmod 600" in open_to_all.err) == (2, True)
    file.chmod(0o600)
    private = await run("list", home=tmp_path)
    assert (private.code, private.out.strip()) == (0, "nothing waits")


async def test_without_a_token_the_way_to_one_is_told(tmp_path: Path):
    done = await run("list", home=tmp_path)
    assert (done.code, "holdpoint person add" in done.err) == (2, True)


async def test_an_agents_text_cannot_drive_the_terminal(door: Review, tmp_path: Path):
    hold = await door.hold("SELECT 1 \x1b[2K\x1b[1A -- \u202e", agent="bot", task="a\n  role  none")
    shown = await run("show", hold.id, home=tmp_path, **as_person(door))
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert "<U+001B>[2K" in shown.out
    assert "\n  role  none" not in shown.out, "a task cannot write a line of its own"


def test_what_does_not_print_is_shown_by_its_number():
    assert visible("a\x07b\r\nc\rd") == "a<U+0007>b\nc<U+000D>d"
