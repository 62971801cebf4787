"""The imprint of a picture: what its file says of its making, that is by which model, with which options, of what.

It stands in the file's XMP, as properties of a namespace of our own, and in PNG files as a text `sincut` (JSON) too. No
date is in it: the same command writes the same bytes. A seal beside it, the SHA-256 of the whole file with the digits
of the seal (and what PNG computes of them) as zeros, tells whether a byte of the file has been changed since.
"""

import hashlib
import json
import math
import mmap
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from sincut.pictures import chunks, xmp
from sincut.pictures.formats import WITH_METADATA
from sincut.pictures.picture import Metadata

NAMESPACE = xmp.OWN_SPACE.decode()
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
HEAD = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'  # as XMP part 1, 7.3.2, has it
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + RDF.encode() + b'">'
)
TAIL = b'</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
UNSEALED = "0" * 64
DIGITS = re.compile(r"[0-9a-f]{64}")
LONGEST_TEXT = 1000  # characters of a value in a stranger's file
MOST_OPTIONS = 100
NOT_HELD = "its XMP is damaged, and was left without what made the picture"
Buffer = bytearray | mmap.mmap


@dataclass(frozen=True)
class Imprint:
    """The making of one picture. `options` are plain values by their names in a recipe, as in {"strength": 1.0}."""

    model: str  # its name
    model_sha256: str  # of its file
    version: str  # of sincut
    options: Mapping[str, Any] = field(default_factory=dict)
    source_sha256: str = ""  # of the picture that was translated

    @classmethod
    def of(cls, recipe: Mapping[str, Any], model: str, version: str) -> "Imprint":
        """The imprint of what is made by a recipe, with a model of this name; its source is to be filled in."""
        options = {name: value for name, value in recipe.items() if name not in ("model", "strip")}
        return cls(model, recipe["model"], version, options)

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe that the picture was made by."""
        return {"model": self.model_sha256, "strip": False, **self.options}

    def properties(self) -> dict[str, str]:
        """The imprint as texts, by the names that they have in files."""
        own = {"Version": self.version, "Model": self.model, "ModelSHA256": self.model_sha256}
        own |= {"SourceSHA256": self.source_sha256} if self.source_sha256 else {}
        told = {name: value for name, value in self.options.items() if value not in (None, "")}
        return own | {name.title().replace("_", ""): str(value) for name, value in told.items()}

    @classmethod
    def parse(cls, texts: Mapping[str, Any]) -> "Imprint | None":
        """The imprint in the texts of a stranger's file; None where they make no sense."""
        known = {name: text for name, text in texts.items() if isinstance(text, str) and len(text) <= LONGEST_TEXT}
        model, version, digest = (known.pop(name, "") for name in ("Model", "Version", "ModelSHA256"))
        source = known.pop("SourceSHA256", "")
        known.pop("Seal", None)
        if not DIGITS.fullmatch(digest) or (source and not DIGITS.fullmatch(source)) or len(known) > MOST_OPTIONS:
            return None
        options: dict[str, Any] = dict(ABSENT)
        for name, text in known.items():
            name = re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
            try:
                options[name] = OPTIONS.get(name, str)(text)
            except ValueError:
                return None
        return cls(model, digest, version, options, source)

    def rows(self) -> list[tuple[str, str]]:
        """The imprint in words: titles and texts."""
        options = {
            name.replace("_", " "): str(value) for name, value in self.options.items() if value not in (None, "")
        }
        own = {"made by": f"sincut {self.version}", "model": self.model, "model SHA-256": self.model_sha256}
        return [*(own | {"source SHA-256": self.source_sha256 or "not told"} | options).items()]


def _number(low: float, high: float) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        value = float(text)
        if not low <= value <= high or math.isnan(value):
            raise ValueError(text)
        return value

    return parsed


def _one_of(*texts: str) -> Callable[[str], str]:
    def parsed(text: str) -> str:
        if text not in texts:
            raise ValueError(text)
        return text

    return parsed


def _flag(text: str) -> bool:
    return _one_of("True", "False")(text) == "True"


def _digits(text: str) -> str:
    if not DIGITS.fullmatch(text):
        raise ValueError(text)
    return text


# Options by their names in recipes, with the ranges that `translation.options` and `Saving` have for them.
OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "strength": _number(0, 1),
    "keep": _one_of("colour", "texture"),
    "scale": lambda text: text if text == "auto" else _number(0.01, 16)(text),
    "mask": _digits,
    "quality": lambda text: int(_number(1, 100)(text)),
    "greys": _one_of("colour", "keep"),
    "fast": _flag,
    "stroke_scale": _number(0.25, 4),
    "fidelity": _number(0, 1),
    "by_height": _flag,
}
ABSENT = {"mask": None, "keep": "", "quality": None}  # values of options that stand in no file


