"""Checkpoints: whole, checked, without pickle, and the newest good one."""

import io
import json
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint, Checkpoints, load_arrays, load_checkpoint, save_arrays

SHAPE = Shape(5, 4, 3)
# Saves step 1, and is killed in the middle of saving step 2; or has a file size limit, which is a full disk.
SAVE = """
import os, resource, signal, sys
from pathlib import Path
from ddmlp import checkpoint
from ddmlp.nn.weights import Shape, Weights

checkpoints = checkpoint.Checkpoints(Path(sys.argv[1]))
weights = Weights.draw(Shape(50, 40, 3), 0)
checkpoints.save(checkpoint.Checkpoint(weights, 1, {}))
if sys.argv[2] == "kill":
    def kill(event, arguments):
        if event == "os.rename":
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(kill)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    checkpoints.save(checkpoint.Checkpoint(weights, int(sys.argv[3]), {}))
except OSError as error:
    print(f"{error.strerror} {error.filename}")
"""


def some(step: int) -> Checkpoint:
    return Checkpoint(Weights.draw(SHAPE, step), step, {"note": f"nr {step}", "data": {"rows": [1, 2]}})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def complaint_of(path: Path) -> str | None:
    """What is wrong with a checkpoint, if anything is."""
    try:
        load_checkpoint(path)
    except RunError as error:
        return str(error)
    return None


def save(process_folder: Path, how: str, step: int = 2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SAVE, str(process_folder), how, str(step)], capture_output=True, text=True, check=False
    )


def rewrite(path: Path, **arrays: np.ndarray) -> None:
    """Replace arrays of a checkpoint with others."""
    with np.load(path) as file:
        found = dict(file)
    np.savez(path, **{**found, **arrays})


def text(about: object) -> np.ndarray:
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def test_simple(checkpoints):
    saved = some(7)
    path = checkpoints.save(saved)
    assert path == checkpoints.folder / "step-000000000007.npz"
    found, complaints = checkpoints.newest()
    assert (found.step, found.about, complaints) == (7, saved.about, [])
    assert found.weights.shape == SHAPE
    assert found.weights.sha256() == saved.weights.sha256()
    assert [p.name for p in checkpoints.folder.iterdir()] == [path.name]


def test_the_weights_make_the_round_trip_to_the_bit(checkpoints):
    weights = Weights(SHAPE)
    weights.flat[:6] = [0.0, -0.0, np.nan, np.inf, np.finfo(np.float32).smallest_subnormal, 1 / 3]
    found = load_checkpoint(checkpoints.save(Checkpoint(weights, 0, {})))
    assert found.weights.flat.tobytes() == weights.flat.tobytes()
    assert found.weights.flat.dtype == np.float32


def test_an_empty_folder_has_no_newest_checkpoint(checkpoints, tmp_path):
    assert checkpoints.newest() == (None, [])
    (tmp_path / "checkpoints").mkdir()
    assert checkpoints.newest() == (None, [])


def test_the_newest_three_are_kept(checkpoints):
    for step in (0, 5, 10, 1_000, 999_999_999_999):
        checkpoints.save(some(step))
    assert [path.stem for path in checkpoints.paths()] == [
        "step-999999999999",
        "step-000000001000",
        "step-000000000010",
    ]
    assert sorted(checkpoints.folder.iterdir()) == checkpoints.paths()[::-1]
    assert checkpoints.newest()[0].step == 999_999_999_999


def test_files_of_others_are_left_alone(checkpoints):
    checkpoints.save(some(1))
    others = [checkpoints.folder / name for name in ("notes.txt", "step-5.npz", "step-000000000002.npz.bak", "x.npz")]
    for path in others:
        path.write_text("mine")
    for step in (2, 3, 4):
        checkpoints.save(some(step))
    assert [path.read_text() for path in others] == ["mine"] * 4
    assert checkpoints.newest()[0].step == 4


def test_nothing_in_the_file_is_pickled(checkpoints, tmp_path):
    save_arrays(tmp_path / "model.npz", some(1).weights)
    for path, expected in [
        (checkpoints.save(some(1)), {"W1": "f", "W2": "f", "earlier": "f", "about": "u"}),
        (tmp_path / "model.npz", {"W1": "f", "W2": "f"}),
    ]:
        with np.load(path, allow_pickle=False) as file:
            assert {name: array.dtype.kind for name, array in file.items()} == expected
        with zipfile.ZipFile(path) as archive:
            assert {name: archive.read(name)[:6] for name in archive.namelist()} == {
                f"{name}.npy": b"\x93NUMPY" for name in expected
            }


def test_a_pickled_array_is_never_loaded(checkpoints, tmp_path):
    path = checkpoints.save(some(1))
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)

    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, allow_pickle=True, **{**arrays, "W1": np.array([Trap()], object)})
    assert "Object arrays cannot be loaded when allow_pickle=False" in refusal(path)
    path.write_bytes(pickle.dumps(Trap()))
    assert "is damaged, or no .npz file" in refusal(path)
    assert not marker.exists()


