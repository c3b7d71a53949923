"""Runs: begun once, locked by one process, resumed only with the settings they were begun with."""

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from tests.support.events import result
from tests.support.runs import ORIGIN

OTHERS = {
    "hidden": 8,
    "batch": 65,
    "microbatch": 33,
    "lr": 0.25,
    "lr_schedule": "constant",
    "epochs": 31,
    "seed": 1,
    "window": 5,
    "lr_half": 7,
    "lr_end": 0.5,
    "staleness": 3,
    "staleness_lr": True,
    "delay": 2,
    "follow": True,
    "init_sha256": "f" * 64,
    "transform_sha256": "e" * 64,
    "augment": "shift:pixels=2",
    "gradient_bits": 8,
}
BESIDE = {
    "staleness_lr": {"staleness": 1},
    "lr_end": {"lr_schedule": "exponential"},
    "follow": {"epochs": 1, "lr_schedule": "constant"},
}  # settings they require
HOLD = """
import sys
from pathlib import Path
from ddmlp.errors import RunError
from ddmlp.runs.run import Run
try:
    with Run(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except RunError as error:
    print(error)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_simple(tmp_path):
    with Run(tmp_path / "runs" / "first") as run:
        assert not run.exists
        run.create(ORIGIN)
        assert run.exists
        assert run.origin() == ORIGIN
        run.require_origin(ORIGIN)
        assert run.result() is None
        run.write_result(result())
        assert run.result() == result()


def test_not_begun_twice(run):
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(RunError) as caught:
        run.create(replace(ORIGIN, dataset_sha256="b" * 64))
    assert all(fact in str(caught.value) for fact in (str(run.path), "resume", "another folder"))
    assert (run.path / "config.json").read_bytes() == before


def test_folder_without_run(tmp_path):
    with pytest.raises(RunError) as caught:
        Run(tmp_path).origin()
    assert all(fact in str(caught.value) for fact in (str(tmp_path), "config.json", "ddmlp train"))


def test_not_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=f"^{tmp_path}/file is a file"):
        Run(tmp_path / "file").origin()
    with pytest.raises(RunError, match=f"^{tmp_path}/none .*does not exist"):
        Run(tmp_path / "none").origin()


@pytest.mark.parametrize("name", OTHERS)
def test_other_setting(tmp_path, name):
    begun = Run(tmp_path / "begun")
    beside = BESIDE.get(name, {})
    origin = replace(ORIGIN, config=replace(ORIGIN.config, **beside))
    with begun:
        begun.create(origin)
    with pytest.raises(RunError) as caught:
        begun.require_origin(replace(origin, config=replace(origin.config, **{name: OTHERS[name]})))
    was, now = getattr(ORIGIN.config, name), OTHERS[name]
    assert re.fullmatch(rf"{begun.path} .*{name} {was!r}.* {now!r}", str(caught.value))


def test_all_settings():
    assert {*TrainConfig.names()} - {*OTHERS} == {"begun_epochs"}, "with more epochs, it is still the same run"


def test_more_epochs(tmp_path):
    origin = replace(ORIGIN, config=replace(ORIGIN.config, lr_schedule="constant"))
    longer = replace(origin, config=origin.config.extended_to(40))
    assert longer.config == replace(origin.config, epochs=40, begun_epochs=origin.config.epochs)
    assert (longer.fixed, longer.config.begun) == (origin.fixed, origin.config), "it is the same run"
    with Run(tmp_path / "run") as run:
        run.create(origin)
        run.require_origin(longer)
        run.extend(longer)
        assert run.origin() == longer
        run.require_origin(replace(origin, config=longer.config.extended_to(50)))
        with pytest.raises(RunError, match=rf"\b40 epochs.* {origin.config.epochs}$"):
            run.require_origin(origin)
        with pytest.raises(RunError, match=r"epochs 5; .* 41"):
            run.extend(replace(origin, config=replace(origin.config, epochs=41)))


def test_other_dataset(run):
    with pytest.raises(RunError) as caught:
        run.require_origin(Origin(ORIGIN.config, Path("/other"), "b" * 64))
    assert re.fullmatch(rf"{run.path} .*{'a' * 16}.*/some/data.*/other .*{'b' * 16}.*", str(caught.value))


def test_moved_dataset(run):
    run.require_origin(replace(ORIGIN, data=Path("/elsewhere")))


def test_second_process(tmp_path):
    path = tmp_path / "run"
    with Run(path):
        assert holder(path).communicate(timeout=60)[0].startswith(f"{path} is in use by another process")
    assert holder(path).communicate(timeout=60)[0] == "held\n"


def test_killed_process(tmp_path):
    path = tmp_path / "run"
    with holder(path) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="/run is in use"), Run(path):
            pass
        process.kill()
        assert process.wait() == -signal.SIGKILL
        with Run(path) as run:
            run.create(ORIGIN)
    assert Run(path).origin() == ORIGIN


def test_exception_unlocks(tmp_path):
    with pytest.raises(ZeroDivisionError), Run(tmp_path / "run"):
        raise ZeroDivisionError
    with Run(tmp_path / "run") as run:
        run.create(ORIGIN)
    assert run.exists


def test_second_writer(run, monkeypatch):
    monkeypatch.setattr("ddmlp.runs.run.WRITER_SECONDS", 0)
    second = Run(run.path)
    run.begin_writing()
    with pytest.raises(RunError) as caught:
        second.begin_writing()
    assert str(run.path) in str(caught.value)
    run.end_writing()
    second.begin_writing()
    with pytest.raises(RunError, match="another process"):
        run.begin_writing()


def test_server_may_write(tmp_path):
    with Run(tmp_path / "run") as held:
        held.create(ORIGIN)
        Run(held.path).begin_writing()
        assert Run(held.path).origin() == ORIGIN


def test_no_folder_left(tmp_path):
    with pytest.raises(RunError, match="/typo holds no run"), Run(tmp_path / "typo") as run:
        run.origin()
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b"\xff",
        b'{"steps": 5',
        b'{"steps": 5}',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_damaged_result(run, text):
    path = run.path / "result.json"
    path.write_bytes(text)
    with pytest.raises(RunError) as caught:
        run.result()
    assert str(caught.value).startswith(f"{path} is damaged")
    assert "remove it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_without_pickle(run):
    weights = Weights.draw(Shape(5, 4, 3), 0)
    run.write_model(weights)
    with np.load(run.path / "model.npz", allow_pickle=False) as file:
        assert {name: array.dtype for name, array in file.items()} == {"W1": np.float32, "W2": np.float32}
        assert (file["W1"] == weights.w1).all()
        assert (file["W2"] == weights.w2).all()
