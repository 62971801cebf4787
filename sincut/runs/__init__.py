"""Trainings and their folders."""

# In this order: each imports only those before it.
MODULES = ("run", "pairs", "curve", "board")
