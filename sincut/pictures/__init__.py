"""Pictures in files: pixels, and all that a file carries beside them."""

# In this order: each imports only those before it.
MODULES = ("hidden", "libvips", "tiff_exif", "images")
