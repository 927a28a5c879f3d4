"""Build steps: compile the hot, pure part of Holdpoint with mypyc; take the findings' pages along.

Everything else about the package stands in ``pyproject.toml``. The compiled modules are the same
files as the interpreted ones; nothing may behave differently. An editable install is never
compiled: a stale ``.so`` beside a source would hide its changes. ``HOLDPOINT_COMPILE`` chooses:

``auto`` (or unset)  compile if there is a C compiler; if that fails, say so in one line and go on
``0``                never compile
``require``          fail the build when compiling fails (for wheels that are to be published)

``HOLDPOINT_OPT_LEVEL`` is the level of the C compiler, 0 to 3 (the default); 0 compiles faster.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from glob import glob
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import BaseError, CCompilerError

# The one list of what is compiled: files or patterns, relative to this file. Modules without I/O
# of their own belong here: the pure core, and the relay, which only calls what it is given. Not the
# nouns of model/: mypyc has no slotted dataclasses.
HOT_MODULES = (
    "src/holdpoint/wire/postgres/*.py",
    "src/holdpoint/sql/*.py",
    "src/holdpoint/policy/decide.py",
    "src/holdpoint/gate.py",
    "src/holdpoint/doors/postgres/pending.py",
    "src/holdpoint/doors/postgres/refusing.py",
    "src/holdpoint/doors/postgres/sending.py",
    "src/holdpoint/doors/postgres/passing.py",
    "src/holdpoint/doors/postgres/metering.py",
    "src/holdpoint/doors/postgres/overrun.py",
    "src/holdpoint/doors/postgres/memo.py",
    "src/holdpoint/doors/postgres/direct.py",
    "src/holdpoint/doors/postgres/reactor.py",
    "src/holdpoint/doors/postgres/parties.py",
    "src/holdpoint/doors/postgres/answers.py",
    "src/holdpoint/doors/postgres/counting.py",
    "src/holdpoint/doors/postgres/fates.py",
    "src/holdpoint/doors/postgres/quick.py",
    "src/holdpoint/doors/postgres/relay.py",
    "src/holdpoint/engine/reads.py",
    "src/holdpoint/engine/spool.py",
)
# Modules the patterns would match and that stay interpreted, each with its reason.
_SUGGESTS = "only `access suggest` reads privileges, which nobody waits for"
INTERPRETED: dict[str, str] = {
    f"src/holdpoint/sql/{name}.py": _SUGGESTS
    for name in (
        "needed",
        "privileges",
        "privileges_behind",
        "privileges_calls",
        "privileges_changes",
        "privileges_query",
        "privileges_statements",
        "sources",
    )
}

MYPY_OPTIONS = ["--config-file=", "--strict", "--ignore-missing-imports", "--python-version=3.11"]


def hot_files() -> list[str]:
    """The files to compile, sorted; package markers are never worth compiling."""
    found = {path for pattern in HOT_MODULES for path in glob(pattern)}
    return sorted(
        path for path in found if path not in INTERPRETED and not path.endswith("__init__.py")
    )


def has_compiler() -> bool:
    """Whether the C compiler Python was built with, or the one in ``CC``, is on the path."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    return bool(command) and shutil.which(command[0]) is not None


def stay_interpreted(reason: str) -> None:
    """Say in one line why the package runs uncompiled, or end the build if that is not wanted."""
    if os.environ.get("HOLDPOINT_COMPILE") == "require":
        sys.exit(f"holdpoint: cannot compile the hot modules: {reason}")
    print(f"holdpoint: installed without compiled modules ({reason}); it runs, only slower")


class BuildCompiledOrNot(build_ext):
    """Builds all extension modules or none: half of a compiled group cannot be imported."""

    def run(self) -> None:
        """Build; on any failure take back what was built and go on interpreted."""
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as problem:
            stay_interpreted(f"the C compiler failed: {str(problem).splitlines()[0]:.120}")
            for extension in self.extensions:
                built = self.get_ext_fullpath(extension.name)
                if os.path.exists(built):
                    os.remove(built)
            self.extensions = []


class BuildWithPages(build_py):
    """Puts the findings' pages into the package, for ``holdpoint explain HP2101``."""

    def run(self) -> None:
        """Build, then copy; an editable install finds the pages in the repository."""
        super().run()
        if not self.editable_mode:
            folder = os.path.join(self.build_lib, "holdpoint", "pages")
            self.mkpath(folder)
            for page in sorted(glob("docs/hazards/HP*.md")):
                self.copy_file(page, folder)


def extensions() -> list[Any]:
    """The extension modules, or an empty list with a line that says why."""
    choice = os.environ.get("HOLDPOINT_COMPILE", "auto")
    building = any(command.startswith(("bdist", "build", "install")) for command in sys.argv[1:])
    if choice == "0" or not building:
        return []
    if not has_compiler():
        stay_interpreted("no C compiler")
        return []
    try:
        from mypyc.build import mypycify

        os.environ["MYPYPATH"] = "src"
        built: list[Any] = mypycify(
            [*MYPY_OPTIONS, *hot_files()],
            opt_level=os.environ.get("HOLDPOINT_OPT_LEVEL", "3"),
            debug_level="0",
            group_name="holdpoint",
        )
        return built
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - exits on type errors, may crash
        stay_interpreted(f"mypyc refused the sources: {problem!s:.200}")
        return []


setup(
    ext_modules=extensions(), cmdclass={"build_ext": BuildCompiledOrNot, "build_py": BuildWithPages}
)
