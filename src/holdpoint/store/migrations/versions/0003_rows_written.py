"""Rows that tasks have written, so that their budgets survive a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Begin with none."""
    op.create_table(
        "rows_written",
        sa.Column("task", sa.Text, sa.ForeignKey("tasks.id"), primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )
