"""``holdpoint demo`` as CI and as a person at a terminal run it: a process with real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

DEMO = [sys.executable, "-m", "holdpoint", "demo"]


def test_the_whole_play_ends_well_and_says_so_in_json() -> None:
    done = subprocess.run([*DEMO, "--auto", "--json"], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert {act["name"]: act["ending"] for act in report["acts"]} == {
        "read": "ran at once",
        "scoped write": "ran at once",
        "broad delete": "ran after a person approved it",
        "bulk update": "rejected by a person",
        "narrower update": "ran at once",
        "drop": "refused by the policy",
    }
    assert "Traceback" not in done.stderr


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A demo without players: its process, the agent's URL and the sign-in link."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    tmp_path.chmod(0o755)  # the server's own user goes through it
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        urls = re.findall(r"\S+://\S+", said)
        assert len(urls) >= 2, said
        try:
            yield process, urls[0], urls[1]
        finally:
            process.kill()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_one_string_for_the_agent_one_link_for_the_person_and_a_clean_end(
    waiting: tuple[subprocess.Popen[str], str, str], tmp_path: Path, end: signal.Signals
) -> None:
    process, agent_url, link = waiting
    with psycopg.connect(agent_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (120_000,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="shop/write"):
            connection.execute("DELETE FROM orders")
    with urllib.request.urlopen(link) as page:
        assert page.status == 200
    process.send_signal(end)
    assert process.wait(timeout=30) == 0
    assert list(tmp_path.glob("holdpoint-demo-*")) == [], "nothing is left behind"
