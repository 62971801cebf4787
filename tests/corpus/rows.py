"""All rows of the corpus."""

from corpus import jpeg_rows, odd_rows, other_rows, png_rows, tiff_metadata_rows, tiff_rows

ROWS = [*tiff_rows.ROWS, *tiff_metadata_rows.ROWS, *jpeg_rows.ROWS, *png_rows.ROWS, *other_rows.ROWS, *odd_rows.ROWS]
