"""Figures for a translation, the history of a run, and pages and drawings that show them."""

# In this order: each imports only those before it.
MODULES = (
    "history",
    "measures",
    "heat_maps",
    "html",
    "thumbnails",
    "run_page",
    "sheet",
    "compare",
    "study_table",
    "study_page",
)
