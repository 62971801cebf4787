"""Trainings and their folders."""

# In this order: each imports only those before it.
MODULES = (
    "finding",
    "inputs",
    "needs",
    "folder",
    "again",
    "shelf",
    "hub_card",
    "recorder",
    "run",
    "child",
    "table",
    "pairs",
    "results",
    "curve",
    "lineup",
    "study",
    "board",
)
