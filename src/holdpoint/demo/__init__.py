"""A realistic shop database and an agent that is held."""
