"""The networks G, D and H, and the filters: closed-form maps of pictures before and after G."""

# In this order: each imports only those before it.
MODULES = ("local", "filters", "colour", "balance", "blocks", "generator", "discriminator", "heads")
