"""SinCUT: the step, its losses, what it sees of the pictures, and how a run is divided into steps."""

# In this order: each imports only those before it.
MODULES = ("crops", "losses", "guide", "plan", "training")
