"""Finds the digit in a picture, and checks that it is the only one."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.inference.components import Components
from ddmlp.inference.image_file import Grey
from ddmlp.inference.paper import blurred, otsu, running
from ddmlp.inference.placement import border

MIN_INK = 0.12  # of the paper's brightness: anything fainter is not ink
NOISE = 6  # standard deviations of the paper: anything fainter is not ink
MIN_SIDE = 8  # pixels: least length of a digit's longer side; in a picture of less than 32, a quarter of it
LONG = 8  # ratio of width to height: a part with more is a line, not a digit
SPECK = 0.03  # of the digit's edge weight: smaller parts are specks
NEAR, APART = 0.3, 0.1  # of the digit's size: largest gap to a small part of it, and to a tall one
EDGE, SOFT = 6.0, 0.1  # widest edge of ink: in pixels, or as a share of the digit's size if that is more
PRINTED, ALIKE, MANY = (
    0.35,
    0.1,
    3,
)  # ink fainter than PRINTED is lines if MANY more parts have ALIKE of its edge weight
OTHER = 0.15  # of the digit's edge weight: a part with more may be another digit
TALL = 0.5  # of the digit's height: a part that is taller may be another digit


class NoDigitError(Exception):
    """A picture does not show exactly one digit. The message says what it shows instead."""


class Digit(NamedTuple):
    """The digit in a picture.

    Parameters
    ----------
    ink : (height, width) float32
        Amount of the digit's ink at each pixel of the picture, 0 to 1.
    alone : bool
        Whether nothing else had to be removed.
    """

    ink: Grey
    alone: bool


def find_digit(ink: Grey) -> Digit:
    """Find the only digit in a picture.

    Lines across the picture, specks, and marks at the border next to a digit do not count as digits.

    Parameters
    ----------
    ink : (height, width) float32
        Amount of ink at each pixel, 0 to 1; see `ink_on_paper`.

    Raises
    ------
    NoDigitError
        If there is no digit, or more than one.

    Examples
    --------
    >>> page = np.zeros((40, 40), np.float32)
    >>> page[10:30, 18:22] = 1
    >>> digit = find_digit(page)
    >>> int((digit.ink > 0.5).sum()), digit.alone
    (80, True)
    >>> find_digit(np.zeros((40, 40), np.float32))
    Traceback (most recent call last):
    ddmlp.inference.digit.NoDigitError: it is empty
    """
    if min(ink.shape) < 2:
        raise NoDigitError("it is only one pixel wide or high")
    smooth = blurred(ink * 255) / 255
    smooth = smooth - np.float32(np.median(smooth))
    noise = 1.4826 * float(np.median(np.abs(smooth)))
    inked = smooth[smooth > max(MIN_INK, NOISE * noise)]
    if not len(inked):
        raise NoDigitError("it is empty")
    threshold = otsu(inked)
    parts = Components.of(smooth > threshold)
    slope = np.hypot(*np.gradient(smooth))
    weight: NDArray[Any] = np.bincount(parts.labels.ravel(), slope.ravel() ** 2)[1:]
    chosen = _chosen(parts, weight, ink.shape)
    mask = np.isin(parts.labels, chosen)
    size = 1 + max(int(np.ptp(places)) for places in mask.nonzero())
    strength = float(smooth[mask].max())
    beside = np.delete(weight, chosen - 1) >= ALIKE * weight[chosen - 1].sum()
    if strength < PRINTED and np.count_nonzero(beside) >= MANY:
        raise NoDigitError("it has only specks and lines")
    if strength > float(np.percentile(slope[mask], 95)) * max(EDGE, size * SOFT):
        raise NoDigitError("it has only blurred shapes without edges")
    edge = 2 * max(1, size // 16) + 1
    near = running(np.maximum, mask, edge)
    around = smooth[~running(np.maximum, near, edge)]
    clutter = min(threshold / 2, float(np.percentile(around, 99.5))) if len(around) else 0.0
    shown: Grey = np.where(near, np.clip((ink - clutter) / (strength - clutter), 0, 1), 0)
    return Digit(shown, bool(clutter < 0.05 and len(parts.area) == len(chosen)))


def _candidates(parts: Components, weight: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which parts may be the digit, (n,): not those at the border, unless the others have little edge weight.

    Raises NoDigitError if there are only specks and lines.
    """
    height, width = parts.bottom - parts.top, parts.right - parts.left
    across = (parts.left == 0) & (parts.right == shape[1]) | (parts.top == 0) & (parts.bottom == shape[0])
    at_border = (parts.left == 0) | (parts.right == shape[1]) | (parts.top == 0) | (parts.bottom == shape[0])
    line = across & (parts.area < 0.1 * height * width) | (width > LONG * height)
    large: NDArray[np.bool_] = (np.maximum(height, width) >= min(MIN_SIDE, max(shape) / 4)) & ~line
    if not large.any():
        raise NoDigitError("it has only specks and lines" if len(parts.area) else "it is empty")
    inside = large & ~at_border
    return inside if (weight * inside).max() >= 0.1 * (weight * large).max() else large


def _chosen(parts: Components, weight: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the numbers of the parts that make up the digit.

    weight: the edge weight of each part, which is large for ink and small for a shadow of the same size.
    """
    height, candidates = parts.bottom - parts.top, _candidates(parts, weight, shape)
    main = int((weight * candidates).argmax())
    weight = weight / weight[main]
    ink = candidates & (weight / parts.area >= 0.1 / parts.area[main])
    box = np.array([parts.top[main], parts.left[main], parts.bottom[main], parts.right[main]])
    chosen, rest = [main], [each for each in (-weight).argsort().tolist() if ink[each] and each != main]
    for _ in range(2):  # the second pass adds parts that are near a part added by the first
        others, rest = rest, []
        for each in others:
            if weight[each] < SPECK:
                continue
            tall = height[each] >= TALL * (box[2] - box[0])
            beside = max(parts.left[each] - box[3], box[1] - parts.right[each], 0)
            above = max(parts.top[each] - box[2], box[0] - parts.bottom[each], 0)
            size = max(box[2] - box[0], box[3] - box[1])
            if max(beside, above) <= (APART if tall else NEAR) * size:
                chosen.append(each)
                box[:2] = np.minimum(box[:2], (parts.top[each], parts.left[each]))
                box[2:] = np.maximum(box[2:], (parts.bottom[each], parts.right[each]))
            else:
                rest.append(each)
    others = [each for each in rest if height[each] >= TALL * (box[2] - box[0]) and weight[each] >= OTHER]
    if others:
        raise NoDigitError(f"it has {len(others) + 1} separate marks")
    if border(parts.labels == main + 1).mean() > 0.4:
        raise NoDigitError("its largest mark is cut off by the border")
    return np.array(chosen) + 1
