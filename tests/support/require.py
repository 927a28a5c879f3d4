"""What a test needs from its machine."""

import os
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")


def missing(what: str) -> NoReturn:
    """End the test: a skip with its reason on a user's machine, a failure where CI is set.

    A suite that silently skips what it exists for is green and worthless.
    """
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}", pytrace=False)
    pytest.skip(f"this machine lacks {what}")


def require(what: str, found: T | None) -> T:
    """Return ``found``, or end the test because the machine lacks ``what``."""
    if found is None:
        missing(what)
    return found
