"""EmbeddedPostgres: a throw-away PostgreSQL server with a password, for as long as we live."""

import atexit
import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from holdpoint.embedded.binaries import Install, find_install
from holdpoint.embedded.cache import SUPERUSER, cache_root, prepared_data, readable_install
from holdpoint.embedded.errors import EmbeddedError
from holdpoint.embedded.owner import ENVIRONMENT, Owner, server_owner
from holdpoint.model import limits
from holdpoint.wire.postgres import scram

HOST: Final = "127.0.0.1"
_PREFIX: Final = "holdpoint-pg-"
_SETTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_SOCKET_PATH_BYTES_MAX: Final = 103  # sun_path of macOS; Linux has 107
_POLL_S: Final = 0.01
# Iterations slow down guessing; the password is random (192 bits), and nobody guesses that.
# Measured: every connection takes half the time.
_ITERATIONS: Final = 1

# Faster and worthless after a power cut; for data that is thrown away anyway.
_NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """A PEM certificate and its key for the server; needs binaries that are built with TLS."""

    certificate: Path
    key: Path


class EmbeddedPostgres:
    """A PostgreSQL server of our own; use it as a context manager, or ``start`` and ``stop`` it.

    It listens on 127.0.0.1 at a free port and on a socket in a directory that only the server's
    user may enter; both ask for a password (SCRAM-SHA-256). ``user`` owns the server if we are
    root (default ``nobody``). ``settings`` are server settings. With ``durable=False`` it does not
    wait for the disk. ``home`` names another installation (the directory above ``bin``) of that
    ``version``. The data is gone after ``stop``, at the latest when this process ends, however
    that happens. Not safe for use by several threads at once.
    """

    def __init__(
        self,
        version: int = 18,
        *,
        cache_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        tls: TlsFiles | None = None,
        durable: bool = True,
        user: str | None = None,
        home: Path | None = None,
    ) -> None:
        self.version = version
        self.superuser = SUPERUSER
        self.password = secrets.token_urlsafe(24)
        self.port = 0
        self.pid = 0
        """Process id of the server's first process; 0 while it does not run."""
        self._cache_dir = cache_dir
        self._settings = {**({} if durable else _NOT_DURABLE), **(settings or {})}
        self._tls = tls
        self._user = user
        self._home = home
        self._folder: Path | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._starter = 0
        for name in self._settings:
            if not _SETTING.fullmatch(name):
                raise EmbeddedError(f"`{name}` is no name of a setting")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket; only the server's user and root may enter it."""
        return self._running() / "s"

    @property
    def log_file(self) -> Path:
        """The server's log; gone after ``stop``."""
        return self._running() / "log"

    def url(
        self,
        user: str | None = None,
        password: str | None = None,
        database: str = "postgres",
        host: str = HOST,
    ) -> str:
        """Return a connection URL, by default the superuser's.

        ``host`` may be a directory, ``socket_dir`` for instance.
        """
        self._running()
        name = quote(user or self.superuser, safe="")
        secret = quote(self.password if password is None else password, safe="")
        path = quote(database, safe="")
        if host.startswith("/"):
            where = f"host={quote(host, safe='')}&port={self.port}"
            return f"postgresql://{name}:{secret}@/{path}?{where}"
        return f"postgresql://{name}:{secret}@{host}:{self.port}/{path}"

    def start(self) -> None:
        """Start the server and return when it accepts connections; EmbeddedError if it does not."""
        if self._watchdog is not None:
            raise EmbeddedError("the embedded server is already started")
        owner = server_owner(self._user)
        install = self._find_install()
        cache = cache_root(owner, self._cache_dir)
        install = readable_install(install, owner, cache)
        _sweep(owner)
        for _ in range(limits.EMBEDDED_PORT_TRIES):
            folder, alive = _new_folder(owner)
            try:
                self._fill(folder, install, owner, cache)
                said = self._launch(folder, alive, install, owner)
            except BaseException:
                self._end_watchdog()
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                os.close(alive)
            if not said:
                self._folder = folder
                atexit.register(self.stop)
                return
            if "could not bind" not in said:
                break
        raise EmbeddedError(f"PostgreSQL {self.version} did not start; it said last:\n{said}")

    def stop(self) -> None:
        """Stop the server and remove its data; does nothing if it does not run."""
        if self._watchdog is None or os.getpid() != self._starter:
            return  # a forked child has a copy of us; the server is its parent's
        atexit.unregister(self.stop)
        self._end_watchdog()
        self._folder = None

    def _running(self) -> Path:
        if self._folder is None:
            raise EmbeddedError("the embedded server is not started")
        return self._folder

    def _find_install(self) -> Install:
        if self._home is None:
            return find_install(self.version)
        return Install(version=self.version, home=self._home, package=None)

    def _fill(self, folder: Path, install: Install, owner: Owner, cache: Path) -> None:
        """Put everything that the server needs into its folder; all of it as the server's user."""
        timeout_s = limits.EMBEDDED_PREPARE_TIMEOUT_S
        data = prepared_data(install, owner, cache)
        own = folder / "data"
        options = ["-pR", "--reflink=auto"] if sys.platform == "linux" else ["-pR"]
        checked(owner.run(["cp", *options, data, own], timeout_s=timeout_s))
        checked(owner.run(["mkdir", folder / "s"], timeout_s=timeout_s))
        if self._tls is not None:
            for name, file in (("key", self._tls.key), ("crt", self._tls.certificate)):
                owner.write(folder / f"server.{name}", file.read_bytes())
        # Before the server listens for the first time, and as a verifier: the password itself is
        # in no file, no log and no command line.
        salt = secrets.token_bytes(scram.SALT_BYTES)
        verifier = scram.make_verifier(self.password, salt, _ITERATIONS)
        single: list[str | Path] = [install.program("postgres"), "--single", "-D", own]
        said = checked(
            owner.run(
                [*single, "-c", "fsync=off", "-c", "log_min_messages=error", "template1"],
                stdin=f"ALTER ROLE {SUPERUSER} PASSWORD '{verifier}'\n".encode(),
                timeout_s=timeout_s,
            )
        )
        if "ERROR" in said or "FATAL" in said:
            raise EmbeddedError(f"the superuser's password cannot be set:\n{said}")

    def _launch(self, folder: Path, alive: int, install: Install, owner: Owner) -> str:
        """Start watchdog and server; return nothing if it runs, else the end of its log."""
        self.port = _free_port()
        switch = (owner.uid, owner.gid) if owner.switch else (-1, -1)
        script = Path(__file__).with_name("watchdog.py")
        command: list[str] = [sys.executable, "-I", "-S", str(script), str(folder)]
        command += [str(number) for number in switch]
        command += [str(int(limits.EMBEDDED_STOP_TIMEOUT_S)), str(install.program("postgres"))]
        command += ["-D", str(folder / "data")]
        for name, value in self._server_settings(folder).items():
            command += ["-c", f"{name}={value}"]
        self._starter = os.getpid()
        self._watchdog = subprocess.Popen(  # noqa: S603 (no shell; the words are ours)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=ENVIRONMENT,
            # The terminal's Ctrl-C is for us; we stop the server when we are done with it.
            start_new_session=True,
            # Locked as long as the server or its watchdog lives: tells a live folder from a dead.
            pass_fds=[alive],
        )
        return self._wait_until_ready(folder / "data" / "postmaster.pid")

    def _server_settings(self, folder: Path) -> dict[str, str]:
        directory = str(folder / "s")
        if len(os.fsencode(directory)) + len("/.s.PGSQL.65535.lock") > _SOCKET_PATH_BYTES_MAX:
            raise EmbeddedError(f"`{directory}` is too long for a socket; set a shorter TMPDIR")
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": '"' + directory.replace('"', '""') + '"',
            "logging_collector": "off",
            **self._settings,
        }
        if self._tls is not None:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(folder / "server.crt"),
                "ssl_key_file": str(folder / "server.key"),
            }
        return settings

    def _wait_until_ready(self, pid_file: Path) -> str:
        watchdog = self._watchdog
        assert watchdog is not None
        end = time.monotonic() + limits.EMBEDDED_START_TIMEOUT_S
        while time.monotonic() < end:
            if watchdog.poll() is not None:
                return self._end_watchdog() or "(nothing)"
            # The server writes its state into the eighth line of this file (pg_ctl reads it too).
            lines = _read(pid_file).splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                self.pid = int(lines[0])
                return ""
            time.sleep(_POLL_S)
        raise EmbeddedError(
            f"PostgreSQL {self.version} was not ready within "
            f"{limits.EMBEDDED_START_TIMEOUT_S:g} s; it said last:\n"
            + _read(pid_file.parent.parent / "log")[-2_000:]
        )

    def _end_watchdog(self) -> str:
        """End the watchdog, and with it the server; return what it printed."""
        watchdog, self._watchdog = self._watchdog, None
        self.pid = 0
        if watchdog is None:
            return ""
        # It gives the server three chances; each takes at most the stop timeout.
        timeout_s = 3 * limits.EMBEDDED_STOP_TIMEOUT_S + 5
        try:
            said, _ = watchdog.communicate(timeout=timeout_s)  # closes its standard input first
        except subprocess.TimeoutExpired:
            watchdog.kill()
            watchdog.communicate()
            raise EmbeddedError(
                f"the embedded server did not stop within {timeout_s:g} s"
            ) from None
        return said.decode("utf-8", "replace").strip()


