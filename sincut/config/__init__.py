"""Settings of a training, presets, and the flags that override them."""

# In this order: each imports only those before it.
MODULES = ("values", "networks", "sections", "resolve")
