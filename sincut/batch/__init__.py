"""Many pictures: what is to be done, by whom, and what is done already."""

# In this order: each imports only those before it.
MODULES = (
    *("remote", "manifest", "naming", "recipe", "sources", "plan", "watch"),
    *("work", "tally", "pipe", "ray_", "worker", "driver", "batch"),
)
