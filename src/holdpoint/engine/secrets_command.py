"""Secrets that a command prints: secret managers such as ``vault kv get -field=url secret/shop``.

The command is run without a shell, with the gate's own environment and no input. Only what it
prints counts, up to a bound, within a time; its errors go nowhere, since nobody can tell what is in
them. What it printed is kept for a moment: a thousand sessions start one process, not a thousand.
No message repeats more of a command than its first word, for its arguments may be secret as well.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypeVar

from holdpoint.model import limits

T = TypeVar("T")

_POLL_S: Final = 0.05
_READ_BYTES: Final = 4_096
# A command that hangs must not take the threads that read long statements.
_APART: Final = ThreadPoolExecutor(limits.SECRET_THREADS_MAX, "secrets")
_MAY_WAIT: Final = ContextVar("may wait for a command", default=True)


class _MustWaitError(Exception):
    """A command would have to run, where nobody may wait for it."""


class SecretError(ValueError):
    """A command gave no secret; the text says why and what to do, and holds no secret."""


def words_of(command: str) -> list[str]:
    """Split a command into its words, as a POSIX shell would without expanding anything.

    Raises ``SecretError``.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SecretError(f"the command cannot be split into words: {error}".lower()) from None
    if not words or not words[0]:
        raise SecretError("write `command:` and a program with its arguments")
    if "\0" in command:
        raise SecretError("the command holds a zero byte")
    return words


async def apart(work: Callable[[], T]) -> T:
    """Run ``work``, which resolves secrets, without keeping the event loop waiting for a command.

    It is done at once where no command has to run: one that hangs delays nobody who does not need
    it. Else it is done anew by a thread, so it must have no effect but its result.
    """
    token = _MAY_WAIT.set(False)
    try:
        return work()
    except _MustWaitError:
        pass
    finally:
        _MAY_WAIT.reset(token)
    return await asyncio.get_running_loop().run_in_executor(_APART, work)


class SecretCommands:
    """Runs commands and keeps what they printed for a moment; any thread may ask.

    ``environ`` is their environment, ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        timeout_s: float = limits.SECRET_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def __call__(self, command: str) -> str:
        """Return what the command prints, without the end of its line. Raises ``SecretError``.

        A failure is kept as well, more shortly: while a secret manager is down, sessions are
        turned away without starting a process each.
        """
        with self._lock:
            kept = self._kept.setdefault(command, _Kept())
        if _MAY_WAIT.get():
            with kept.lock:  # whoever asks meanwhile waits for the one process
                if self._clock() >= kept.answer.until:
                    kept.answer = self._asked(command)
        answer = kept.answer
        if self._clock() >= answer.until and not _MAY_WAIT.get():
            raise _MustWaitError
        if answer.problem:
            raise SecretError(answer.problem)
        return answer.value

    def _asked(self, command: str) -> _Answer:
        """Run the command."""
        try:
            value = _run(words_of(command), self._environ, self._timeout_s)
        except SecretError as error:
            return _Answer(self._clock() + limits.SECRET_FAILED_KEEP_S, "", str(error))
        return _Answer(self._clock() + limits.SECRET_KEEP_S, value, "")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a command printed, or why it did not; good until then, and never shown."""

    until: float
    value: str = field(repr=False)
    problem: str = field(repr=False)


class _Kept:
    """The last answer of one command; whoever runs it anew holds the lock."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.answer = _Answer(float("-inf"), "", "")


def _run(words: list[str], environ: Mapping[str, str], timeout_s: float) -> str:
    name = words[0]
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; the words are the operator's
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        words_ = (getattr(error, "strerror", None) or "it cannot be run").lower()
        raise SecretError(f"cannot run `{name}`: {words_}") from None
    try:
        printed = _printed(process, name, timeout_s)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        assert process.stdout is not None, "it was asked for"
        process.stdout.close()
    code = process.wait()
    if code != 0:
        raise SecretError(f"`{name}` ended with {code}; run the command by hand to see why")
    try:
        text = printed.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"`{name}` did not print UTF-8 text") from None
    if not text.strip():
        raise SecretError(f"`{name}` printed nothing")
    return text


def _printed(process: subprocess.Popen[bytes], name: str, timeout_s: float) -> bytes:
    """Read until the process has ended; what it leaves running may keep its output open."""
    end = time.monotonic() + timeout_s
    printed = bytearray()
    output = process.stdout
    assert output is not None, "it was asked for"
    os.set_blocking(output.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None  # asked before reading: then nothing is missed
            ready = selector.select(0 if ended else _POLL_S)
            data = os.read(output.fileno(), _READ_BYTES) if ready else b""
            printed += data
            if len(printed) > limits.URL_BYTES_MAX:
                raise SecretError(f"`{name}` printed over {limits.URL_BYTES_MAX:,} bytes")
            if ended and not data:
                return bytes(printed)
            if ready and not data:  # it has closed its output
                selector.unregister(output)
            if time.monotonic() > end:
                raise SecretError(f"`{name}` has not ended within {timeout_s:g} s")
