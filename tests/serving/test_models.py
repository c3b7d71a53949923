"""The newest checkpoint of a run: new, damaged and deleted ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.config import TrainConfig
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import RequestError
from ddmlp.files import write_whole
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.serving.models import Newest, fixed


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.create(Origin(TrainConfig(), tmp_path / "gone", "a" * 64))
    return run


def save(run: Run, step: int, seed: int) -> str:
    weights = Weights.draw(Shape(784, 5, 10), seed)
    run.checkpoints.save(Checkpoint(weights, step))
    return weights.sha256()


def test_simple(run):
    newest = Newest(run)
    for step in range(5):
        digest = save(run, step, seed=step)
        assert (newest().info.step, newest().info.weights_sha256) == (step, digest)
        assert newest() is newest()
    assert newest().info.image_shape == (28, 28)


def test_ready(run, tmp_path):
    """The first answer need not wait for the compiler."""
    save(run, 0, seed=0)
    run.write_model(Weights.draw(Shape(784, 5, 10), 0))
    for served in (Newest(run), fixed(tmp_path)):
        assert "_network" in vars(served().model)


def test_committee(tmp_path):
    """Several models answer together."""
    for seed in range(2):
        np.savez(tmp_path / f"{seed}.npz", **Weights.draw(Shape(784, 5 + seed, 10), seed).parameters)
    paths = [tmp_path / "0.npz", tmp_path / "1.npz"]
    version, expected = fixed(*paths)(), ddmlp.load(paths)
    assert (version.info.weights_sha256, version.info.classes) == (expected.weights_sha256, 10)
    image = np.full((1, 28, 28), 99, np.uint8)
    assert version.model.predict_proba(image).tobytes() == expected.predict_proba(image).tobytes()


def test_none_yet(run):
    newest = Newest(run)
    for _ in range(2):
        with pytest.raises(RequestError, match="no checkpoint") as caught:
            newest()
        assert caught.value.status == 503
    save(run, 0, seed=1)
    assert newest().info.step == 0


def test_shape_of_the_data(run, data):
    save(run, 1, seed=1)
    manifest = Manifest.read(data / "train")
    folder = run.origin().data / "train"
    folder.mkdir(parents=True)
    write_whole(folder / NAME, json.dumps({**json.loads((data / "train" / NAME).read_text()), "image_shape": [14, 56]}))
    assert manifest.image_shape != Newest(run)().model.image_shape == (14, 56)


def test_damaged_checkpoint(run):
    newest = Newest(run)
    save(run, 1, seed=1)
    save(run, 2, seed=2)
    path = run.checkpoints.paths()[0]
    path.write_bytes(path.read_bytes()[:1_000])
    assert newest().info.step == 1
    assert newest() is newest()


def test_run_starts_again(run):
    newest = Newest(run)
    save(run, 7, seed=1)
    assert newest().info.step == 7
    shutil.rmtree(run.checkpoints.folder)
    with pytest.raises(RequestError):
        newest()
    digest = save(run, 7, seed=2)
    assert newest().info.weights_sha256 == digest


def test_finished_run(trained):
    newest, result = Newest(Run(trained))(), json.loads((trained / "result.json").read_text())
    assert newest.info.image_shape == (28, 28)
    assert (newest.info.step, newest.info.weights_sha256) == (result["steps"], result["weights_sha256"])
