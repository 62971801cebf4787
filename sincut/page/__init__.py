"""The web page of `sincut ui`."""

# In this order: each imports only those before it.
MODULES = ("jobs", "uploads", "desk", "train_tab", "apply_tab", "similar_tab", "ui", "serve")
