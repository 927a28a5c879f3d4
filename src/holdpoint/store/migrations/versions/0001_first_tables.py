"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _trail()
    _people()
    _holds()
    _records()


def _trail() -> None:
    op.create_table(
        "trail",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_trail")),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _people() -> None:
    op.create_table(
        "agents",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("scram_verifier", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "people",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("folded_name", sa.Text, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("token_sha256", sa.Text, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("token_sha256", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, sa.ForeignKey("people.name"), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
    )


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("digest", "agent", "task", "session", "target", "tier", "summary")
        ),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("case_json", "findings", "need", "state")
        ),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("holds_by_digest", "holds", ["agent", "digest"])
    op.create_index("holds_by_state", "holds", ["state", "created_at"])
    op.create_table(
        "approvals",
        sa.Column("hold_id", sa.Text, sa.ForeignKey("holds.id"), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("approver", "folded_approver", "groups", "answer", "note")
        ),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "folded_approver"),
    )


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("kind", "body", "prev_hash", "hash")
        ),
        sa.Column("started", sa.Integer),
    )
    op.create_index("records_by_kind", "records", ["kind", "seq"])
    op.create_index(
        "records_by_started",
        "records",
        ["started"],
        sqlite_where=sa.text("started IS NOT NULL"),
        postgresql_where=sa.text("started IS NOT NULL"),
    )
    op.create_table(
        "heads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("hash", "key_id", "signature")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("heads_by_size", "heads", ["size"])
