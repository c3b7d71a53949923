"""A slow and simple version of `ddmlp.nn.distortion`: integers of Python, and float32 sums of whole lines."""

import numpy as np

MASK, ONE, LINE = 2**64 - 1, 65_536, 64
F = np.float32


def word(key, index):
    mixed = (key + 0x9E3779B97F4A7C15 * (index + 1)) & MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK
    return mixed ^ mixed >> 31


def draw(key, index, limit):
    return ((word(key, index) >> 11) * 2.0**-52 - 1.0) * limit


def affine(found, key):
    """The matrix A in float64, its angle by the series in 13 terms each."""
    angle = draw(key, 0, found.rotation * (np.pi / 180))
    wide, high, shear = 1.0 + draw(key, 1, found.scale), 1.0 + draw(key, 2, found.scale), draw(key, 3, found.shear)
    sine, cosine, term = 0.0, 0.0, 1.0
    for power in range(1, 26):
        if power % 2:
            cosine, term = cosine + term, term * angle / power
        else:
            sine, term = sine + term, -(term * angle / power)
    return np.array([[cosine * wide, cosine * shear - sine * high], [sine * wide, sine * shear + cosine * high]])


def filtered(lines, widths):
    for width in widths:
        count, half, sums = len(lines), width // 2, np.zeros(lines.shape[1], F)
        for near in range(-half, half + 1):
            sums = sums + lines[near % count]
        found = [sums]
        for line in range(1, count):
            sums = sums + (lines[(line + half) % count] - lines[(line - half - 1) % count])
            found.append(sums)
        lines = np.array(found)
    return lines


def noise(key, height, width):
    """The noise of a field (2, height, width), from -2^15 to 2^15 - 1."""
    across = -(-2 * height // LINE) * LINE
    words = [word(key, 6 + index) for index in range(width * across // 4)]
    numbers = np.array([(each >> 16 * part & 0xFFFF) - 0x8000 for part in range(4) for each in words], F)
    return numbers.reshape(width, across)[:, : 2 * height].reshape(width, 2, height).transpose(1, 2, 0)


def displacements(found, key, height, width):
    """A field (2, height, width): how far x and y are displaced, in units of 2^-16 of a pixel."""
    field = noise(key, height, width)
    field = np.array([filtered(part.T, found.boxes).T for part in field])
    field = np.array([filtered(part, found.boxes) for part in field])
    factor = F(2 * found.alpha / np.prod(found.boxes, dtype=float) ** 2)
    return (field * factor).astype(np.int64)


def distort(found, image, key):
    """The image (height, width) uint8, distorted by an Augmentation."""
    height, width = image.shape
    (a, b), (c, d) = (affine(found, key) * ONE).astype(np.int64).tolist()
    right, down = ((word(key, index) >> 33) % (2 * found.pixels + 1) - found.pixels for index in (4, 5))
    fields = displacements(found, key, height, width).tolist() if found.alpha else np.zeros((2, height, width), int)
    padded = np.pad(image, 1).astype(int)
    out = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            away = 2 * y - (height - 1)
            at_x = ((width - 1) * (ONE - a) + away * b) // 2 + a * x + right * ONE + int(fields[0][y][x])
            at_y = ((height - 1) * ONE - (width - 1) * c + away * d) // 2 + c * x + down * ONE + int(fields[1][y][x])
            at_x, at_y = min(max(at_x + ONE, 0), (width + 1) * ONE - 1), min(max(at_y + ONE, 0), (height + 1) * ONE - 1)
            i, j, p, q = at_y >> 16, at_x >> 16, at_y >> 8 & 255, at_x >> 8 & 255
            top = padded[i, j] * (256 - q) + padded[i, j + 1] * q
            bottom = padded[i + 1, j] * (256 - q) + padded[i + 1, j + 1] * q
            out[y, x] = (top * (256 - p) + bottom * p + 0x8000) >> 16
    return out
