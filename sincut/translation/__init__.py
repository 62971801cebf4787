"""A model applied to a picture of any size."""

# In this order: each imports only those before it.
MODULES = (
    *(
        "blend",
        "options",
        "recipe",
        "tiles",
        "layout",
        "memory",
        "halving",
        "drawing",
        "engine",
        "light",
        "scene",
    ),
    *("loading", "rescaled", "pipeline", "streamed", "translator", "similarity"),
)
