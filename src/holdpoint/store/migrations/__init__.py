"""Alembic's scripts: how the store's tables came to be. Run by ``store.database`` on open."""
