"""How the images of a dataset look: what a picture is fitted to."""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.placement import Placement, border, placement

MEASURED_ROWS = 2_000  # evenly spaced, if there are more
MIN_MARGIN = 0.25  # of the border is background, or it is not known which level that is

Images = NDArray[np.uint8]
Level = Annotated[int, Meta(ge=0, le=255)]


class Range(Struct, frozen=True):
    """The least, the median and the greatest of what was measured."""

    least: float
    median: float
    greatest: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.median <= self.greatest <= 255:
            raise ValueError(f"{self} is not in order, or not from 0 to 255")

    def holds(self, found: float, slack: float) -> bool:
        """Whether `found` is in the range, or beyond it by no more than its width and `slack`: a sample does not have
        the extremes."""
        slack += self.greatest - self.least
        return self.least - slack <= found <= self.greatest + slack


class Look(Struct, frozen=True):
    """How the images of a dataset look. An object stands on a background, in a frame that is the image.

    Parameters
    ----------
    background
        The level, 0 to 255, of most pixels at the border; None if they have many, as textures and photographs do. Then
        the rest means nothing.
    margin
        How much of the border has that level.
    ink
        The level in an image that is farthest from the background: 255 on 0 for white on black.
    extent
        How large the object is: the greater of the shares of the frame that its height and its width take.
    by_mass
        Whether `down` and `across` are of its centre of mass, or of the middle of its box; that of the two which
        varies less.
    down, across
        Where the centre is: from the top, as a share of the height, and from the left, of the width.
    """

    background: Level | None
    margin: Range
    ink: Range
    extent: Range
    by_mass: bool
    down: Range
    across: Range

    def __post_init__(self) -> None:
        if not (0 < self.extent.median <= 1 and self.down.greatest <= 1 and self.across.greatest <= 1):
            raise ValueError(
                f"extent, down and across are {self.extent}, {self.down} and {self.across}, expected shares"
            )

    @classmethod
    def measure(cls, images: Images) -> "Look":
        """How images (B, height, width) look, B >= 1."""
        background = int(np.median(border(images)))
        found = placement(images, background)
        seen = found.ink != background
        if not seen.any() or float(np.median(found.margin)) < 2 * MIN_MARGIN:
            return _PLAINLESS
        found = Placement(*(each[seen] for each in found))
        spread = {by_mass: float(np.std(found.centres(by_mass=by_mass), axis=0).sum()) for by_mass in (True, False)}
        by_mass = spread[True] <= spread[False]
        down, across = found.centres(by_mass=by_mass).T
        return cls(
            background=background,
            margin=_range(found.margin),
            ink=_range(found.ink),
            extent=_range(found.extent),
            by_mass=by_mass,
            down=_range(down),
            across=_range(across),
        )

    @classmethod
    def of(cls, dataset: Dataset) -> "Look":
        """How the images of a dataset look, by MEASURED_ROWS of them at most; raises DatasetError."""
        rows = np.linspace(0, len(dataset) - 1, min(len(dataset), MEASURED_ROWS)).astype(np.intp)
        pixels, _ = dataset.gather(rows)
        return cls.measure(pixels.reshape(len(rows), *dataset.manifest.image_shape))

    def holds(self, image: Images) -> bool:
        """Whether an image (height, width) looks like these."""
        if self.background is None:
            return True
        found = placement(image[None], self.background)
        side = 1.5 / min(image.shape)
        down, across = found.centres(by_mass=self.by_mass)[0]
        return bool(
            found.margin[0] >= MIN_MARGIN
            and self.margin.holds(found.margin[0], 0.1)
            and found.ink[0] != self.background
            and self.ink.holds(found.ink[0], 10)
            and self.places(found.extent[0], down, across, side)
        )

    def places(self, extent: float, down: float, across: float, slack: float) -> bool:
        """Whether an object of this extent and centre is one of these."""
        return self.extent.holds(extent, slack) and self.down.holds(down, slack) and self.across.holds(across, slack)


def _range(found: NDArray[Any]) -> Range:
    return Range(*(round(float(each), 4) for each in (found.min(), np.median(found), found.max())))


_WHOLE = Range(0.0, 0.5, 1.0)
_PLAINLESS = Look(background=None, margin=_WHOLE, ink=_WHOLE, extent=_WHOLE, by_mass=False, down=_WHOLE, across=_WHOLE)

# What MNIST's training set was measured to be; a model that says nothing of its data is taken to have learnt such.
MNIST = Look(
    background=0, margin=Range(0.9643, 1.0, 1.0), ink=Range(254.0, 255.0, 255.0), extent=Range(0.7143, 0.7143, 0.7143),
    by_mass=True, down=Range(0.5, 0.5178, 0.5357), across=Range(0.5, 0.5187, 0.5357),
)  # fmt: skip
