"""The statements of a trail, decided again under another configuration."""
