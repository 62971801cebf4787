"""The networks G, D and H, and the filters before and after G (closed-form maps of pictures)."""

# In this order: each imports only those before it.
MODULES = (
    "local",
    "noise",
    "pooled",
    "materials",
    "filters",
    "colour",
    "balance",
    "blocks",
    "layers",
    "generator",
    "stylegan2",
    "resnet",
    "discriminator",
    "patchgan",
    "architectures",
    "encoder",
    "heads",
    "weights",
    "vgg",
)
