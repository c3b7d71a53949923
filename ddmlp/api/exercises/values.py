"""Checks of the answers that are numbers: each returns what is wrong with the answer, "" if nothing is.

The right answers are computed, by the code that the exercises are about.
"""

import re

import numpy as np

from ddmlp.api.exercises import problem
from ddmlp.nn import reference
from ddmlp.nn.weights import Shape

NETWORK, WORKERS = Shape(784, 256, 10), 3  # of the exercise on bytes


def forward(answer: str) -> str:
    """The highest probability of a row."""
    found = _number(answer.replace(",", "."))
    if found is None:
        return f"expected a probability such as 0.1234, found {answer[:40]!r}"
    weights, pixels = problem.weights(), problem.rows("train")[0][:1].reshape(1, -1)
    w1, w2 = weights.w1.astype(np.float64), weights.w2.astype(np.float64)
    with np.errstate(over="ignore"):
        right, undivided = (reference.forward(w1, w2, pixels / part)[1] for part in (255, 1))
    if abs(found - right.max()) < 6e-5:
        return ""
    if abs(found - undivided.max()) < 6e-5:
        return "that is the probability if pixels are 0 to 255: divide them by 255 first"
    if (abs(found - right) < 6e-5).any():
        return "that is the probability of another class: give the highest"
    if abs(found - (reference.forward(w1, w2, pixels / 255)[0] @ w2).max()) < 6e-5:
        return "that is the highest z2: the softmax, equation (2), is missing"
    return "compare each step with ddmlp/nn/reference.py; give at least four digits after the point"


def step_bytes(answer: str) -> str:
    """The bytes of arrays of a step."""
    found = _number(re.sub(r"[,_ ]|\s*(bytes|B)$", "", answer))
    numbers = sum(each.size for each in NETWORK.parameters.values())
    right = 2 * 4 * numbers * WORKERS
    if found is None or found != int(found):
        return f"expected a whole number of bytes, found {answer[:40]!r}"
    if found == right:
        return ""
    m, n, o = NETWORK
    if found % 4:
        return "expected a number of bytes that is a multiple of 4: a float32 has 4"
    usual = {
        right // 4: "those are numbers, not bytes: a float32 has 4 bytes",
        right // 2: "that is one way: weights travel to the workers, and gradients back",
        right // WORKERS: f"that is one worker: there are {WORKERS}",
        right + 8 * WORKERS * (n + o): "the network has no biases",
        right * 2: "a float32 has 4 bytes, not 8",
    }
    other = f"count the numbers in W1, {m} x {n}, and in W2, {n} x {o}; then how often they travel in a step"
    return usual.get(int(found), other)


def _number(answer: str) -> float | None:
    """A number, finite; None if it is none."""
    try:
        found = float(answer)
    except ValueError:
        return None
    return found if np.isfinite(found) else None
