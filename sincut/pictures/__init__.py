"""Pictures in files: pixels, and all that a file carries beside them."""

# In this order: each imports only those before it.
MODULES = (
    *("picture", "formats", "profiles", "modes", "ifd", "exif", "xmp", "photoshop", "scans", "segments", "jpeg"),
    *(
        "chunks",
        "coding",
        "boxes",
        "imprint",
        "fitting",
        "tiff_exif",
        "dressing",
        "metadata",
        "resampling",
        "hidden",
        "kind",
    ),
    *("libvips", "tiff_kinds", "kinds"),
    *("opening", "lossless", "reading", "visible", "strips", "reduced", "learned", "masks", "writing", "large"),
)
