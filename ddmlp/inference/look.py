"""The look of a dataset's images: what a picture is fitted to."""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.placement import Placement, border, placement

MEASURED_ROWS = 2_000  # of a dataset, evenly spaced
MIN_MARGIN = 0.25  # of the border: with less background than that, its level is unknown

Images = NDArray[np.uint8]
Level = Annotated[int, Meta(ge=0, le=255)]


class Range(Struct, frozen=True):
    """The smallest, the median and the largest of measured values."""

    least: float
    median: float
    greatest: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.median <= self.greatest <= 255:
            raise ValueError(f"{self} is not in ascending order, or not within 0 to 255")

    def holds(self, found: float, slack: float) -> bool:
        """Whether `found` is in the range, extended on both sides by its width and `slack`.

        The range was measured on a sample, which may miss the extremes.
        """
        slack += self.greatest - self.least
        return self.least - slack <= found <= self.greatest + slack


class Look(Struct, frozen=True):
    """The look of a dataset's images: an object on a background.

    Parameters
    ----------
    background
        Level of most pixels at the border, 0 to 255; None if there is no such level, as in textures and photographs.
        Then the other values are meaningless.
    margin
        Fraction of the border that has this level.
    ink
        The level that is farthest from the background: 255 for white on black.
    extent
        Size of the object: its height or width, whichever is the larger fraction of the image's.
    by_mass
        Whether `down` and `across` describe the centre of mass or the centre of the bounding box: whichever varies
        less.
    down, across
        The centre: distance from the top as a fraction of the height, and from the left as a fraction of the width.

    Examples
    --------
    >>> images = np.zeros((3, 28, 28), np.uint8)
    >>> images[:, 4:24, 12:16] = 255
    >>> look = Look.measure(images)
    >>> look.background, look.ink.median, look.down.median
    (0, 255.0, 0.5)
    >>> look.holds(images[0]), look.holds(255 - images[0])
    (True, False)
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
                f"extent, down and across are {self.extent}, {self.down} and {self.across}, expected fractions"
            )

    @classmethod
    def measure(cls, images: Images) -> "Look":
        """Measure the look of images (B, height, width) uint8, B >= 1."""
        background = int(np.median(border(images)))
        found = placement(images, background)
        seen = found.ink != background
        if not seen.any() or float(np.median(found.margin)) < 2 * MIN_MARGIN:
            return _NO_BACKGROUND
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
        """Measure the look of a dataset, from at most MEASURED_ROWS of its rows. Raises DatasetError."""
        rows = np.linspace(0, len(dataset) - 1, min(len(dataset), MEASURED_ROWS)).astype(np.intp)
        pixels, _ = dataset.gather(rows)
        return cls.measure(pixels.reshape(len(rows), *dataset.manifest.image_shape))

    def holds(self, image: Images) -> bool:
        """Whether an image (height, width) uint8 has this look."""
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
        """Whether an object of this extent and centre, as fractions of the image, is placed as in this look."""
        return self.extent.holds(extent, slack) and self.down.holds(down, slack) and self.across.holds(across, slack)


def _range(found: NDArray[Any]) -> Range:
    return Range(*(round(float(each), 4) for each in (found.min(), np.median(found), found.max())))


_WHOLE = Range(0.0, 0.5, 1.0)
_NO_BACKGROUND = Look(
    background=None, margin=_WHOLE, ink=_WHOLE, extent=_WHOLE, by_mass=False, down=_WHOLE, across=_WHOLE
)

# Measured on MNIST's training set. Models that do not describe their images are assumed to have this look.
MNIST = Look(
    background=0, margin=Range(0.9643, 1.0, 1.0), ink=Range(254.0, 255.0, 255.0), extent=Range(0.7143, 0.7143, 0.7143),
    by_mass=True, down=Range(0.5, 0.5178, 0.5357), across=Range(0.5, 0.5187, 0.5357),
)  # fmt: skip
