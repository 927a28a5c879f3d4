"""The tables of the store, as the newest migration leaves them.

Times are integer microseconds since 1970, UTC. Hashes are lower-case hexadecimal. Credentials are
kept only as verifiers: a copy of the store lets nobody in.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

METADATA: Final = MetaData()

TRAIL: Final = Table(
    "trail",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="one_trail"), primary_key=True),
    Column("origin", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

AGENTS: Final = Table(
    "agents",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

TASKS: Final = Table(
    "tasks",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("agent", Text, ForeignKey("agents.name"), nullable=False),
    Column("description", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("tiers", Text, nullable=False),  # JSON
    Column("budget", Text, nullable=False),  # JSON
    Column("ended_at", BigInteger),
)
Index("tasks_by_agent", TASKS.c.agent)

# Those that are set aside for statements that run now are among them.
ROWS_WRITTEN: Final = Table(
    "rows_written",
    METADATA,
    Column("task", Text, ForeignKey("tasks.id"), primary_key=True),
    Column("rows", BigInteger, nullable=False),
)

# Secrets that agents sign in with: their own, by their name, and those of tasks, by their ids. Of
# one login the newest counts; older ones stay, to tell what became of them.
CREDENTIALS: Final = Table(
    "credentials",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("login", Text, nullable=False),
    Column("agent", Text, ForeignKey("agents.name"), nullable=False),
    Column("task", Text, ForeignKey("tasks.id")),
    Column("scram_verifier", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)
Index("credentials_by_login", CREDENTIALS.c.login, CREDENTIALS.c.id)

PEOPLE: Final = Table(
    "people",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("folded_name", Text, nullable=False, unique=True),
    Column("password_hash", Text),
    Column("token_sha256", Text, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

SIGN_IN_LINKS: Final = Table(
    "sign_in_links",
    METADATA,
    Column("token_sha256", Text, primary_key=True),
    Column("person", Text, ForeignKey("people.name"), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

HOLDS: Final = Table(
    "holds",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("case_json", Text, nullable=False),
    Column("findings", Text, nullable=False),  # JSON
    Column("need", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("holds_by_digest", HOLDS.c.agent, HOLDS.c.digest)
Index("holds_by_state", HOLDS.c.state, HOLDS.c.created_at)

APPROVALS: Final = Table(
    "approvals",
    METADATA,
    Column("hold_id", Text, ForeignKey("holds.id"), nullable=False),
    Column("approver", Text, nullable=False),
    Column("folded_approver", Text, nullable=False),
    Column("groups", Text, nullable=False),  # JSON: the approver's groups at that moment
    Column("answer", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("hold_id", "folded_approver"),
)

RECORDS: Final = Table(
    "records",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    # For outcomes: the record of the start. A copy out of the body, to find what has no outcome.
    Column("started", Integer),
)
Index("records_by_kind", RECORDS.c.kind, RECORDS.c.seq)
Index(
    "records_by_started",
    RECORDS.c.started,
    sqlite_where=text("started IS NOT NULL"),
    postgresql_where=text("started IS NOT NULL"),
)

HEADS: Final = Table(
    "heads",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
Index("heads_by_size", HEADS.c.size)
