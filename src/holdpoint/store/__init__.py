"""Holds, approvals, sessions and records at rest: SQLAlchemy Core over SQLite."""
