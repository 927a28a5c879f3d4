"""Tasks, and secrets in a table of their own: with an expiry, one after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Move the agents' verifiers, so that whoever could sign in still can."""
    _tasks()
    _credentials()
    op.execute(
        "INSERT INTO credentials (login, agent, scram_verifier, created_at, revoked_at) "
        "SELECT name, name, scram_verifier, created_at, revoked_at FROM agents ORDER BY name"
    )
    op.drop_column("agents", "scram_verifier")


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("agent", sa.Text, sa.ForeignKey("agents.name"), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("ticket", "tiers", "budget")),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_index("tasks_by_agent", "tasks", ["agent"])


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, sa.ForeignKey("agents.name"), nullable=False),
        sa.Column("task", sa.Text, sa.ForeignKey("tasks.id")),
        sa.Column("scram_verifier", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("credentials_by_login", "credentials", ["login", "id"])
