"""XMP (ISO 16684-1): kept, without what is no longer true of the translation.

That is its orientation, and all that speaks of pictures behind the picture: gain maps, depth maps, originals, motion
videos and thumbnails are not translated, and so dropped. A packet is changed in place, not written anew by a parser.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import BinaryIO
from xml.parsers import expat

ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
# Namespaces of pictures behind the picture: all their properties go.
BEHIND = (
    *(b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/"),
    *(b"http://ns.google.com/photos/1.0/container/", b"http://ns.google.com/photos/1.0/container/item/"),
    *(b"http://ns.google.com/photos/1.0/image/", b"http://ns.google.com/photos/1.0/audio/"),
    *(b"http://ns.google.com/photos/1.0/depthmap/", b"http://ns.apple.com/depthData/1.0/"),
)
DYNAMIC_DEPTH = b"http://ns.google.com/photos/dd/1.0/"  # begins the namespaces of depth maps
CAMERA = b"http://ns.google.com/photos/1.0/camera/"
OF_VIDEO = re.compile(rb"MotionPhoto|MicroVideo")  # begin names of Google's camera namespace
BASIC = b"http://ns.adobe.com/xap/1.0/"
NOTE = b"http://ns.adobe.com/xmp/note/"  # of a packet whose rest stands elsewhere
OWN_SPACE = b"sincut:ns:imprint/1.0/"  # of what a translation says of its making, see `imprint.py`
OWN = re.compile(rb'<rdf:Description [^<>]*xmlns:sincut="' + OWN_SPACE + rb'"[^<>]*/>')
STALE = {*BEHIND, CAMERA, BASIC, NOTE, OWN_SPACE}
NAMESPACE = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']([^"']*)["']""")
ATTRIBUTE = re.compile(rb"""\s+([\w.-]+):([\w.-]+)\s*=\s*("[^"]*"|'[^']*')""")
RDF = re.compile(rb"(<(?:\w+:)?RDF\b[^>]*>)(.*)(</(?:\w+:)?RDF\s*>)", re.DOTALL)
EMPTY_RDF = re.compile(rb"(<\?xpacket[^>]*>)?<x:xmpmeta[^>]*><rdf:RDF[^>]*></rdf:RDF></x:xmpmeta>(<\?xpacket[^>]*>)?")
WHOLE = re.compile(rb"<(\w+:xmpmeta|\w+:RDF)\b.*</\1\s*>", re.DOTALL)
TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
CLOSING = re.compile(rb"</[^>]*>")


def upright(xmp: bytes) -> bytes:
    """XMP of a picture that was turned upright, without what speaks of pictures behind it and of its own making.

    Nothing where all of it was that.
    """
    if OWN.search(xmp):
        xmp = OWN.sub(b"", xmp)
        xmp = b"" if EMPTY_RDF.fullmatch(xmp) else xmp
    xmp = ORIENTATION.sub(rb"\g<1>1", xmp)
    prefixes = {prefix: space for prefix, space in NAMESPACE.findall(xmp) if space in STALE or _is_depth(space)}
    return _without(xmp, prefixes) if prefixes else xmp


def orientation_in(xmp: bytes) -> int:
    """The orientation that XMP tells; 0 where it tells none but upright."""
    match = ORIENTATION.search(xmp)
    return int(xmp[match.end() - 1 : match.end()]) if match else 0


def joined(packet: bytes, rest: bytes) -> bytes:
    """A packet with the descriptions of another, which did not fit beside it, in its RDF; itself where it has none."""
    whole, other = RDF.search(packet), RDF.search(rest)
    if not whole or not other:
        return packet
    declared = {prefix for prefix, _ in NAMESPACE.findall(packet[: whole.end(1)])}
    new = [f' xmlns:{p.decode()}="'.encode() + space + b'"'
           for p, space in NAMESPACE.findall(rest[: other.end(1)]) if p not in declared]  # fmt: skip
    opened = whole[1][:-1] + b"".join(new) + b">"
    return packet[: whole.start()] + opened + whole[2] + other[2] + packet[whole.start(3) :]


def with_description(packet: bytes, element: bytes) -> bytes | None:
    """A packet with one more description at the end of its RDF; None where it has no RDF."""
    rdf = RDF.search(packet)
    return packet[: rdf.start(3)] + element + packet[rdf.start(3) :] if rdf else None


