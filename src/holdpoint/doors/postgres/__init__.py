"""The PostgreSQL door: agents' clients connect here instead of to the database."""
