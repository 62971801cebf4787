"""XMP loses what is not true of a translation, and nothing else."""

from xml.etree import ElementTree

import pytest

from sincut.pictures import xmp

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SPACES = {
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "Device": "http://ns.google.com/photos/dd/1.0/device/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}


def packet(attributes: str = "", elements: str = "") -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    description = f'<rdf:Description rdf:about="" {spaces} {attributes}>{elements}</rdf:Description>'
    body = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">{description}</rdf:RDF></x:xmpmeta>'
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}   <?xpacket end="w"?>'.encode()


def names(data: bytes) -> set[str]:
    """The names of all elements and attributes, in the words of the namespaces' prefixes."""
    short = {space: prefix for prefix, space in SPACES.items()}
    told: set[str] = set()
    for element in ElementTree.fromstring(data.decode().strip()).iter():
        for name in (element.tag, *element.attrib):
            space, _, local = name[1:].partition("}")
            if space in short:
                told.add(f"{short[space]}:{local}")
    return told


ATTRIBUTES = (
    'dc:source="museum" xmp:CreatorTool="a > b" hdrgm:Version="1.0" GCamera:MotionPhoto="1" '
    "GCamera:SpecialTypeID='x' GImage:Mime='image/jpeg' GCamera:MicroVideoOffset=\"7\""
)
ELEMENTS = """<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap"/>
</rdf:li></rdf:Seq></Container:Directory><hdrgm:GainMapMin><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMin>
<dc:subject><rdf:Bag><rdf:li>sea &amp; sky</rdf:li></rdf:Bag></dc:subject><GCamera:MotionPhotoVersion/>
<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails><Device:Cameras>x</Device:Cameras>
<tiff:Orientation>6</tiff:Orientation>"""


def test_what_speaks_of_pictures_behind_the_picture_is_taken_out() -> None:
    kept = xmp.upright(packet(ATTRIBUTES, ELEMENTS))
    assert names(kept) == {"dc:source", "dc:subject", "xmp:CreatorTool", "GCamera:SpecialTypeID", "tiff:Orientation"}
    assert b"<tiff:Orientation>1<" in kept and b"sea &amp; sky" in kept and b"/9j/" not in kept
    assert xmp.has_gain_map(packet(ATTRIBUTES)) and xmp.has_video(packet(ATTRIBUTES)) and not xmp.has_video(kept)


def test_another_prefix_means_the_same() -> None:
    data = packet(ATTRIBUTES, ELEMENTS).replace(b"hdrgm:", b"gain:").replace(b"xmlns:hdrgm", b"xmlns:gain")
    assert b"Version" not in xmp.upright(data).replace(b"MotionPhotoVersion", b"")


@pytest.mark.parametrize("data", [packet('dc:source="museum"'), packet("", "<dc:title>a</dc:title>"), b"", b"no XML"])
def test_what_is_true_stays_byte_for_byte(data: bytes) -> None:
    assert xmp.upright(data) == data


@pytest.mark.parametrize("end", [b"", b"<", b"</x>", b"\0"])
def test_what_is_no_xml_loses_what_can_be_found(end: bytes) -> None:
    data = packet(ATTRIBUTES).replace(b"</x:xmpmeta>", end)
    assert b"MotionPhoto=" not in xmp.upright(data) and b"museum" in xmp.upright(data)
    assert b"hdrgm:Version" not in xmp.upright(b"<!DOCTYPE a>" + packet(ATTRIBUTES))


def test_a_packet_in_two_parts_is_one_again() -> None:
    whole = packet('dc:source="museum"', "<dc:title>a</dc:title>")
    short, rest, digest = xmp.split(whole)
    assert xmp.digest_of_rest(short) == digest and len(short) < 400 and xmp.can_be_split(whole)
    again = xmp.upright(xmp.joined(short, rest))
    assert {"dc:source", "dc:title"} <= names(again) and not xmp.digest_of_rest(again)
    assert xmp.joined(short, b"no XMP") == short
