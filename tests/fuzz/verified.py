"""The hash chain of a whole run, as `ddmlp verify` reads it: the result and the checkpoints vouch for its end."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.audit import RecordedRun
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from tests.fuzz.kind import Kind, Meaning, of_file
from tests.fuzz.mutations import JSON


def verified(folder: Path) -> Iterator[Kind]:
    """Yield the kind; files are written to and read from the folder."""
    draw = np.random.default_rng(0)
    with DatasetWriter(folder / "train", (2, 2), 3) as writer:
        writer.append(draw.integers(0, 256, (40, 2, 2), np.uint8), draw.integers(0, 3, 40, np.uint8))
    config = TrainConfig(hidden=3, epochs=2)
    job = Job(config, folder, folder / "run", workers=0, checkpoint_every=2, keep=1)
    trainer = build_trainer(job)
    run, manifest = Run(job.run), Manifest.read(folder / "train")
    run.create(Origin.from_manifest(config, folder, manifest))
    report = trainer.advance(60.0)
    trainer.close()
    assert report.result is not None
    run.write_result(report.result)

    def read() -> Meaning:
        found = RecordedRun(job.run)
        return found.entries, [(step, each.weights.sha256()) for step, each in sorted(found.checkpoints.items())]

    good = run.chain.read_bytes()
    yield Kind("run, as verified", [good], of_file(run.chain, read), JSON, sealed=True)
