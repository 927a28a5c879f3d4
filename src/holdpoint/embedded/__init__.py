"""A PostgreSQL server from packaged binaries, for the demo, tests and sandboxes."""
