"""Fresh databases in the clusters that the fixtures start once per run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg
from psycopg import sql

from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica

_NUMBERS = count(1)


@dataclass(frozen=True)
class Replicated:
    """A primary and its streaming replica."""

    primary: EmbeddedPostgres
    replica: EmbeddedReplica


@contextmanager
def fresh_database(server: EmbeddedPostgres, script: str = "") -> Iterator[str]:
    """Create an empty database, run ``script`` in it, yield its name, drop it at the end.

    Use ``server.url(database=name)`` to connect. Takes some ten milliseconds.
    """
    name = f"t{next(_NUMBERS)}"
    quoted = sql.Identifier(name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(quoted))
        try:
            if script:
                with psycopg.connect(server.url(database=name), autocommit=True) as inner:
                    inner.execute(script.encode())
            yield name
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
