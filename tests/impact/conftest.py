"""The shop of ``impact_shop.py``, on each supported server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from impact_shop import SHOP, Shop, open_shop

from holdpoint.embedded import EmbeddedPostgres
from support.servers import fresh_database


@pytest.fixture(scope="session")
def shop(postgres: EmbeddedPostgres) -> Iterator[Shop]:
    with fresh_database(postgres, SHOP) as database:
        yield open_shop(postgres.url(database=database))
