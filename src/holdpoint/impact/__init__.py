"""How much a statement would change; each figure with its basis."""
