"""From the configuration to roles and grants of a database, and sending them."""