def can_be_split(packet: bytes) -> bool:
    """True if a packet is made as it should be, so that `joined` would find again what `split` takes apart."""
    return bool(WHOLE.search(packet) and RDF.search(packet))


def split(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """A short packet that refers to the rest by a digest, the rest, and that digest (XMP part 3, 1.1.3.1).

    What sincut says of the making is in the short one, since its seal may not change the digest.
    """
    own = b"".join(OWN.findall(packet))
    packet = OWN.sub(b"", packet)
    match = WHOLE.search(packet)
    rest = match[0] if match else packet
    digest = hashlib.md5(rest, usedforsecurity=False).hexdigest().upper().encode()
    short = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="' + NOTE + b'" xmpNote:HasExtendedXMP="' + digest + b'"/>'
        + own + b"</rdf:RDF></x:xmpmeta>"
    )  # fmt: skip
    return short, rest, digest


def in_gif(file: BinaryIO) -> bytes:
    """The XMP of an open GIF file, as an application extension with a trailer that ends its blocks (XMP part 3)."""
    file.seek(0)
    _, begun, rest = file.read().partition(b"\x21\xff\x0bXMP DataXMP")
    return rest.partition(b"\x01\xff\xfe\xfd")[0] if begun else b""


def has_gain_map(xmp: bytes) -> bool:
    """True if XMP says that a gain map lies behind the picture."""
    return BEHIND[0] in xmp or BEHIND[1] in xmp or b'"GainMap"' in xmp


def has_video(xmp: bytes) -> bool:
    """True if XMP says that a motion video lies behind the picture."""
    return bool(re.search(rb"""(MotionPhoto|MicroVideo)\s*(=\s*["']|>)1""", xmp))


def digest_of_rest(xmp: bytes) -> bytes:
    """The digest by which a packet names the rest of it; none where there is no rest."""
    match = re.search(rb"""HasExtendedXMP\s*(?:=\s*["']|>)\s*([0-9A-Fa-f]{32})""", xmp)
    return match[1] if match else b""


def _is_depth(space: bytes) -> bool:
    return space.startswith(DYNAMIC_DEPTH)


def _is_stale(prefixes: Mapping[bytes, bytes], prefix: bytes, name: bytes) -> bool:
    """True if a property is not true of a translation."""
    space = prefixes.get(prefix, b"")
    if space == CAMERA:
        return bool(OF_VIDEO.match(name))
    if space in (BASIC, NOTE):
        return name in (b"Thumbnails", b"HasExtendedXMP")
    return space in STALE or _is_depth(space)


def _without(xmp: bytes, prefixes: Mapping[bytes, bytes]) -> bytes:
    """XMP without the elements and attributes that are stale; what is no XML loses such attributes alone."""
    spans: list[tuple[int, int, bytes]] = []  # from, to, and what stands there instead
    depth, begun, opened = 0, 0, 0  # of elements within a stale one; where that begins, and the last tag ends

    def start(name: str, _: object) -> None:
        nonlocal depth, begun, opened
        at = parser.CurrentByteIndex
        tag = TAG.match(xmp, at)
        opened = tag.end() if tag else at
        prefix, _, local = name.encode().partition(b":")
        if depth or _is_stale(prefixes, prefix, local):
            begun = at if not depth else begun
            depth += 1
        elif tag:
            spans.append((at, tag.end(), _trimmed(tag[0], prefixes)))

    def end(_: str) -> None:
        nonlocal depth
        if depth:
            depth -= 1
            tag = CLOSING.match(xmp, parser.CurrentByteIndex)  # none of an element without contents
            if not depth:
                spans.append((begun, tag.end() if tag else opened, b""))

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        if b"<!DOCTYPE" in xmp:
            return _trimmed(xmp, prefixes)
        parser.Parse(xmp.rstrip(b"\0"), True)
    except expat.ExpatError:
        return _trimmed(xmp, prefixes)
    parts, last = [], 0
    for first, until, instead in sorted(spans):
        parts += [xmp[last:first], instead]
        last = until
    return b"".join(parts) + xmp[last:]


def _trimmed(tag: bytes, prefixes: Mapping[bytes, bytes]) -> bytes:
    """A tag without attributes that are stale."""
    return ATTRIBUTE.sub(lambda match: b"" if _is_stale(prefixes, match[1], match[2]) else match[0], tag)
