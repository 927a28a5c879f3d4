"""A PostgreSQL server from packaged binaries, for the demo, tests and sandboxes."""

from holdpoint.embedded.binaries import binaries, clients
from holdpoint.embedded.errors import EmbeddedError
from holdpoint.embedded.replica import EmbeddedReplica
from holdpoint.embedded.server import EmbeddedPostgres, TlsFiles

__all__ = [
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedReplica",
    "TlsFiles",
    "binaries",
    "clients",
]
