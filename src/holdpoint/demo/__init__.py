"""The demo: a shop database, an agent at work in it, and a person who answers its holds."""
