"""Many pictures: plans, manifests, and runs on this machine or on a Ray cluster."""

# In this order: each imports only those before it.
MODULES = (
    *("remote", "staged", "manifest", "naming", "existing", "sources", "plan", "watch", "beside"),
    *("work", "tally", "pipe", "ray_", "worker", "driver", "batch"),
)
