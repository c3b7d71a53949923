"""Checkpoint files: exact contents, and no pickle."""

import dataclasses
import pickle
import zipfile
from pathlib import Path

import numpy as np

from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint
from tests.support.checkpoints import FIRST, HEADER, SHAPE, refusal, some, text


def test_same_bits(checkpoints):
    weights = Weights(SHAPE)
    weights.w1[:2, :3] = [[0.0, -0.0, np.nan], [np.inf, np.finfo(np.float32).smallest_subnormal, 1 / 3]]
    found = load_checkpoint(checkpoints.save(Checkpoint(weights, 0)))
    assert found.weights.flat.tobytes() == weights.flat.tobytes()
    assert found.weights.flat.dtype == np.float32


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_file_of_0_1_0(checkpoints, tmp_path):
    """A checkpoint of ddmlp 0.1.0 is read, and written again with the same bytes."""
    weights, earlier = Weights.draw(SHAPE, 1), [Weights.draw(SHAPE, seed) for seed in (2, 3)]
    hashes = {"weights_sha256": weights.sha256(), "earlier_sha256": [each.sha256() for each in earlier]}
    flats, about = np.stack([each.values for each in earlier]), text(FIRST | hashes)
    path = tmp_path / "first.npz"
    np.savez(path, allow_pickle=False, W1=weights.w1.copy(), W2=weights.w2.copy(), earlier=flats, about=about)
    found = load_checkpoint(path)
    assert (found.step, found.header, found.state) == (7, HEADER, {})
    assert [each.sha256() for each in (found.weights, *found.earlier)] == [weights.sha256(), *hashes["earlier_sha256"]]
    assert contents(checkpoints.save(found)) == contents(path)


def test_state(checkpoints):
    """Arrays of an optimizer may have any shape and type."""
    velocity = np.arange(32, dtype=np.float32).reshape(8, 4)
    state = {"velocity": velocity, "steps": np.array(3, ">i8"), "none": np.zeros((0, 2), bool)}
    found = load_checkpoint(checkpoints.save(dataclasses.replace(some(1), state=state)))
    assert found.state.keys() == state.keys()
    for name, array in state.items():
        assert (found.state[name].dtype, found.state[name].tolist()) == (array.dtype, array.tolist())
    assert found.header == some(1).header


def test_no_pickle_written(checkpoints):
    path = checkpoints.save(dataclasses.replace(some(1), state={"velocity": np.zeros(3)}))
    with np.load(path, allow_pickle=False) as file:
        assert {name: array.dtype.kind for name, array in file.items()} == {
            "W1": "f", "W2": "f", "earlier": "f", "state.velocity": "f", "about": "u"
        }  # fmt: skip
    assert {content[:6] for content in contents(path).values()} == {b"\x93NUMPY"}


def test_no_pickle_loaded(checkpoints, tmp_path):
    path = checkpoints.save(some(1))
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)

    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, allow_pickle=True, **{**arrays, "W1": np.array([Trap()], object)})
    assert "W1 " in refusal(path)
    path.write_bytes(pickle.dumps(Trap()))
    assert "pickle" in refusal(path)
    assert not marker.exists()
