"""Tiers as database roles: plan, apply, verify, suggest."""
