"""Where a tier's database is and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class SslMode(StrEnum):
    """How much TLS a connection asks for, as libpq names it (manual, section 34.19)."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class ChannelBinding(StrEnum):
    """Whether SCRAM is bound to the TLS channel."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamUrl:
    """A PostgreSQL connection URL, read.

    A ``host`` that starts with ``/`` is the directory of a Unix socket. Empty ``user``, ``dbname``
    and paths were not given. The password is in neither ``repr`` nor messages.
    """

    host: str = "localhost"
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)
    dbname: str = ""
    sslmode: SslMode = SslMode.PREFER
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""
    channel_binding: ChannelBinding = ChannelBinding.PREFER

    @property
    def is_socket(self) -> bool:
        """Whether the host is the directory of a Unix socket."""
        return self.host.startswith("/")

    @property
    def socket_path(self) -> str:
        """The Unix socket's path, as PostgreSQL names it; empty for TCP."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.is_socket else ""

    @property
    def place(self) -> str:
        """Where it leads, without secrets: ``host:port/dbname``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.dbname or self.user}"
