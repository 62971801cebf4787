"""Other algorithms behind the same command: each gives a picture the look of another by a network trained before."""

# In this order: each imports only those before it.
MODULES = ("technique", "gatys", "strotss", "wct2", "techniques", "model", "learning")
