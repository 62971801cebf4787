"""What a run or a translation looks like: figures and pages."""

# In this order: each imports only those before it.
MODULES = ("history", "measures", "heat_maps", "html", "thumbnails", "run_page", "sheet", "compare")
