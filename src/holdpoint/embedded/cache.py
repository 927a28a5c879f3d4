"""What is prepared once and used often: a readable copy of the binaries, new data directories.

Everything is made under a temporary name and renamed when it is whole, with a lock file around it,
so that several processes may come for the first time at once and a crash leaves nothing half-done.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdpoint.embedded.binaries import WHEEL, WHEEL_LIBRARIES, Install
from holdpoint.embedded.errors import EmbeddedError
from holdpoint.embedded.owner import Owner
from holdpoint.model import limits

SUPERUSER = "postgres"


def cache_root(owner: Owner, chosen: Path | None = None) -> Path:
    """Return (and create) the first cache directory that the server's user can enter.

    That is ``chosen`` if given, else ``$XDG_CACHE_HOME/holdpoint`` or ``~/.cache/holdpoint``, and
    for root, whose home is closed to others, then ``/var/cache/holdpoint``, ``/var/tmp/…``.
    """
    places = [chosen] if chosen is not None else _usual_places(owner)
    for place in places:
        try:
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            _check_ours(place)
        except OSError:
            continue
        if owner.can_enter(place) and os.access(place, os.W_OK):
            return place
        with suppress(OSError):
            place.rmdir()  # made in vain
    raise EmbeddedError(
        "no cache directory that we can write and the server's user can read; tried "
        + ", ".join(f"`{place}`" for place in places)
        + "; give one with `cache_dir`"
    )


def _usual_places(owner: Owner) -> list[Path]:
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if base.startswith("/") else Path.home() / ".cache"
    places = [home / "holdpoint"]
    if owner.switch:
        places.append(Path("/var/cache/holdpoint"))
    places.append(Path(f"/var/tmp/holdpoint-{os.geteuid()}"))  # noqa: S108 (checked to be ours)
    return places


def _check_ours(place: Path) -> None:
    """Refuse a directory that somebody else prepared for us, as anyone may do in /var/tmp."""
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"`{place}` is not a directory of ours")
    if status.st_mode & 0o022:
        raise PermissionError(f"`{place}` is writable by others")


@contextmanager
def _locked(root: Path, name: str) -> Iterator[None]:
    with (root / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def readable_install(install: Install, owner: Owner, root: Path) -> Install:
    """Return an installation that the server's user can run: the given one, or a copy in ``root``.

    A virtual environment of root often lies below ``/root``, which nobody else may enter; and we
    never widen the permissions of what is not ours.
    """
    if owner.can_run(install.program("postgres")):
        return install
    if install.package is None:
        raise EmbeddedError(f"user {owner.uid} cannot run `{install.program('postgres')}`")
    name = f"binaries-{install.version}-{_key(_fingerprint(install.home))}"
    copied = Install(
        version=install.version,
        home=root / name / WHEEL / install.home.name,
        package=root / name / WHEEL,
    )
    with _locked(root, name):
        if not copied.home.exists():
            _copy_install(install, root / name)
    if not owner.can_run(copied.program("postgres")):
        raise EmbeddedError(f"user {owner.uid} cannot run `{copied.program('postgres')}`")
    return copied


def _fingerprint(home: Path) -> str:
    status = (home / "bin" / "postgres").stat()
    return f"{home} {status.st_size} {status.st_mtime_ns}"


def _copy_install(install: Install, target: Path) -> None:
    assert install.package is not None
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
    try:
        # The programs find their libraries by a path relative to themselves: keep the layout.
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                install.home / part, temporary / WHEEL / install.home.name / part, symlinks=True
            )
        libraries = install.package.parent / WHEEL_LIBRARIES
        if libraries.is_dir():
            shutil.copytree(libraries, temporary / WHEEL_LIBRARIES, symlinks=True)
        for folder, _, files in os.walk(temporary):
            Path(folder).chmod(0o755)
            for file in files:
                path = Path(folder, file)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise EmbeddedError(f"the binaries cannot be copied to `{target}`: {error}") from error


def prepared_data(install: Install, owner: Owner, root: Path) -> Path:
    """Return a data directory as ``initdb`` leaves it, made at first use; it is only copied.

    Its superuser has a password that nobody knows; each copy gets one of its own.
    """
    version = owner.run([install.program("postgres"), "--version"], timeout_s=10).stdout
    arguments = _initdb_arguments(install.version)
    name = f"data-{install.version}-{_key(repr((version, arguments, owner.uid)))}"
    target = root / name
    with _locked(root, name):
        if not target.exists():
            _initialise(install, owner, target, arguments)
    return target / "data"


def _initdb_arguments(version: int) -> tuple[str, ...]:
    common = ("--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8")
    if version >= 17:  # has its own C.UTF-8, which does not depend on the machine's locales
        return (*common, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    return (*common, "--locale=C.UTF-8")


def _initialise(install: Install, owner: Owner, target: Path, arguments: tuple[str, ...]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
    owner.give(temporary)
    try:
        result = _initdb(install, owner, temporary, arguments)
        if result and b"invalid locale name" in result:
            # A machine without C.UTF-8: same order of characters, but only ASCII has upper case.
            plain = (*(word for word in arguments if "locale" not in word), "--locale=C")
            result = _initdb(install, owner, temporary, plain)
        if result:
            text = result.decode("utf-8", "replace").strip()
            raise EmbeddedError(f"initdb of PostgreSQL {install.version} failed:\n{text}")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _initdb(install: Install, owner: Owner, folder: Path, arguments: tuple[str, ...]) -> bytes:
    """Run initdb; return nothing when it went well, else what it said."""
    data = folder / "data"
    secret = folder / "password"
    owner.write(secret, secrets.token_urlsafe(32).encode())
    result = owner.run(
        [install.program("initdb"), "--pgdata", data, "--pwfile", secret, *arguments],
        timeout_s=limits.EMBEDDED_PREPARE_TIMEOUT_S,
    )
    owner.run(["rm", "-f", secret], timeout_s=10)
    if result.returncode == 0:
        return b""
    owner.run(["rm", "-rf", data], timeout_s=limits.EMBEDDED_PREPARE_TIMEOUT_S)
    return result.stdout or b"(it said nothing)"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
