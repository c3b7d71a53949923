"""Verify: python -m ddmlp.verify RUN"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import Parser, bar, command
from ddmlp.errors import ConfigError, RunError

if TYPE_CHECKING:  # these import NumPy, which --help need not wait for
    from ddmlp.data.dataset import Dataset
    from ddmlp.runs.checkpoint import Checkpoint
    from ddmlp.runs.hash_chain import ChainEntry
    from ddmlp.runs.run import Origin, Run
    from ddmlp.training.recompute import Recomputation


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m ddmlp.verify",
        description="Compute a run again in this process and compare the weights of each checkpoint that it wrote "
        "with the hash on its chain. Says 'verified', or names the first stretch of steps that differs. An "
        "asynchronous run is computed in the order of its updates.",
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--steps", type=steps, metavar="A..B", help="verify only the stretch between these two "
                        "checkpoints; it starts from the newest kept checkpoint that is not after A")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder with the dataset train/ (default: where the run found it)")
    return parser.parse_args(arguments)


def steps(text: str) -> tuple[int, int]:
    """A..B as two numbers."""
    found = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no A..B with A at most B")
    return int(found[1]), int(found[2])


def read_chain(run: "Run", origin: "Origin") -> "list[ChainEntry]":
    """The run's chain, which must begin at step 0 and agree with the result and the model; raises RunError."""
    from ddmlp.inference.model import load_weights
    from ddmlp.runs.hash_chain import Chain

    links = Chain(run.chain, origin.fixed).links()
    if not links or links[0].step != 0:
        raise RunError(f"{run.chain} has no link of step 0: there is nothing to verify from")
    if result := run.result():
        if (result.get("chain"), result.get("weights_sha256")) != (links[-1].digest, links[-1].weights_sha256):
            raise RunError(f"{run.path}/result.json is not what {run.chain} ends with")
        if load_weights(run.path).sha256() != links[-1].weights_sha256:
            raise RunError(f"{run.path}/model.npz is not what {run.chain} ends with")
    return links


def read_checkpoints(run: "Run", links: "list[ChainEntry]") -> "dict[int, Checkpoint]":
    """The checkpoints that are kept, by step; raises RunError where one is damaged, or is not the chain's."""
    from ddmlp.runs.checkpoint import load_checkpoint

    due = {(link.step, link.weights_sha256, link.digest) for link in links}
    found = {}
    for path in run.checkpoints.paths():
        checkpoint = load_checkpoint(path)
        if (checkpoint.step, checkpoint.weights.sha256(), checkpoint.about.get("chain")) not in due:
            raise RunError(f"{path} is not what {run.chain} has for step {checkpoint.step}")
        found[checkpoint.step] = checkpoint
    return found


def open_data(run: "Run", origin: "Origin", path: Path, checkpoints: "dict[int, Checkpoint]") -> "Dataset":
    """The dataset at `path`, which must be what the run was trained on; raises DatasetError, RunError."""
    from ddmlp.data.dataset import Dataset
    from ddmlp.runs.checkpoint_manager import check_trained_on

    dataset = Dataset(path)
    if dataset.manifest.identity(growing=origin.config.follow) != origin.dataset_sha256:
        raise RunError(f"{path} is not the dataset that {run.path} was trained on")
    if origin.config.follow and checkpoints:
        check_trained_on(checkpoints[max(checkpoints)], dataset.manifest, run)
    dataset.verify()
    return dataset


def recompute(
    run: "Run", origin: "Origin", dataset: "Dataset", start: "Checkpoint | None", last: int
) -> "Recomputation":
    """What computes the run again, from a checkpoint or from the beginning, up to step `last`."""
    from ddmlp.nn.weights import Weights
    from ddmlp.runs.checkpoint import Checkpoint
    from ddmlp.runs.update_log import UpdateLog
    from ddmlp.training.job import Job
    from ddmlp.training.recompute import Recomputation

    job = Job(origin.config, origin.data, run.path, workers=0, checkpoint_every=1)
    drawn = Checkpoint(Weights.draw(job.shape(dataset.manifest), origin.config.seed), 0, {})
    updates = UpdateLog(run.updates).read(last) if origin.config.asynchronous else None
    return Recomputation(job, dataset, start or drawn, updates)


def compute_again(
    redone: "Recomputation", links: "list[ChainEntry]", show: Callable[[int, int], None]
) -> "ChainEntry | None":
    """Go on with `redone` through the links from its position on; the first whose weights differ."""
    begin, due = redone.step, [link for link in links if link.step >= redone.step]
    for link in due:
        while redone.step < link.step:
            redone.advance()
            show(redone.step - begin, due[-1].step - begin)
        if redone.weights.sha256() != link.weights_sha256:
            return link
    return None


def main() -> None:
    args = parse()
    from ddmlp.runs.run import Run

    run = Run(args.run)
    origin = run.origin()
    with run:
        links = read_chain(run, origin)
        checkpoints = read_checkpoints(run, links)
    positions = [link.step for link in links]
    first, last = args.steps or (0, positions[-1])
    for step in (first, last):
        if step not in positions:
            nearest = sorted(sorted(positions, key=lambda other: abs(other - step))[:2])
            raise ConfigError(f"--steps: {run.path} has no checkpoint of step {step}; the nearest are of {nearest}")
    dataset = open_data(run, origin, (args.data or origin.data) / "train", checkpoints)
    before = [step for step in checkpoints if 0 < step <= first]
    redone = recompute(run, origin, dataset, checkpoints[max(before)] if before else None, last)
    begin = redone.step
    with bar("computing again", "steps") as show:
        differs = compute_again(redone, [link for link in links if link.step <= last], show)
    if differs:
        stretch = f"{max([step for step in positions if step < differs.step], default=0)}..{differs.step}"
        hint = "" if same_machine(checkpoints) else "; it was computed on another processor or with other libraries"
        raise RunError(
            f"{run.path} differs in steps {stretch}: computed again they come to the weights "
            f"{redone.weights.sha256()[:16]}..., the run says {differs.weights_sha256[:16]}...{hint}"
        )
    compared = [step for step in positions if begin <= step <= last]
    print(f"verified        steps {begin}..{last}, {len(compared)} checkpoints")
    print(f"weights sha256  {redone.weights.sha256()}")
    print(f"chain           {next(link.digest for link in links if link.step == last)}")


def same_machine(checkpoints: "dict[int, Checkpoint]") -> bool:
    """Whether the checkpoints were computed with the libraries and the arithmetic of this process."""
    from ddmlp.numerics import libraries

    ours = libraries().items()
    return all(ours <= checkpoint.about.get("versions", {}).items() for checkpoint in checkpoints.values())


if __name__ == "__main__":
    command(main)
