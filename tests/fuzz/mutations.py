"""Small images of every supported kind, and seeded ways to damage them: flips, cuts, swapped heads, wrong lengths."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image

SIDE = (40, 28)


def corpus() -> dict[str, bytes]:
    """A dozen and more small images by file name, all of them readable as they are."""
    plain = Image.linear_gradient("L").resize(SIDE).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2001:09:09 01:46:40"
    layered, other = plain.convert("RGBA"), plain.rotate(90)
    layered.putalpha(Image.linear_gradient("L").resize(SIDE))
    deep = Image.new("I;16", SIDE, 0x1234)
    palette = plain.quantize(16)
    made: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "plain.jpg": (plain, "JPEG", {"exif": exif}),
        "progressive.jpg": (plain, "JPEG", {"progressive": True}),
        "cmyk.jpg": (plain.convert("CMYK"), "JPEG", {}),
        "alpha.png": (layered, "PNG", {"exif": exif}),
        "palette.png": (palette, "PNG", {"transparency": 3}),
        "deep.png": (deep, "PNG", {}),
        "moving.png": (plain, "PNG", {"save_all": True, "append_images": [other]}),
        "plain.webp": (plain, "WEBP", {"exif": exif}),
        "lossless.webp": (layered, "WEBP", {"lossless": True}),
        "moving.webp": (plain, "WEBP", {"save_all": True, "append_images": [other]}),
        "plain.bmp": (plain, "BMP", {}),
        "palette.bmp": (palette, "BMP", {}),
        "lzw.tif": (plain, "TIFF", {"compression": "tiff_lzw", "exif": exif}),
        "plain.tif": (layered, "TIFF", {}),
        "jpeg.tif": (plain, "TIFF", {"compression": "jpeg"}),
        "fax.tif": (plain.convert("1"), "TIFF", {"compression": "group4"}),
        "lab.tif": (Image.new("LAB", SIDE, (120, 3, 4)), "TIFF", {}),
        "float.tif": (Image.new("F", SIDE, 0.5), "TIFF", {}),
        "plain.gif": (palette, "GIF", {}),
        "moving.gif": (palette, "GIF", {"save_all": True, "append_images": [other.quantize(8)], "transparency": 1}),
    }
    return {name: _encoded(image, kind, options) for name, (image, kind, options) in made.items()}


def mutated(seeds: dict[str, bytes], *, seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless damaged files as (file name, content); the same for the same seed."""
    rng, names = random.Random(seed), sorted(seeds)
    for number in range(10**12):
        name = rng.choice(names)
        content = seeds[name]
        for _ in range(rng.choice((1, 1, 2, 4))):
            way = rng.choice(WAYS)
            content = way(content, seeds[rng.choice(names)], rng)
        yield f"{number}-{way.__name__.strip('_')}-{name}", content


def _encoded(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _flip(content: bytes, _: bytes, rng: random.Random) -> bytes:
    """Some bytes become others."""
    out = bytearray(content or b"\0")
    for _number in range(rng.choice((1, 3, 20))):
        out[rng.randrange(len(out))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(out)


def _flip_head(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """As _flip, among the first 64 bytes: sizes and types stand there."""
    return _flip(content[:64], other, rng) + content[64:]


def _cut(content: bytes, _: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _lose(content: bytes, _: bytes, rng: random.Random) -> bytes:
    """A piece in the middle is missing."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[at + rng.choice((1, 2, 7, 64)) :]


def _repeat(content: bytes, _: bytes, rng: random.Random) -> bytes:
    """A piece comes many times."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[at : at + rng.choice((4, 40, 400))] * rng.choice((2, 30, 1000)) + content[at:]


def _swap_head(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Another file's beginning."""
    at = rng.choice((2, 4, 8, 12, 33, 64))
    return other[:at] + content[at:]


def _wrong_length(content: bytes, _: bytes, rng: random.Random) -> bytes:
    """Four bytes, as a rule a length, a size or an offset, become an extreme number."""
    if len(content) < 8:
        return content
    at = rng.randrange(len(content) - 4)
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content), rng.randrange(1 << 32)))
    return content[:at] + struct.pack(rng.choice("<>") + "I", value) + content[at + 4 :]


def _mend_png(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A PNG with one chunk changed whose check sums hold again, so that the damage gets past them."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _flip(content, other, rng)
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return content
    which = rng.randrange(len(chunks))
    kind, data = chunks[which]
    chunks[which] = (rng.choice((kind, kind, rng.choice(chunks)[0], b"zTXt", b"iCCP")), _flip(data, other, rng))
    if rng.random() < 0.2:
        rng.shuffle(chunks)
    sums = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return content[:8] + b"".join(sums)


WAYS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    _flip, _flip_head, _cut, _lose, _repeat, _swap_head, _wrong_length, _wrong_length, _mend_png,
)  # fmt: skip
