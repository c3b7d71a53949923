"""Warnings about unusual rows: training would succeed on them, but the model would be of little use."""

import numpy as np
from numpy.typing import NDArray

DIM = 128  # MNIST and its successors use all values from 0 to 255
LIGHT = 250  # pixels from this value on count as white
SHOWN = 10  # class numbers to list before "and N more"


def odd_pixels(pixels: NDArray[np.uint8]) -> str | None:
    """Describe what is unusual about the pixels of some rows; return None if nothing is.

    Parameters
    ----------
    pixels : uint8 (rows, height, width)
        The first rows of the data: at least 100, or all if there are fewer.

    Examples
    --------
    >>> odd_pixels(np.zeros((100, 28, 28), np.uint8))
    'all pixels of the first 100 rows are 0: nothing can be learned from them; check the source'
    """
    least, most = int(pixels.min()), int(pixels.max())
    rows = f"the first {len(pixels):,} rows"
    if least == most:
        return f"all pixels of {rows} are {most}: nothing can be learned from them; check the source"
    if most < DIM:
        return (
            f"the largest pixel of {rows} is {most}, usually it is 255: training will be slow, and pictures to predict "
            f"will look different; if {most} means white, scale them as `ddmlp convert --pixel-max {most}` does"
        )
    if (light := float((pixels >= LIGHT).mean())) > 0.5:
        return (
            f"{light:.0%} of the pixels of {rows} are white, usually the background is black: training will be slow; "
            "swap black and white as `ddmlp convert --invert` does"
        )
    return None


def odd_labels(counts: NDArray[np.intp]) -> str | None:
    """Describe what is unusual about the number of rows of each class, (classes,); return None if nothing is.

    Examples
    --------
    >>> odd_labels(np.array([6, 0, 4]))
    'class 1 has no rows (of 3 classes)'
    """
    empty = np.flatnonzero(counts == 0).tolist()
    if not empty:
        return None
    first = int(np.flatnonzero(counts)[0])
    if first:
        return (
            f"the labels begin at {first}, not at 0, so the lowest classes have no rows; if the labels are {first} to "
            f"{int(np.flatnonzero(counts)[-1])}, renumber them as `ddmlp convert --first-label {first}` does"
        )
    subject = "class {} has" if len(empty) == 1 else "classes {} have"
    shown = ", ".join(map(str, empty[:SHOWN])) + (f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else "")
    return f"{subject.format(shown)} no rows (of {len(counts)} classes)"
