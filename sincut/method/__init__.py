"""The method: the SinCUT step (read `step.py` first), its losses and crops, the ensemble, and the training loop."""

# In this order: each imports only those before it.
MODULES = (
    *("losses", "crops", "guide", "sides", "term", "terms", "nce", "bank", "critic", "constraints", "registry"),
    *("average", "descent", "replay", "step", "cyclegan", "methods", "ensemble", "training", "plan", "loop"),
    "algorithms",
)
