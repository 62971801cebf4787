"""SinCUT: the step (read `step.py` first), its losses, its view of the pictures, and a run's division into steps."""

# In this order: each imports only those before it.
MODULES = (
    *("losses", "crops", "guide", "sides", "term", "terms", "nce", "critic", "registry", "average", "descent", "step"),
    *("ensemble", "training", "plan", "loop", "algorithms"),
)
