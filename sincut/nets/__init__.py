"""The networks G, D and H, and what is done to pictures in closed form before and after G."""

# In this order: each imports only those before it.
MODULES = ("layers", "networks", "balance", "colour")
