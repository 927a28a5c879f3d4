"""Finds a Chromium for the tests that look at pages; none is downloaded."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
"""Chromium refuses to start as root with its sandbox, and /dev/shm is small in containers."""


def find_chromium() -> Path | None:
    """Return the browser named by CHROMIUM, or the first one on PATH, or None."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else NAMES:
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    return None
