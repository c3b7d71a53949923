"""MNIST digits as pen strokes."""

import numpy as np

NEIGHBOURS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise, from the pixel above

Point = tuple[float, float]


def thinned(ink: np.ndarray) -> np.ndarray:
    """Thin the ink, bool (height, width), to lines of one pixel; the border must be empty.

    Zhang and Suen, "A fast parallel algorithm for thinning digital patterns" (1984).
    """
    ink = ink.copy()
    while True:
        before = ink.copy()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            around = np.stack([np.roll(ink, (-y, -x), (0, 1)) for y, x in NEIGHBOURS])
            count = around.sum(axis=0)
            changes = (~around & np.roll(around, -1, axis=0)).sum(axis=0)
            spare = ~np.all(around[list(first)], axis=0) & ~np.all(around[list(second)], axis=0)
            ink &= ~((count >= 2) & (count <= 6) & (changes == 1) & spare)
        if (ink == before).all():
            return ink


def strokes(digit: np.ndarray) -> list[list[Point]]:
    """Return strokes that draw a digit, uint8 (28, 28), as points (x, y) in pixels.

    Each stroke follows the thinned lines as far as possible.
    """
    left = {(int(y), int(x)) for y, x in np.argwhere(thinned(digit > 100))}
    drawn = []

    def neighbours(point: tuple[int, int]) -> list[tuple[int, int]]:
        around = [(point[0] + y, point[1] + x) for y, x in sorted(NEIGHBOURS, key=lambda each: abs(each[0] * each[1]))]
        return [each for each in around if each in left]

    joints: set[tuple[int, int]] = set()
    while left:
        at = min(left, key=lambda each: (len(neighbours(each)), each))
        line = [near for near in ((at[0] + y, at[1] + x) for y, x in NEIGHBOURS) if near in joints][:1]
        while True:
            left.discard(at)
            line.append(at)
            near = neighbours(at)
            if not near:
                break
            at = near[0]
        joints.update(line)
        drawn.append([(x + 0.5, y + 0.5) for y, x in line])
    return drawn
