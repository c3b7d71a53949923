"""Where the object in an image is, and what is around it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FAINT = 0.15  # of the strongest contrast in an image: what is fainter is background


class Placement(NamedTuple):
    """What is measured of B images.

    Parameters
    ----------
    margin : (B,)
        How much of the border is background.
    ink : (B,)
        The level that is farthest from the background.
    begin, end : (B, 2)
        The box of the object, down and across, as shares of the height and the width.
    mass : (B, 2)
        Its centre of mass, likewise.
    """

    margin: NDArray[np.floating]
    ink: NDArray[Any]
    begin: NDArray[np.floating]
    end: NDArray[np.floating]
    mass: NDArray[np.floating]

    @property
    def extent(self) -> NDArray[np.floating]:
        """The greater of the shares of the frame that the object's height and its width take (B,)."""
        found: NDArray[np.floating] = (self.end - self.begin).max(axis=1)
        return found

    def centres(self, *, by_mass: bool) -> NDArray[np.floating]:
        """The centres (B, 2): of mass, or of the box."""
        return self.mass if by_mass else (self.begin + self.end) / 2


def placement(images: NDArray[Any], background: int) -> Placement:
    """Where the objects in images (B, height, width) are; background: the level of what is around them."""
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
    """The pixels at the border of images (..., height, width): (..., 2 height + 2 width)."""
    return np.concatenate([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], axis=-1)
