"""The review server that the tests of the web door talk to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.web import Review, review


@pytest.fixture
async def door(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Review]:
    """A running review server with people `anna`, `bo` and `olga`, who owns agent `bot`."""
    async with review(tmp_path) as running:
        yield running
