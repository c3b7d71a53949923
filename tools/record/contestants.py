"""Trainings with a limit of wall time: ddmlp, PyTorch and scikit-learn.

    python -m tools.record.contestants NAME DATA DEADLINE SCRATCH HIDDEN AUGMENT

Trains on DATA/train until shortly before the deadline, in seconds since 1970, and prints a line of JSON: the fraction
of DATA/test that the last weights mistake, and the epochs.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from ddmlp.errors import ConfigError

TRIAL_STEPS = 300  # of ddmlp, to learn how fast this machine is
RESERVE = 0.1  # of the time that is left for the training: its speed varies
BATCH = 64  # of the peers
RATES = {"adam": 0.001, "sgd": 0.1}  # those of the peers' documentation; sgd has Nesterov's momentum, 0.9


class Contest(NamedTuple):
    """What a contestant is given. deadline: seconds since 1970; scratch: a folder for temporary files."""

    data: Path
    deadline: float
    scratch: Path
    hidden: int
    augment: str

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.time()


class Outcome(NamedTuple):
    """The fraction of the test rows that the last weights mistake, and the epochs that they were trained for."""

    error: float
    epochs: float


def ours(contest: Contest, *, distorted: bool, seed: int = 0) -> Outcome:
    """Train one network in one process. The number of epochs follows from the speed of some steps.

    Raises ConfigError if the time is too short for an epoch.
    """
    import ddmlp

    settings: dict[str, Any] = {"hidden": contest.hidden, "batch": 32, "lr": 0.5, "seed": seed, "progress": False}
    settings |= {"lr_schedule": "exponential", "lr_end": 0.1}  # as in the record
    settings |= {"augment": contest.augment} if distorted else {}
    trial = ddmlp.fit(contest.data, run=contest.scratch / "trial", epochs=1, stop_after=TRIAL_STEPS, **settings)
    rows = len(ddmlp.Dataset(contest.data / "train"))
    epochs = int((1 - RESERVE) * contest.left * trial.speed / rows)
    if not epochs:
        raise ConfigError(f"{contest.left:.1f} s are left, but an epoch takes {rows / trial.speed:.1f} s")
    result = ddmlp.fit(contest.data, run=contest.scratch / "run", epochs=epochs, **settings)
    assert result.test_error is not None
    return Outcome(result.test_error, epochs)


def in_time(
    contest: Contest, rows: int, train: Callable[[int, int, float], object], test: Callable[[], float]
) -> Outcome:
    """Train on parts of epochs until there is only time for the test.

    train(begin, end, passed) trains on these places of the epoch's order; passed: the fraction of the time, 0 to 1.
    """
    parts, began = 20, time.time()
    test()  # how long it takes
    slowest, reserve = 0.0, 1.5 * (time.time() - began)
    available = contest.left - reserve
    for part in count():
        if (left := contest.left - reserve) <= 0 and not part:
            raise ConfigError("the time is too short: it has ended before the training")
        if left < 1.5 * slowest:
            return Outcome(test(), part / parts)
        begin, start = part % parts, time.time()
        train(rows * begin // parts, rows * (begin + 1) // parts, 1 - left / available)
        slowest = max(slowest, time.time() - start)
    raise AssertionError("count() does not end")


def pytorch(contest: Contest, solver: str) -> Outcome:
    """The network with biases and rectified linear units, its usual form; the rate falls to zero over the time."""
    import numpy as np
    import torch
    from torch import nn

    from tools.benchmarks.peers.baseline import Rows, scaled

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    rows, tested = (Rows.load(contest.data / part) for part in ("train", "test"))
    m, n, o = rows.shape(contest.hidden)
    x, labels = torch.from_numpy(scaled(rows.pixels)), torch.from_numpy(rows.labels).long()
    net, error = nn.Sequential(nn.Linear(m, n), nn.ReLU(), nn.Linear(n, o)), nn.CrossEntropyLoss()
    optimizer: Any = (
        torch.optim.Adam(net.parameters(), lr=RATES["adam"])
        if solver == "adam"
        else torch.optim.SGD(net.parameters(), lr=RATES["sgd"], momentum=0.9, nesterov=True)
    )
    order = torch.randperm(len(labels))

    def train(begin: int, end: int, passed: float) -> None:
        nonlocal order
        if begin == 0:
            order = torch.randperm(len(labels))
        for group in optimizer.param_groups:
            group["lr"] = RATES[solver] * (1 - passed)
        for chosen in order[begin:end].split(BATCH):
            optimizer.zero_grad()
            error(net(x[chosen]), labels[chosen]).backward()
            optimizer.step()

    def test() -> float:
        with torch.inference_mode():
            found = net(torch.from_numpy(scaled(tested.pixels))).argmax(dim=1).numpy()
        return float(np.mean(found != tested.labels))

    return in_time(contest, len(labels), train, test)


def scikit(contest: Contest, solver: str) -> Outcome:
    """MLPClassifier with its defaults but for the size, the batch and, with sgd, the rate."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    from tools.benchmarks.peers.baseline import Rows, scaled

    rows, tested = (Rows.load(contest.data / part) for part in ("train", "test"))
    x, tested_x, random = scaled(rows.pixels), scaled(tested.pixels), np.random.default_rng(0)
    net = MLPClassifier(
        (contest.hidden,), solver=solver, batch_size=BATCH, learning_rate_init=RATES[solver], random_state=0
    )
    order = random.permutation(len(x))

    def train(begin: int, end: int, _passed: float) -> None:
        nonlocal order
        if begin == 0:
            order = random.permutation(len(x))
        chosen = order[begin:end]
        net.partial_fit(x[chosen], rows.labels[chosen], classes=np.unique(rows.labels))

    def test() -> float:
        return 1 - float(net.score(tested_x, tested.labels)) if hasattr(net, "coefs_") else 1.0

    train(0, BATCH, 0)  # it can be tested now
    return in_time(contest, len(x), train, test)


# By the name in the table: the package that it needs, and the training.
CONTESTANTS: dict[str, tuple[str, Callable[[Contest], Outcome]]] = {
    "ddmlp, distorted images": ("ddmlp", partial(ours, distorted=True)),
    "ddmlp": ("ddmlp", partial(ours, distorted=False)),
    "PyTorch, Adam": ("torch", partial(pytorch, solver="adam")),
    "PyTorch, SGD with momentum": ("torch", partial(pytorch, solver="sgd")),
    "scikit-learn, Adam": ("sklearn", partial(scikit, solver="adam")),
    "scikit-learn, SGD with momentum": ("sklearn", partial(scikit, solver="sgd")),
}


if __name__ == "__main__":
    name, data, deadline, scratch, hidden, augment = sys.argv[1:]
    contest = Contest(Path(data).resolve(), float(deadline), Path(scratch), int(hidden), augment)
    print(json.dumps(CONTESTANTS[name][1](contest)._asdict()))
