"""Stands between Holdpoint and an embedded server, so that the server never outlives it.

Run as a script of its own, with the standard library only. It starts the server and waits for the
first of: its standard input ends (Holdpoint stopped it, ended, or was killed with -9), its parent
changes, a signal, the end of the server. Then it stops the server and removes the server's folder.
Should the watchdog itself be killed, the kernel sends the server SIGQUIT (immediate shutdown) and
the folder is removed by the next start.

Arguments: folder, uid and gid of the server's user (-1: no change), seconds to wait for a clean
shutdown, then the server's command line. Standard output gets the end of the server's log if the
server ends by itself.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
POLL_S: Final = 1.0  # chosen: how soon a changed parent is noticed if the pipe stays open
LOG_TAIL_BYTES: Final = 4_000  # fits the pipe's buffer: nobody may be reading


def main(arguments: list[str]) -> int:
    """Run the server until it shall end, clean up, return its exit status."""
    folder, uid, gid, patience = arguments[0], *map(int, arguments[1:4])
    parent = os.getppid()
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    server = os.fork()
    if server == 0:
        become_server(folder, uid, gid, arguments[4:])
    status = watch(server, parent, reader)
    if status is None:
        status = stop(server, patience, reader)
    else:
        print_log_tail(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return status


def become_server(folder: str, uid: int, gid: int, command: list[str]) -> NoReturn:
    """Turn this child into the server; never returns."""
    watchdog = os.getppid()
    try:
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.umask(0o077)
        if sys.platform == "linux":
            # After setuid, which clears it. It survives execve of a program that is not setuid.
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != watchdog:
            os._exit(1)
        # Opened as the server's user, who owns the folder: root follows no link laid there.
        log = os.open(
            os.path.join(folder, "log"),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW,
            0o600,
        )
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execv(command[0], command)  # noqa: S606 (no shell wanted)
    except OSError as error:
        os.write(2, f"cannot start `{command[0]}`: {error}\n".encode())
    os._exit(1)


def watch(server: int, parent: int, reader: int) -> int | None:
    """Wait; return the exit status if the server ended by itself, None if it shall be stopped."""
    while True:
        ready, _, _ = select.select([0, reader], [], [], POLL_S)
        woken = drain(reader)
        status = exit_status(server)
        if status is not None:
            return status
        asked = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} & set(woken)
        if asked or 0 in ready or os.getppid() != parent:
            return None


def stop(server: int, patience: int, reader: int) -> int:
    """Stop the server: cleanly, at once, by force; return its exit status."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, number)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            status = exit_status(server)
            if status is not None:
                return status
            select.select([reader], [], [], 0.2)
            drain(reader)
    return 1


def exit_status(server: int) -> int | None:
    """Return the exit status of the server, None while it runs."""
    done, status = os.waitpid(server, os.WNOHANG)
    return None if done == 0 else os.waitstatus_to_exitcode(status) & 0xFF


def drain(reader: int) -> bytes:
    """Return the numbers of the signals that came."""
    with contextlib.suppress(BlockingIOError):
        return os.read(reader, 512)
    return b""


def print_log_tail(folder: str) -> None:
    """Print the server's last words: the folder is gone when anybody asks for them."""
    with (
        contextlib.suppress(OSError),
        open(os.path.join(folder, "log"), "rb") as log,
    ):
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - LOG_TAIL_BYTES))
        os.write(1, log.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
