"""A peer's whole command: python -m tools.benchmarks.goal NAME DATA --hidden N --batch B --lr R --seed S --goal G

Trains until an epoch ends with a fraction G of the test rows recognised, or for --epochs of them; with --linear the
learning rate falls to zero over those. Prints the accuracy after each epoch as JSON.
"""

import json
from pathlib import Path

import numpy as np

from ddmlp.cli.terminal import Parser, command
from ddmlp.nn.weights import Shape, Weights
from tools.benchmarks.peers.contestant import Contestant, accuracy
from tools.benchmarks.peers.roster import ROSTER, contestant
from tools.benchmarks.rows import Rows

PARTS = 100  # of an epoch, each with a learning rate of its own


def epochs_to(
    runner: Contestant, train: int, test: Rows, seed: int, goal: float, most: int, *, linear: bool = False
) -> list[float]:
    """The accuracy after each epoch, up to the first that reaches the goal. linear: the rate falls to zero over `most`
    epochs."""
    first = runner.rate
    rng = np.random.default_rng(seed)
    reached: list[float] = []
    while len(reached) < most and max(reached, default=-1.0) < goal:
        for part, order in enumerate(np.array_split(rng.permutation(train), PARTS if linear else 1)):
            runner.rate = first * (1 - (len(reached) + part / PARTS) / most) if linear else first
            runner.train(order)
        reached.append(accuracy(runner, test))
    return reached


def main() -> None:
    parser = Parser(description="Train a peer until it is good enough; one line of JSON.")
    parser.add_argument("name", choices=ROSTER)
    parser.add_argument("data", type=Path)
    for name in ("hidden", "batch", "seed", "epochs"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("lr", "goal"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--linear", action="store_true")
    args = parser.parse_args()
    train, test = Rows.load(args.data / "train"), Rows.load(args.data / "test")
    shape = Shape(train.pixels.shape[1], args.hidden, int(train.labels.max()) + 1)
    runner = contestant(args.name)(train, Weights.draw(shape, args.seed), args.batch, args.lr)
    about = len(train.labels), test, args.seed, args.goal, args.epochs
    reached = epochs_to(runner, *about, linear=args.linear)
    print(json.dumps({"accuracy": reached}))


if __name__ == "__main__":
    command(main)
