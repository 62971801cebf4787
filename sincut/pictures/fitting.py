"""Metadata and the formats that hold it: what of it fits into which, in which form, and what has to be said."""

from sincut.pictures import chunks, exif, photoshop, xmp
from sincut.pictures.formats import WITH_COMMENTS, WITH_METADATA, WITH_PHOTOSHOP, WITH_RESOLUTION
from sincut.pictures.picture import Metadata

CURVES = ("cICP", "mDCV", "cLLI")  # chunks of HDR
LONGEST_IN_JPEG = 65_000  # bytes of EXIF, and of a comment, which are one segment each (T.81, B.1.1.4: 65,535 at most)


def what_fits(metadata: Metadata, format_: str) -> tuple[Metadata, list[str]]:
    """The metadata that a format, by Pillow's name, can hold, and notes on what it cannot.

    A picture whose profile is left out is written in sRGB.
    """
    notes: list[str] = []
    if format_ not in WITH_METADATA and metadata.icc:
        metadata = metadata._replace(icc=None)
        notes.append(f"{format_} cannot hold its ICC profile: written in sRGB")
    if format_ not in WITH_METADATA and metadata.xmp:
        metadata = metadata._replace(xmp=None)
        notes.append(f"{format_} cannot hold its XMP")
    if format_ == "JPEG" and len(metadata.xmp or b"") > LONGEST_IN_JPEG and not xmp.can_be_split(metadata.xmp or b""):
        metadata = metadata._replace(xmp=None)
        notes.append("JPEG cannot hold XMP of this length")
    for fit in (_texts, _resolution, _exif, _photoshop):
        metadata, lost = fit(metadata, format_)
        notes += lost
    return metadata, notes


def _exif(metadata: Metadata, format_: str) -> tuple[Metadata, list[str]]:
    if not metadata.exif:
        return metadata, []
    if not metadata.icc:
        metadata = metadata._replace(exif=exif.in_srgb(metadata.exif))
    assert metadata.exif
    if format_ not in WITH_METADATA or (format_ == "JPEG" and len(metadata.exif) > LONGEST_IN_JPEG):
        length = " of this length" if format_ in WITH_METADATA else ""
        return metadata._replace(exif=None), [f"{format_} cannot hold EXIF{length}"]
    spoiled = format_ == "TIFF" and exif.for_tiff_loses_notes(metadata.exif)
    return metadata, [exif.NOTES_DROPPED] if spoiled else []


def _photoshop(metadata: Metadata, format_: str) -> tuple[Metadata, list[str]]:
    if not metadata.photoshop or format_ in WITH_PHOTOSHOP:
        return metadata, []
    iptc, rest = photoshop.parted(metadata.photoshop)
    what = " and ".join([*(["IPTC"] if iptc else []), *(["Photoshop data"] if rest else [])])
    return metadata._replace(photoshop=None), [f"{format_} cannot hold its {what}"] if what else []


def _texts(metadata: Metadata, format_: str) -> tuple[Metadata, list[str]]:
    """Comments and PNG's texts, which stand for each other where a text is a comment."""
    if format_ == "PNG":
        named = any(_keyword(chunk) == "Comment" for chunk in metadata.chunks)
        told = () if named else tuple(chunks.comment(comment) for comment in metadata.comments)
        return metadata._replace(comments=(), chunks=(*metadata.chunks, *told)), []
    comments, lost = list(metadata.comments), list[str]()
    for kind, data in metadata.chunks:
        comment = chunks.comment_of(kind, data) if format_ in WITH_COMMENTS else None
        if comment is None:
            lost.append(_keyword((kind, data)))
        else:
            comments.append(comment)
    short = [comment for comment in comments if len(comment) <= LONGEST_IN_JPEG]
    curves = [name for name in lost if name in CURVES]
    lost = [name for name in dict.fromkeys(lost) if name not in CURVES]
    notes = [f"{format_} cannot hold its texts {', '.join(lost)}"] if lost else []
    notes += [f"{format_} cannot hold its {' and '.join(curves)}"] if curves else []
    if format_ not in WITH_COMMENTS and comments:
        return metadata._replace(comments=(), chunks=()), [*notes, f"{format_} cannot hold its comment"]
    notes += [f"{format_} cannot hold a comment of this length"] if len(short) < len(comments) else []
    return metadata._replace(comments=tuple(short), chunks=()), notes


def _resolution(metadata: Metadata, format_: str) -> tuple[Metadata, list[str]]:
    """A resolution goes into EXIF where the format has none of its own."""
    if not metadata.dpi or format_ in WITH_RESOLUTION or format_ not in WITH_METADATA:
        return metadata, []
    return metadata._replace(exif=exif.with_resolution(metadata.exif, metadata.dpi)), []


def _keyword(chunk: tuple[bytes, bytes]) -> str:
    """The keyword of a text, or the kind of another chunk."""
    kind, data = chunk
    return (data.partition(b"\0")[0] if kind in chunks.TEXTS else kind).decode("latin-1")
