"""Measures where the object in an image is, and what surrounds it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FAINT = 0.15  # of the strongest contrast in an image: anything fainter is background


class Placement(NamedTuple):
    """Measurements of B images. Positions are (down, across), as fractions of height and width.

    Parameters
    ----------
    margin : (B,) float
        Fraction of the border that is background.
    ink : (B,)
        The level that is farthest from the background.
    begin, end : (B, 2) float
        Bounding box of the object; the end is exclusive.
    mass : (B, 2) float
        Centre of mass of the object.
    """

    margin: NDArray[np.floating]
    ink: NDArray[Any]
    begin: NDArray[np.floating]
    end: NDArray[np.floating]
    mass: NDArray[np.floating]

    @property
    def extent(self) -> NDArray[np.floating]:
        """Height or width of the object, whichever is the larger fraction of the image's: (B,) float."""
        found: NDArray[np.floating] = (self.end - self.begin).max(axis=1)
        return found

    def centres(self, *, by_mass: bool) -> NDArray[np.floating]:
        """Return the centres of mass, or the centres of the bounding boxes: (B, 2) float."""
        return self.mass if by_mass else (self.begin + self.end) / 2


def placement(images: NDArray[Any], background: int) -> Placement:
    """Measure where the objects in images are.

    Parameters
    ----------
    images : (B, height, width)
        Levels of any type.
    background
        The level of the background.

    Examples
    --------
    >>> image = np.zeros((1, 10, 10))
    >>> image[0, 0:4, 4:6] = 1
    >>> found = placement(image, 0)
    >>> found.begin.tolist(), found.end.tolist(), found.extent.tolist()
    ([[0.0, 0.4]], [[0.4, 0.6]], [0.4])
    """
    count, *shape = images.shape
    contrast = np.abs(images.astype(np.float32) - background)
    flat = contrast.reshape(count, -1)
    drawn = contrast > FAINT * np.maximum(flat.max(axis=1), 1e-9)[:, None, None]
    begins, ends, masses = [], [], []
    for axis, side in enumerate(shape):
        marked = drawn.any(axis=2 - axis)  # (B, side)
        begins.append(marked.argmax(axis=1) / side)
        ends.append((side - marked[:, ::-1].argmax(axis=1)) / side)
        weight = contrast.sum(axis=2 - axis)
        places = (np.arange(side) + 0.5) / side
        masses.append(weight @ places / np.maximum(weight.sum(axis=1), 1e-9))
    return Placement(
        margin=1 - border(drawn).mean(axis=1),
        ink=images.reshape(count, -1)[np.arange(count), flat.argmax(axis=1)],
        begin=np.stack(begins, axis=1),
        end=np.stack(ends, axis=1),
        mass=np.stack(masses, axis=1),
    )


def border(images: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels at the border of images (..., height, width): (..., 2 height + 2 width)."""
    return np.concatenate([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], axis=-1)
