"""What an output of the network depends on: its hidden units and its pixels, as compiled loops.

The output of class k is z2_k = sum over j of y1_j W2_jk, before the softmax; see `kernels`. `reference` has the same
formulas in plain NumPy.

    contribution of hidden unit j    y1_j W2_jk                                          their sum is z2_k
    saliency of the pixels           dz2_k/dx = W1 d1, with d1_j = W2_jk y1_j (1 - y1_j)

The saliency is the exact gradient (Simonyan, Vedaldi and Zisserman 2013, "Deep inside convolutional networks", section
3), at pixels of 0..1. As in z2, each sum over hidden units has 64 partial sums, of the units j, j + 64, ..., which
`lanes.total` adds: so it has the same bits on every processor.
"""

from typing import Any

from ddmlp.nn.compiled import kernel
from ddmlp.nn.elementary import ONE
from ddmlp.nn.lanes import fma, load, store, total, zeros
from ddmlp.nn.steps import FLOATS, INTS, SCRATCH, SIZES
from ddmlp.nn.weights import LANES


@kernel(SIZES, INTS, FLOATS, SCRATCH, FLOATS, FLOATS)
def explain(sizes: Any, classes: Any, weights: Any, scratch: Any, contributions: Any, saliency: Any) -> None:
    """Explain the outputs of these classes for the rows that `recognise` has left in `scratch`.

    Writes the contributions (rows, width) and the saliency (rows, m), both flat. Nothing is checked.
    """
    m, width = sizes.m, sizes.width
    w1, w2 = weights[: m * width], weights[m * width :]
    for row in range(len(classes)):
        for column in range(0, width, LANES):
            y1, w = load(scratch.y1, row * width + column), load(w2, classes[row] * width + column)
            store(contributions, row * width + column, y1 * w)
            store(scratch.d1, column, w * y1 * (ONE - y1))
        for pixel in range(m):
            sums = zeros()
            for column in range(0, width, LANES):
                sums = fma(load(w1, pixel * width + column), load(scratch.d1, column), sums)
            saliency[row * m + pixel] = total(sums)
