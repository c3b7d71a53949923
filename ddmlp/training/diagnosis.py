"""A diagnosis: where values that are not finite have come from."""

import math

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.nn.network import Weights
from ddmlp.plan.plan import Node, Plan, Update
from ddmlp.training.unit_queue import Unit
from ddmlp.training.worker import Worker


def culprit(dataset: Dataset, plan: Plan, update: Update, weights: Weights) -> str:
    """Which microbatch has a gradient that is not finite, in words; weights: those that the step has read."""
    worker, gradient = Worker(dataset, plan, weights.shape), Weights(weights.shape)
    with np.errstate(all="ignore"):
        for index in range(plan.microbatches(update.step)):
            tally = worker.compute(Unit(*update, Node(index, index + 1)), weights, gradient)
            gradient.expand()
            if not (math.isfinite(tally.error) and np.isfinite(gradient.flat).all()):
                return f"the gradient of microbatch {index} is not finite; a smaller --lr may help"
    return (
        "computed again, its microbatches have finite gradients: so their sum or the update is too large, and a "
        "smaller --lr may help, or a worker has computed wrongly"
    )
