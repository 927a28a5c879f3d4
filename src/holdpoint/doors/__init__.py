"""The ways in: PostgreSQL wire and web."""
