"""Checks of the answers that are words: each returns what is wrong with the answer, "" if nothing is.

The right answers are computed, by the code that the exercises are about.
"""

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ddmlp.api.exercises import problem
from ddmlp.nn import reference
from ddmlp.nn.weights import Shape

SHORTEST = 8  # hexadecimal digits of a hash
NETWORK, WORKERS = Shape(784, 256, 10), 3  # of the exercise on bytes
MICROBATCH, DELAY = 8, 2  # what the exercises change in a run


def forward(answer: str) -> str:
    """Exercise 1: the highest probability of a row."""
    found = _number(answer)
    if found is None:
        return f"expected a probability such as 0.1234, found {answer[:40]!r}"
    weights, pixels = problem.weights(), problem.rows("train")[0][:1].reshape(1, -1)
    w1, w2 = weights.w1.astype(np.float64), weights.w2.astype(np.float64)
    with np.errstate(over="ignore"):
        right, undivided = (reference.forward(w1, w2, pixels / part)[1].max() for part in (255, 1))
    if abs(found - right) < 6e-5:
        return ""
    if abs(found - undivided) < 6e-5:
        return "that is the probability if pixels are 0 to 255: divide them by 255 first"
    if abs(found - (reference.forward(w1, w2, pixels / 255)[0] @ w2).max()) < 6e-5:
        return "that is the highest z2: the softmax, equation (2), is missing"
    return "compare each step with ddmlp/nn/reference.py; give at least four digits after the point"


def step_bytes(answer: str) -> str:
    """Exercise 5: the bytes of arrays of a step."""
    found = _number(answer.replace(",", "").replace("_", ""))
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


def microbatch_hash(answer: str) -> str:
    """Exercise 6: the hash of a run with another microbatch."""
    if problem_with := _not_a_hash(answer):
        return problem_with
    if _train(microbatch=MICROBATCH)[0].startswith(answer.lower()):
        return ""
    if _train()[0].startswith(answer.lower()):
        return f"that is the hash before the change, with any number of workers: set the microbatch to {MICROBATCH}"
    return "that is the hash of neither run: compare all settings with the task, and the data with those of --data"


def delayed_mistakes(answer: str) -> str:
    """Exercise 7: the wrongly classified test rows of a run with delayed gradients."""
    found = _number(answer)
    if found is None or found != int(found):
        return f"expected a number of rows, found {answer[:40]!r}"
    if found == (right := _train(delay=DELAY)[1]):
        return ""
    if found == (prompt := _train()[1]):
        return "that is the run without a delay"
    if found in (right - prompt, prompt - right):
        return "that is the difference of the two runs: give the number of the delayed one"
    return f"that is neither run: compare all settings with the task; the test data have {problem.ROWS['test']} rows"


def broken_steps(answer: str) -> str:
    """Exercise 9: the range of steps in which a bit was changed."""
    first, last = problem.BROKEN_AFTER, problem.BROKEN_AFTER + problem.EVERY
    found = re.fullmatch(r"(\d+)(?:\.\.|-)(\d+)", answer)
    if found is None:
        return f"expected a range of steps such as 5..10, found {answer[:40]!r}"
    begin, end = int(found[1]), int(found[2])
    if (begin, end) == (first, last):
        return ""
    if begin >= last:
        return "those steps differ only because earlier ones did: find the first range"
    return "these steps are as recorded, or the range is too wide: name two neighbouring checkpoints"


def _number(answer: str) -> float | None:
    """A number, finite; None if it is none."""
    try:
        found = float(answer)
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def _not_a_hash(answer: str) -> str:
    if re.fullmatch(rf"[0-9a-fA-F]{{{SHORTEST},64}}", answer):
        return ""
    return f"expected the first {SHORTEST} or more digits of a weights sha256, found {answer[:40]!r}"


@cache
def _train(**changed: Any) -> tuple[str, int]:
    """Train on the data of the exercises; returns the hash of the weights and the mistakes of the last test."""
    from ddmlp.api.fit import fit

    with TemporaryDirectory() as folder:
        problem.write_data(Path(folder) / "data")
        result = fit(Path(folder) / "data", run=Path(folder) / "run", progress=False, **problem.SETTINGS | changed)
        return result.weights_sha256, round((result.test_error or 0) * problem.ROWS["test"])
