"""The least grants that would have covered what was done."""
