"""What is unusual in rows, in words: a model would train on them, and be of little use."""

import numpy as np
from numpy.typing import NDArray

DIM = 128  # MNIST and its kin use all values from 0 to 255
LIGHT = 250  # what counts as white
SHOWN = 10  # class numbers, before "and N more"


def odd_pixels(pixels: NDArray[np.uint8]) -> str | None:
    """What is unusual in the pixels of some rows, 100 or more if there are as many; None if nothing is."""
    least, most = int(pixels.min()), int(pixels.max())
    rows = f"the first {len(pixels):,} rows"
    if least == most:
        return f"all pixels of {rows} are {most}: nothing can be learnt from them; look at the source"
    if most < DIM:
        return (
            f"the largest pixel of {rows} is {most}, but 255 is usual: learning is slow, and pictures will look "
            f"different; if {most} stands for white, scale them (convert --pixel-max {most})"
        )
    if (light := float((pixels >= LIGHT).mean())) > 0.5:
        return (
            f"{light:.0%} of the pixels of {rows} are white, but a black background is usual: learning is slow; "
            "exchange black and white (convert --invert)"
        )
    return None


def odd_labels(counts: NDArray[np.intp]) -> str | None:
    """What is unusual in how often each class occurs (classes,); None if nothing is."""
    empty = np.flatnonzero(counts == 0).tolist()
    if not empty:
        return None
    first = int(np.flatnonzero(counts)[0])
    if first:
        return (
            f"the labels begin at {first}, not at 0: the network has classes that no row is of; give --first-label "
            f"{first} when converting if they are {first} to {int(np.flatnonzero(counts)[-1])}"
        )
    shown = ", ".join(map(str, empty[:SHOWN])) + (f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else "")
    return f"no row is of the class{'es' if len(empty) > 1 else ''} {shown} (of {len(counts)} classes)"
