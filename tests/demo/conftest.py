"""A shop per version of PostgreSQL, made once."""

from collections.abc import Iterator

import pytest

from holdpoint.demo.shop import Shop, create_shop
from holdpoint.embedded import EmbeddedPostgres


@pytest.fixture(scope="package")
def shop_server() -> Iterator[EmbeddedPostgres]:
    """A server of its own, since roles belong to a whole server. It logs every statement."""
    with EmbeddedPostgres(18, durable=False, settings={"log_statement": "all"}) as server:
        yield server


@pytest.fixture(scope="package")
def shop(shop_server: EmbeddedPostgres) -> Shop:
    """The shop on PostgreSQL 18."""
    return create_shop(shop_server.url())
