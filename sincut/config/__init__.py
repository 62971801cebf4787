"""Settings and presets: what a training can be told, and how presets and flags are laid over each other."""

# In this order: each imports only those before it.
MODULES = ("values", "sections", "resolve")
