"""The web page of `sincut ui`."""

# In this order: each imports only those before it.
MODULES = (
    *("status", "jobs", "example", "recall", "pages", "uploads", "proof", "desk", "last_choices", "before_after"),
    *("run_view", "train_tab", "models_tab", "apply_tab", "similar_tab", "ui"),
    *("guard", "serve"),
)
