"""Canonical records, hash chain, signed heads, numbered offline verification."""