def test_a_killed_process_leaves_the_checkpoint_before(checkpoints):
    done = save(checkpoints.folder, "kill")
    assert done.returncode == -signal.SIGKILL, done.stderr
    found, complaints = checkpoints.newest()
    assert (found.step, complaints) == (1, [])
    assert len([*checkpoints.folder.iterdir()]) == 2
    checkpoints.save(some(2))
    assert checkpoints.newest()[0].step == 2


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_is_a_clear_error_and_leaves_the_checkpoint_before(checkpoints, step):
    done = save(checkpoints.folder, "full", step)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-000000000001.npz"]
    assert checkpoints.newest()[0].weights.shape == Shape(50, 40, 3)
    assert done.stdout.startswith("File too large ")
    assert f"step-{step:012d}.npz" in done.stdout


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "folder"])
def test_a_newest_checkpoint_that_is_damaged_is_passed_over_with_a_word(checkpoints, damage):
    checkpoints.save(some(1))
    path = checkpoints.save(some(2))
    good = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(good[: len(good) // 2])
        case "flipped":
            at = good.index(some(2).weights.w1.tobytes()) + 9
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        case "text":
            path.write_text("hello")
        case "folder":
            path.unlink()
            path.mkdir()
    found, complaints = checkpoints.newest()
    assert (found.step, found.about) == (1, some(1).about)
    (complaint,) = complaints
    assert complaint.startswith(f"passed over a checkpoint: {path} ")


def test_every_damaged_checkpoint_has_its_complaint_newest_first(checkpoints):
    paths = [checkpoints.save(some(step)) for step in (1, 2, 3)]
    for path in paths:
        path.write_text("hello")
    found, complaints = checkpoints.newest()
    assert found is None
    assert [complaint.split(" is ")[0] for complaint in complaints] == [
        f"passed over a checkpoint: {path}" for path in paths[::-1]
    ]


def test_no_flipped_byte_raises_anything_but_a_run_error(checkpoints):
    path = checkpoints.save(some(1))
    good = path.read_bytes()
    weights = some(1).weights.sha256()
    refused = 0
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        if (complaint := complaint_of(path)) is None:
            found = load_checkpoint(path)
            assert (found.weights.sha256(), found.step) == (weights, 1)
        else:
            refused += 1
            assert complaint.startswith(str(path))
    assert refused > len(good) / 2


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_no_damage_raises_anything_but_a_run_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    save_arrays(path, some(1).weights, {"step": 1, "weights_sha256": some(1).weights.sha256()})
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good)))
    path.write_bytes(good[:at] + data.draw(st.binary(max_size=4)) + good[at + data.draw(st.integers(0, 4)) :])
    if (complaint := complaint_of(path)) is None:
        assert load_checkpoint(path).weights.sha256() == some(1).weights.sha256()
    else:
        assert complaint.startswith(str(path))


def test_weights_that_are_not_those_that_were_saved_are_refused(checkpoints):
    path = checkpoints.save(some(1))
    rewrite(path, W1=some(2).weights.w1)
    found = Weights(SHAPE, np.concatenate([some(2).weights.w1.ravel(), some(1).weights.w2.ravel()])).sha256()
    expected = some(1).weights.sha256()
    assert refusal(path) == (f" is damaged: the SHA-256 of its weights is {found[:16]}..., expected {expected[:16]}...")


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("W1", np.zeros((5, 3), np.float32), "W1 is float32 (5, 3) and W2 float32 (4, 3)"),
        ("W1", np.zeros(20, np.float32), "W1 is float32 (20,) and W2 float32 (4, 3)"),
        ("W2", np.zeros((4, 3), np.float64), "W1 is float32 (5, 4) and W2 float64 (4, 3)"),
        ("W1", np.zeros((5, 4), np.int32), "W1 is int32 (5, 4) and W2 float32 (4, 3)"),
    ],
)
def test_weights_that_do_not_fit_are_named_with_what_is_expected(checkpoints, name, array, found):
    path = checkpoints.save(some(1))
    rewrite(path, **{name: array})
    assert refusal(path) == f": {found}, expected floats of (m, n) and (n, o)"


@pytest.mark.parametrize(
    "about",
    [
        None,
        [],
        {},
        {"step": 1},
        {"weights_sha256": "a"},
        {"step": "one", "weights_sha256": "a"},
        {"step": None, "weights_sha256": "a"},
        {"step": 1, "weights_sha256": 5},
        {"step": 1, "weights_sha256": None},
        {"step": 1e999, "weights_sha256": "a"},
    ],
)
def test_a_foreign_description_is_refused(checkpoints, about):
    path = checkpoints.save(some(1))
    rewrite(path, about=text(about))
    refusal(path)


@pytest.mark.parametrize("said", [b"\xff{", b"", b"{", b"[" * 100_000], ids=["bytes", "empty", "cut", "deep"])
def test_a_description_that_is_no_json_is_refused(checkpoints, said):
    path = checkpoints.save(some(1))
    rewrite(path, about=np.frombuffer(said, np.uint8))
    assert " is no checkpoint: its description is damaged (" in refusal(path)


def test_a_file_without_the_arrays_is_refused_by_their_name(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(RunError) as caught:
        load_arrays(path, "W1")
    assert str(caught.value).startswith(f"{path} holds no such array: ")
    assert "W1" in str(caught.value)


def test_a_single_array_is_no_checkpoint(tmp_path):
    path = tmp_path / "array.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path.write_bytes(buffer.getvalue())
    assert "no .npz file" in refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere.npz") == " cannot be read: No such file or directory"
