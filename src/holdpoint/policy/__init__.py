"""Compile rules, decide (a pure function), explain."""
