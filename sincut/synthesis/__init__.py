"""Exemplar-based synthesis: a layout redrawn from patches of another picture. Read `synthesis.py` first."""

# In this order: each imports only those before it.
MODULES = ("pyramid", "patches", "tones", "field", "level", "synthesis")
