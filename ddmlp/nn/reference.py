"""The note's formulas, as it writes them. `kernels` computes the same, but faster; tests compare the two.

There are m inputs, n hidden units, o outputs and B rows; * is element-wise, @ the matrix product. The numbers in
brackets are the equations of Ottokar Tilk's note "Simple neural network to recognize handwritten digits". The gradient
of a batch is the sum over its rows. Arrays are float64. NumPy computes the sums, so their last bits may differ between
machines; those of `kernels`, which uses float32, do not.

>>> w1, w2 = np.array([[0.5, -0.5]]), np.array([[1.0, 0.0], [0.0, 1.0]])  # one input, two hidden units, two outputs
>>> x, t = np.array([[1.0]]), np.array([[1.0, 0.0]])  # one row of the first class
>>> before = error(w1, w2, x, t)
>>> d1, d2 = gradients(w1, w2, x, t)
>>> bool(error(update(w1, d1, 0.1), update(w2, d2, 0.1), x, t) < before)
True
"""

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats

# What `forward` computes, from the parameters in their order and x.
FORMULA = "softmax(logistic(x W1) W2)"


def forward(w1: Floats, w2: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Compute the hidden units and the probabilities: equations (1) and (2).

    Parameters
    ----------
    w1 : (m, n) float64
        The weights of the hidden layer.
    w2 : (n, o) float64
        The weights of the output layer.
    x : (B, m) float64
        The pixels of each row, 0..1.

    Returns
    -------
    y1 : (B, n) float64
        The hidden units.
    y2 : (B, o) float64
        The probability of each class.
    """
    y1 = 1 / (1 + np.exp(-(x @ w1)))  # (1)
    z2 = y1 @ w2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))  # the highest z2 changes no quotient, and e^z2 stays finite
    return y1, e / e.sum(axis=1, keepdims=True)  # (2)


def error(w1: Floats, w2: Floats, x: Floats, t: Floats) -> float:
    """The cross-entropy E = -sum t ln y2, summed over the rows. t (B, o): 1 for the row's class, else 0."""
    _, y2 = forward(w1, w2, x)
    return -float(np.sum(t * np.log(y2)))


def gradients(w1: Floats, w2: Floats, x: Floats, t: Floats) -> tuple[Floats, Floats]:
    """dE/dW1 (m, n) and dE/dW2 (n, o)."""
    y1, y2 = forward(w1, w2, x)
    d2 = y2 - t  # (B, o)
    d1 = d2 @ w2.T * y1 * (1 - y1)  # (3), times the slope of the logistic function: (B, n)
    return x.T @ d1, y1.T @ d2


def contributions(w1: Floats, w2: Floats, x: Floats, classes: NDArray[np.intp]) -> Floats:
    """What each hidden unit adds to the output z2 of a class: y1_j W2_jk, (B, n). classes (B,): k of each row."""
    y1, _ = forward(w1, w2, x)
    return y1 * w2.T[classes]


def saliency(w1: Floats, w2: Floats, x: Floats, classes: NDArray[np.intp]) -> Floats:
    """How the output z2 of a class depends on each pixel: dz2_k/dx = W1 (W2_k * y1 * (1 - y1)), (B, m).

    classes (B,): k of each row.
    """
    y1, _ = forward(w1, w2, x)
    return (w2.T[classes] * y1 * (1 - y1)) @ w1.T


def rounded(gradient: Floats, bits: int) -> Floats:
    """Round each row to the multiples of its own unit, as `TrainConfig.gradient_bits` says.

    The unit of a row is the smallest power of two, but at least 2^-126, for which no number of the row is more than
    2^(bits - 1) - 1 units. A row that is not finite stays as it is. For dE/dW1, a row belongs to an input; dE/dW2 must
    be given transposed, so that a row belongs to an output.

    >>> rounded(np.array([[7.0, 2.4, -0.5], [0.0, -0.3, 0.1]]), bits=4)
    array([[ 7.    ,  2.    ,  0.    ],
           [ 0.    , -0.3125,  0.125 ]])
    """
    result = gradient.copy()
    for row in result:
        top = np.abs(row).max()
        if not 0 < top < np.inf:
            continue
        exponent = max(int(np.frexp(top)[1]) - bits, -126)
        while top > (2.0 ** (bits - 1) - 1) * 2.0**exponent:
            exponent += 1
        row[...] = np.rint(row.astype(np.float64) / 2.0**exponent) * 2.0**exponent + 0.0  # -0 becomes +0
    return result


def update(w: Floats, gradient: Floats, rate: float) -> Floats:
    """W + dW, with dW = -rate dE/dW. The rate is alpha / B, because the gradient is the sum over B rows."""
    return w - rate * gradient
