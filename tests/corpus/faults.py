"""Files of the corpus that are still dealt with wrongly, and in which columns; a mend takes its line away."""

FAULTS = {
    "tile-of-zero.tif": "beyond",
    "one-way.tif": "extras beyond base",
    "one-way16.tif": "extras beyond base",
    "broken-profile.tif": "extras beyond base",
    "wrong-profile.tif": "extras beyond base",
    "wrong-profile16.tif": "beyond base",
    "grey-profile16.tif": "base",
    "map.tif": "extras beyond base",
    "adobe-without-profile.jpg": "extras beyond base",
    "wrong-profile.jpg": "extras beyond base",
    "inks.jpg": "beyond",
    "grey16-alpha.png": "base",
    "gamma-linear.png": "extras beyond base",
    "gamma-linear16.png": "extras beyond base",
    "cicp-p3.png": "extras beyond base",
    "cicp-pq.png": "extras beyond base",
    "long-text.png": "extras beyond base",
    "primaries.png": "extras beyond base",
    "xmp.jp2": "extras base",
    "profile.jp2": "extras base",
}
