"""Who runs the server: PostgreSQL refuses to run as root, so root hands it to another user."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdpoint.embedded.errors import EmbeddedError

UNPRIVILEGED_USER = "nobody"

# Only what programs need to find each other: PG* variables and locales of the person who runs us
# must not change what initdb and the server do.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The user of the server process and of its files; ``switch`` if that is not who we are."""

    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, stdin: bytes = b"", timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this user and return its exit code and output (both streams in one).

        Raises EmbeddedError if it cannot be started or takes longer than ``timeout_s``.
        """
        words = [str(word) for word in command]
        try:
            return subprocess.run(  # noqa: S603 (no shell; the words are ours)
                words,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
                cwd="/",
                env=ENVIRONMENT,
                umask=0o077,
                user=self.uid if self.switch else None,
                group=self.gid if self.switch else None,
                extra_groups=[] if self.switch else None,
            )
        except subprocess.TimeoutExpired:
            raise EmbeddedError(f"`{words[0]}` did not end within {timeout_s:g} s") from None
        except OSError as error:
            raise EmbeddedError(
                f"`{words[0]}` cannot be run as user {self.uid}: {error.strerror}"
            ) from error

    def write(self, file: Path, content: bytes) -> None:
        """Write a small file that only this user may read.

        Done by this user and not by root, who would follow a link that lies there.
        """
        result = self.run(["sh", "-c", 'cat >"$0"', file], stdin=content, timeout_s=10)
        if result.returncode != 0:
            raise EmbeddedError(f"`{file}` cannot be written by user {self.uid}")

    def can_run(self, program: Path) -> bool:
        """Tell whether this user can run a program that knows ``--version``."""
        try:
            return self.run([program, "--version"], timeout_s=10).returncode == 0
        except EmbeddedError:
            return False

    def can_enter(self, directory: Path) -> bool:
        """Tell whether this user can reach and list a directory."""
        if not self.switch:
            return os.access(directory, os.R_OK | os.X_OK)
        # Asked of the kernel and not worked out from mode bits: there may be access lists.
        return self.run(["ls", directory], timeout_s=10).returncode == 0

    def give(self, directory: Path) -> None:
        """Make this user the owner of a directory that we have just created ourselves."""
        if self.switch:
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)


def server_owner(user: str | None = None) -> Owner:
    """Return who shall run the server: ourselves, or, if we are root, ``user`` or ``nobody``.

    No user is ever created. Naming another user without being root is an EmbeddedError.
    """
    if os.geteuid() != 0:
        try:
            own_name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            # Containers started with a bare number (`docker run --user 1234`).
            raise EmbeddedError(
                f"PostgreSQL wants a user with a name, and user id {os.geteuid()} has none; "
                "run as another user, or as root, or add one to /etc/passwd"
            ) from None
        if user is not None and own_name != user:
            raise EmbeddedError(f"only root can run the server as `{user}`")
        return Owner(uid=os.geteuid(), gid=os.getegid(), switch=False)
    name = user or UNPRIVILEGED_USER
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise EmbeddedError(
            f"there is no user `{name}` to run the server; name another one that is not root"
        ) from None
    if entry.pw_uid == 0:
        raise EmbeddedError("PostgreSQL does not run as root; name another user")
    return Owner(uid=entry.pw_uid, gid=entry.pw_gid, switch=True)