def imprinted(metadata: Metadata, format_: str, imprint: Imprint | None) -> tuple[Metadata, list[str]]:
    """The metadata with an imprint that is not sealed yet, and notes; as they are where a format holds no XMP."""
    if imprint is None or format_ not in WITH_METADATA:
        return metadata, []
    if format_ == "PNG":
        text = json.dumps(imprint.properties(), ensure_ascii=False).encode("utf-8", "replace")
        metadata = metadata._replace(chunks=(*metadata.chunks, (b"iTXt", chunks.OWN + b"\0\0\0\0\0" + text)))
    packet = xmp.with_description(metadata.xmp or HEAD + TAIL, _element(imprint))
    return (metadata, [NOT_HELD]) if packet is None else (metadata._replace(xmp=packet), [])


def read(packet: bytes, text: bytes = b"") -> Imprint | None:
    """The imprint in XMP, or else in the text that PNG has of it; None where there is none that makes sense."""
    told = Imprint.parse(_properties(packet))
    if told is None and text:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return None
        told = Imprint.parse(values) if isinstance(values, dict) else None
    return told


def seal(data: Buffer, imprint: Imprint | None) -> None:
    """Put the seal into a whole file that has this imprint; nothing where it has none."""
    element = _element(imprint) if imprint else b""
    begin = data.find(element) if element else -1
    if begin < 0:
        return
    at = begin + element.index(UNSEALED.encode())
    digest, check = _digest(data, at)
    data[at : at + len(digest)] = digest
    if check:
        data[check : check + 4] = struct.pack(">I", zlib.crc32(data[_chunk_at(data, at) + 4 : check]))


def is_sealed(path: Path) -> bool:
    """True if a file has a seal, and not a byte of it was changed since. Raises OSError of the system."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # it is empty
            return False
        with data:
            return any(_is_sealed_at(data, match.end()) for match in SEALED.finditer(data))


SEALED = re.compile(rb"sincut:Seal=[\"'](?=[0-9a-f]{64})")


def _is_sealed_at(data: mmap.mmap, at: int) -> bool:
    return _digest(data, at)[0] == data[at : at + len(UNSEALED)]


def _digest(data: Buffer, at: int) -> tuple[bytes, int]:
    """The digits of a seal at this place of a file, and where the checksum of its PNG chunk is; 0 for other files."""
    check = _chunk_at(data, at)
    check = check + 8 + struct.unpack(">I", data[check : check + 4])[0] if check else 0
    blank = sorted([(at, len(UNSEALED), UNSEALED.encode()), *([(check, 4, bytes(4))] if check else [])])
    made, last = hashlib.sha256(), 0
    with memoryview(data) as view:
        for place, length, zeros in blank:
            made.update(view[last:place])
            made.update(zeros)
            last = place + length
        made.update(view[last:])
    return made.hexdigest().encode(), check


def _chunk_at(data: Buffer, at: int) -> int:
    """Where the chunk of a PNG file begins that a place lies in; 0 for other files."""
    place = len(chunks.SIGNATURE)
    if data[:place] != chunks.SIGNATURE:
        return 0
    while place + 12 <= len(data):
        following = place + 12 + int(struct.unpack(">I", data[place : place + 4])[0])
        if at < following:
            return place if following <= len(data) else 0
        place = following
    return 0


def _element(imprint: Imprint) -> bytes:
    """The imprint as a description of RDF (ISO 16684-1, 7.4), with an empty seal."""
    values = {**imprint.properties(), "Seal": UNSEALED}
    attributes = "".join(f" sincut:{name}={quoteattr(_printable(value))}" for name, value in values.items())
    return f'<rdf:Description xmlns:rdf="{RDF}" rdf:about="" xmlns:sincut="{NAMESPACE}"{attributes}/>'.encode()


def _printable(text: str) -> str:
    """A text that XML can hold: lone surrogates and control characters become question marks."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "?", text)


def _properties(packet: bytes) -> dict[str, str]:
    """The texts of our namespace in XMP by their names, as attributes or as elements; none of what is no XML."""
    values, inside = dict[str, str](), list[str]()

    def start(name: str, attributes: dict[str, str]) -> None:
        inside.append(name)
        for key, value in attributes.items():
            space, _, local = key.rpartition(" ")
            if space == NAMESPACE:
                values[local] = value

    def text(data: str) -> None:
        space, _, local = inside[-1].rpartition(" ")
        if space == NAMESPACE:
            values[local] = values.get(local, "") + data

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.CharacterDataHandler = start, text
    parser.EndElementHandler = lambda _: inside.pop()
    try:
        if xmp.OWN_SPACE in packet and b"<!DOCTYPE" not in packet:
            parser.Parse(packet.strip(b"\0"), True)
    except expat.ExpatError:
        return {}
    return values
