"""Files of the corpus that are still dealt with wrongly, and in which columns; a mend takes its line away."""

FAULTS = {
    "tile-of-zero.tif": "beyond",
    "one-way.tif": "extras beyond base",
    "one-way16.tif": "extras beyond base",
    "broken-profile.tif": "extras beyond base",
    "map.tif": "extras beyond base",
    "adobe-without-profile.jpg": "extras beyond base",
    "grey16-alpha.png": "base",
    "gamma-linear.png": "extras beyond base",
    "gamma-linear16.png": "extras beyond base",
    "cicp-p3.png": "extras beyond base",
    "cicp-pq.png": "extras beyond base",
    "long-text.png": "extras beyond base",
    "several.gif": "beyond",
    "xmp.jp2": "extras base",
    "profile.jp2": "extras base",
    "carried.webp": "beyond",
    "carried.avif": "beyond",
}
