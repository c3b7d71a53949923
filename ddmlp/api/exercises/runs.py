"""Checks of the answers about runs: each returns what is wrong with the answer, "" if nothing is.

The right answers are computed, by the code that the exercises are about.
"""

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ddmlp.api.exercises import problem
from ddmlp.errors import RunError

if TYPE_CHECKING:  # the process that checks a function does not need it
    from ddmlp.runs.result import RunResult

SHORTEST = 8  # hexadecimal digits of a hash
MICROBATCH = 8  # what the exercise on the one hash changes


def microbatch_hash(answer: str) -> str:
    """The hash of a run with another microbatch."""
    digits = answer.rstrip(".…").lower()
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", digits):
        return f"expected the first {SHORTEST} or more digits of a weights sha256, found {answer[:40]!r}"
    changed, begun = _train(microbatch=MICROBATCH), _train()
    if changed.weights_sha256.startswith(digits):
        return ""
    if begun.weights_sha256.startswith(digits):
        return f"that is the hash before the change, with any number of workers: set the microbatch to {MICROBATCH}"
    if any(each.chain.startswith(digits) for each in (changed, begun)):
        return "that is the chain, which depends on the steps of the checkpoints, too: give the weights sha256"
    return "that is the hash of neither run: compare all settings with the task, and the data with those of --data"


def killed_run(answer: str) -> str:
    """The folder of a run that was killed and resumed."""
    from ddmlp.config import TrainConfig
    from ddmlp.data.manifest import Manifest
    from ddmlp.runs.records import Records
    from ddmlp.training.audit import RecordedRun

    path, asked = Path(answer), TrainConfig(**problem.KILLED)
    try:
        recorded = RecordedRun(path)
        result, config = recorded.run.result(), recorded.origin.config
    except RunError as error:
        return str(error)
    for name in TrainConfig.names():
        if (found := getattr(config, name)) != (expected := getattr(asked, name)):
            return f"{path} has {name} {found!r}, expected {expected!r}: begin a new run with the settings of the task"
    if result is None or not result.finished:
        return f"{path} has not ended: resume it"
    starts = [each.step for each in Records.read(path / "metrics.jsonl").started]
    if not any(starts):
        if len(starts) > 1:
            return f"{path} was killed before its second checkpoint: begin a new run, and kill it later"
        return f"{path} has never been resumed, says metrics.jsonl: kill a new run before it ends"
    with TemporaryDirectory() as folder:
        problem.write_data(Path(folder))
        per_epoch = problem.ROWS["train"] // asked.batch
        if recorded.origin.dataset_sha256 != Manifest.read(Path(folder) / "train").identity(growing=False):
            return f"{path} has other data than those of --data"
        if more := [step for step in recorded.steps if step % per_epoch]:
            return (
                f"{path} has a checkpoint of step {more[0]}, in mid-epoch, which a process that is killed cannot "
                "write: end it by SIGKILL, and set no other flags"
            )
        return _verified(path, Path(folder))


def broken_steps(answer: str) -> str:
    """The range of steps in which a bit was changed."""
    first, last = problem.BROKEN_AFTER, problem.BROKEN_AFTER + problem.EVERY
    found = _two_numbers(answer)
    if found is None:
        return f"expected a range of steps such as 5..10, found {answer[:40]!r}"
    if found == (first, last):
        return ""
    if found[0] >= last:
        return "those steps differ only because earlier ones did: find the first range"
    return "these steps are as recorded, or the range is too wide: name two neighbouring checkpoints"


def changed_update(answer: str) -> str:
    """The step of an update whose line was changed, and the version that it had read."""
    found, place = _two_numbers(answer), problem.CHANGED_UPDATE
    if found is None:
        return f"expected a step and a version such as 12:11, found {answer[:40]!r}"
    right = tuple(problem.updates()[place].tolist())
    begin = place - place % problem.EVERY
    if found == right:
        return ""
    if found == (right[0], right[1] ^ 1):
        return "that is the line as it is now: which version did the step read before a byte was changed?"
    if found[0] == right[0]:
        return "that is the step, but it did not read that version: change the line, and replay the run"
    if found[0] < begin:
        return f"step {found[0]} is as recorded: ddmlp verify names the first range that differs"
    if found[0] >= begin + problem.EVERY:
        return f"step {found[0]} comes after weights that differ already: ddmlp verify names the first range"
    return (
        f"the line of step {found[0]} is as it was: compare the staleness of each line with that in metrics.jsonl, or "
        "try other versions"
    )


def _two_numbers(answer: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"\D*(\d{1,9})\D+(\d{1,9})\D*", answer)
    return (int(found[1]), int(found[2])) if found else None


def _verified(run: Path, data: Path) -> str:
    from ddmlp.api.audit import verify

    try:
        verify(run, data=data)
    except RunError as error:
        return str(error)
    return ""


@cache
def _train(**changed: Any) -> "RunResult":
    """Train on the data of the exercises."""
    from ddmlp.api.fit import fit

    with TemporaryDirectory() as folder:
        problem.write_data(Path(folder) / "data")
        run = Path(folder) / "run"
        return fit(Path(folder) / "data", run=run, progress=False, **problem.SETTINGS | changed).record
