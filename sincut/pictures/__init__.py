"""Pictures in files: pixels, and all that a file carries beside them."""

# In this order: each imports only those before it.
MODULES = (
    *("picture", "formats", "profiles", "modes", "jpeg", "tiff_exif", "metadata", "resampling", "hidden", "libvips"),
    *("opening", "lossless", "reading", "masks", "writing", "large"),
)
