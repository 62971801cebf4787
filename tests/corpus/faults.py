"""Files of the corpus that are still dealt with wrongly, and in which columns; a mend takes its line away."""

FAULTS = {
    "tile-of-zero.tif": "beyond",
    "inks.jpg": "beyond",
    "grey16-alpha.png": "base",
    "xmp.jp2": "extras base",
}