def checked(result: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a program said; EmbeddedError if it failed."""
    said = result.stdout.decode("utf-8", "replace").strip()
    if result.returncode != 0:
        raise EmbeddedError(f"`{result.args[0]}` failed:\n{said[-2_000:]}")
    return said


def _free_port() -> int:
    """Return a port that was free a moment ago; ``start`` tries again if it was taken since."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _temporary_root(owner: Owner) -> Path:
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    for place in places:
        if os.access(place, os.W_OK | os.X_OK) and owner.can_enter(place):
            return place
    raise EmbeddedError(
        f"user {owner.uid} can enter none of "
        + ", ".join(f"`{place}`" for place in places)
        + "; set TMPDIR to a directory that it can enter"
    )


def _new_folder(owner: Owner) -> tuple[Path, int]:
    """Make the folder of one server; return it with the descriptor of its lock, which we hold."""
    root = _temporary_root(owner)
    made = Path(tempfile.mkdtemp(prefix="new-" + _PREFIX, dir=root))
    alive = os.open(made / "alive", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    # Under its final name only when locked: the sweep of another process looks at that name.
    folder = made.rename(root / made.name.removeprefix("new-"))
    owner.give(folder)
    return folder, alive


def _sweep(owner: Owner) -> None:
    """Remove the folders of servers whose watchdog could not do it because it was killed."""
    for folder in _temporary_root(owner).glob(_PREFIX + "*"):
        try:
            if folder.lstat().st_uid != owner.uid or folder.is_symlink():
                continue
            alive = os.open(folder / "alive", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(alive)
