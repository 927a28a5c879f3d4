"""Secrets that commands print: what counts, what does not, and that nothing of them is repeated."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdpoint.engine.secrets_command import SecretCommands, SecretError, apart, words_of
from holdpoint.model import limits

SECRET = "hunter2"


def run(command: str, **more: float) -> str:
    return SecretCommands({"PATH": os.environ["PATH"], "TOKEN": SECRET}, **more)(command)


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("printf hunter2", "hunter2"),
        ("echo hunter2", "hunter2"),
        ("printf 'two words '", "two words "),
        ("sh -c 'echo $TOKEN'", SECRET),  # the gate's environment is the command's
        ("echo $TOKEN `id` *", "$TOKEN `id` *"),  # no shell
        ("sh -c 'echo noise >&2; echo hunter2'", SECRET),
        ("sh -c 'cat; echo hunter2'", SECRET),  # no input
        ("sh -c 'sleep 600 & echo hunter2'", SECRET),  # what it leaves behind is not waited for
    ],
)
def test_what_a_command_prints_is_the_secret(command: str, printed: str) -> None:
    assert run(command) == printed


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sh -c 'echo hunter2; exit 3'", "`sh` ended with 3; run the command by hand"),
        ("sh -c 'echo hunter2 >&2; exit 1'", "`sh` ended with 1"),
        ("sh -c 'kill -9 $$' hunter2", "`sh` ended with -9"),
        ("true hunter2", "`true` printed nothing"),
        ("printf '\\377hunter2'", "`printf` did not print UTF-8"),
        ("no-such-program-anywhere hunter2", "cannot run `no-such-program-anywhere`: no such file"),
        ("/ hunter2", "cannot run `/`: permission denied"),
        ("sh -c 'while :; do echo hunter2; done'", "printed over 16,384 bytes"),
    ],
)
def test_a_command_that_fails_says_why_and_nothing_else(command: str, words: str) -> None:
    with pytest.raises(SecretError, match=words) as caught:
        run(command)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Whoever holds the other end of a pipe keeps it open: end-of-file means that all are gone.
    command = f"sh -c 'exec 9>{fifo}; sleep 600 & sleep 600'"
    with ThreadPoolExecutor(1) as reader:
        ended = reader.submit(fifo.read_bytes)
        with pytest.raises(SecretError, match=r"`sh` has not ended within 0\.5 s"):
            run(command, timeout_s=0.5)
        assert ended.result(timeout=15) == b""


@pytest.mark.parametrize("command", ["", "  ", "''", "echo 'open", "echo a\0b"])
def test_a_command_must_have_words(command: str) -> None:
    with pytest.raises(SecretError):
        words_of(command)


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


def counting(tmp_path: Path) -> tuple[str, Path]:
    """A command that adds a line to a file each time it runs."""
    lines = tmp_path / "lines"
    return f"sh -c 'echo run >> {lines}; echo hunter2'", lines


def test_a_thousand_sessions_start_one_process(tmp_path: Path, now: list[float]) -> None:
    command, lines = counting(tmp_path)
    commands = SecretCommands(os.environ, clock=lambda: now[0])
    together = threading.Barrier(8)

    def ask() -> set[str]:
        together.wait(15)
        return {commands(command) for _ in range(125)}

    with ThreadPoolExecutor(8) as pool:
        assert all(each.result() == {SECRET} for each in [pool.submit(ask) for _ in range(8)])
    assert lines.read_text().count("run") == 1
    now[0] += limits.SECRET_KEEP_S - 1
    commands(command)
    assert lines.read_text().count("run") == 1
    now[0] += 1
    commands(command)
    assert lines.read_text().count("run") == 2


def test_a_failure_is_kept_more_shortly(tmp_path: Path, now: list[float]) -> None:
    lines, good = tmp_path / "lines", tmp_path / "good"
    command = f"sh -c 'echo run >> {lines}; cat {good}'"
    commands = SecretCommands(os.environ, clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(SecretError):
            commands(command)
    assert lines.read_text().count("run") == 1
    good.write_text("hunter2\n")
    now[0] += limits.SECRET_FAILED_KEEP_S
    assert commands(command) == SECRET
    assert lines.read_text().count("run") == 2


@pytest.mark.anyio
async def test_the_event_loop_goes_on_while_a_command_runs(tmp_path: Path) -> None:
    gone_on = tmp_path / "gone on"
    command = f"sh -c 'while [ ! -e \"{gone_on}\" ]; do sleep 0.01; done; echo hunter2'"
    commands = SecretCommands(os.environ)
    asked = asyncio.ensure_future(apart(lambda: commands(command)))
    await asyncio.sleep(0)
    gone_on.touch()  # the command ends only because this line is reached
    assert await asked == SECRET


@pytest.mark.anyio
async def test_nobody_waits_for_the_commands_of_others(tmp_path: Path) -> None:
    """All threads wait for a command that hangs: what needs none is had all the same."""
    go_on = tmp_path / "go on"
    command = f"sh -c 'while [ ! -e \"{go_on}\" ]; do sleep 0.01; done; echo hunter2'"
    commands = SecretCommands(os.environ)
    waiting = [
        asyncio.ensure_future(apart(lambda: commands(command)))
        for _ in range(limits.SECRET_THREADS_MAX + 1)
    ]
    await asyncio.sleep(0)
    assert await apart(lambda: "from the environment") == "from the environment"
    go_on.touch()
    assert await asyncio.gather(*waiting) == [SECRET] * len(waiting)
    assert await apart(lambda: commands(command)) == SECRET  # kept: no thread is needed


def test_nothing_shows_the_secret() -> None:
    commands = SecretCommands({"PATH": os.environ["PATH"], "TOKEN": SECRET})
    assert commands("printenv TOKEN") == SECRET
    assert SECRET not in repr(commands) + repr(commands._kept)
