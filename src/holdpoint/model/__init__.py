"""The nouns: frozen dataclasses and enums that every room of the house speaks."""
