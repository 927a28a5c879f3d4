"""Bytes to messages and back: no meaning, no I/O."""
