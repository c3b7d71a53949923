"""Replay: python -m ddmlp.replay RUN"""

import argparse
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, command
from ddmlp.cli.verify import open_data, read_chain, read_checkpoints, recompute
from ddmlp.errors import RunError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m ddmlp.replay",
        description="Do a run once more in this process, update by update: each with the gradient of the step that the "
        "run has journalled for it, computed with the version of the weights that it had read. Must come to the same "
        "weights.",
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--data", type=Path, help="folder with the dataset train/ (default: where the run found it)")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    from ddmlp.runs.run import Run
    from ddmlp.training.metrics import spread

    run = Run(args.run)
    origin = run.origin()
    with run:
        links = read_chain(run, origin)
        end, checkpoints = links[-1], read_checkpoints(run, links)
    dataset = open_data(run, origin, (args.data or origin.data) / "train", checkpoints)
    redone = recompute(run, origin, dataset, None, end.step)
    with bar("replaying", "updates") as show:
        while redone.step < end.step:
            redone.advance()
            show(redone.step, end.step)
    if (found := redone.weights.sha256()) != end.weights_sha256:
        raise RunError(
            f"{run.path}: {end.step} updates done again come to the weights {found[:16]}..., the run says "
            f"{end.weights_sha256[:16]}...; python -m ddmlp.verify tells where they part"
        )
    stale = spread(redone.staleness)
    print(f"replayed        {end.step:,} updates, {stale['mean']:.2f} versions old on average, {stale['max']} at most")
    print(f"weights sha256  {found}, as the run says")


if __name__ == "__main__":
    command(main)
