"""Measurements of a machine: training and translating as fractions of its measured peak, and beside busy neighbours."""

# In this order: each imports only those before it.
MODULES = (
    "work",
    "load",
    "alone",
    "timing",
    "parts",
    "starts",
    "measure",
    "neighbours",
    "installed",
    "doctor",
)
