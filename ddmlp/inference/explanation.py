"""What the answers of a model depend on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Explanation(NamedTuple):
    """What the output of a class depends on, for each of B images.

    The output z2 of a class is the sum of the contributions of the n hidden units; the softmax turns outputs into
    probabilities. `ddmlp.nn.explanation` has the formulas.

    Parameters
    ----------
    classes : (B,) intp
        The class of each image that is explained.
    hidden : (B, n) float32
        The hidden units y1, 0..1.
    contributions : (B, n) float32
        What each hidden unit adds to the output: y1 times its weight in W2. Below 0, it speaks against the class.
    saliency : (B, height, width) float32
        The gradient of the output with respect to the pixels: how fast it grows with the ink of a pixel, 0..1.
    """

    classes: NDArray[np.intp]
    hidden: NDArray[np.float32]
    contributions: NDArray[np.float32]
    saliency: NDArray[np.float32]
