"""What a run or a translation looks like: figures and pages."""

# In this order: each imports only those before it.
MODULES = ("record", "evaluate", "figure", "report", "compare")
