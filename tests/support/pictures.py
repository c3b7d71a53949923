"""Pictures of real digits, in files of every format."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx

DIGITS = 40


def digits_of(sample: Path) -> np.ndarray:
    """Return real digits of the test set, (40, 28, 28), 4 of each class."""
    _, test = find_pairs(sample)
    labels = read_idx(test.labels)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[: DIGITS // 10] for digit in range(10)])
    return read_idx(test.images)[chosen]


def plain(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(digit)


def inverted(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(255 - digit)


def large(digit: np.ndarray) -> Image.Image:
    """Return the digit ten times as large, off-centre on a white sheet with a wide margin."""
    sheet = Image.new("L", (700, 500), 255)
    sheet.paste(Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC), (380, 40))
    return sheet


def transparent(digit: np.ndarray) -> Image.Image:
    """Return the digit in black on a transparent background."""
    rgba = np.zeros((28, 28, 4), np.uint8)
    rgba[..., 3] = digit
    return Image.fromarray(rgba)


def transparent_white(digit: np.ndarray) -> Image.Image:
    rgba = np.full((28, 28, 4), 255, np.uint8)
    rgba[..., 3] = digit
    return Image.fromarray(rgba)


def sixteen_bits(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(digit.astype(np.uint16) * 257)


def palette(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(255 - digit).convert("RGB").quantize(32)


def coloured(digit: np.ndarray) -> Image.Image:
    """Return the digit in dark blue on light yellow."""
    share = digit[..., None] / 255
    return Image.fromarray((share * (10, 20, 120) + (1 - share) * (250, 245, 190)).astype(np.uint8))


KINDS = {
    "plain.png": plain,
    "inverted.png": inverted,
    "large.png": large,
    "large.jpg": large,
    "transparent.png": transparent,
    "transparent_white.png": transparent_white,
    "sixteen.png": sixteen_bits,
    "palette.png": palette,
    "coloured.png": coloured,
    "inverted.jpg": inverted,
    "plain.bmp": plain,
    "plain.gif": plain,
}


def save(folder: Path, kind: str, digit: np.ndarray) -> Path:
    path = folder / kind
    KINDS[kind](digit).save(path)
    return path


def damaged(whole: bytes) -> Iterator[bytes]:
    """Yield 60 damaged copies of a file, truncated and with flipped bits; they are always the same."""
    random = np.random.default_rng(0)
    for _ in range(60):
        found = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for at in random.integers(0, len(found), 3):
            found[at] ^= 1 << random.integers(8)
        yield bytes(found)


def png(width: int, height: int) -> bytes:
    """Return a PNG file with a header that claims this size, but hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)
