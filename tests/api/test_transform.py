"""fit with a transform: what it trains on, what belongs to the run's identity, and how it continues."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddmlp
from ddmlp.cli import replay, train, verify
from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import mark_end
from ddmlp.errors import ConfigError, MachineError, RunError
from tests.support import transforms
from tests.support.helpers import inside

SMALL: dict[str, Any] = {"hidden": 4, "batch": 8, "epochs": 2, "progress": False}
FLAGS = ["--hidden", "4", "--batch", "8", "--epochs", "2"]
LABELS = (np.arange(60) % 3).astype(np.uint8)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 5), np.uint8)
TEXT = Path(transforms.__file__).read_text()

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a dataset, and a module that can be changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("changed_file.py").write_text(TEXT)
    for part in ("train", "test"):
        with ddmlp.DatasetWriter(f"data/{part}", image_shape=(4, 5), classes=3) as writer:
            writer.append(IMAGES, LABELS)
    return tmp_path


def fit(run: str = "run", **more: Any) -> ddmlp.Result:
    return ddmlp.fit(**{"data": "data", "run": run, "transform": "changed_file:drawn", **SMALL, **more})


def test_simple():
    """The weights are those of a dataset whose rows were changed before; the test data are not changed."""
    before = transforms.by_row(IMAGES, np.arange(60), 0, 0)
    expected = fit("before", data=(before, LABELS), test=(IMAGES, LABELS), transform=None)
    found = fit(transform=transforms.by_row)
    assert (found.weights_sha256, found.test_error) == (expected.weights_sha256, expected.test_error)
    assert found.weights_sha256 != fit("without", transform=None).weights_sha256
    assert (Dataset("data/train").gather(np.arange(60))[0].reshape(-1, 4, 5) == IMAGES).all()
    assert ddmlp.verify("run", transform=transforms.by_row).weights_sha256 == found.weights_sha256


@pytest.mark.slow
def test_recorded():
    whole = fit()
    config = json.loads(Path("run/config.json").read_text())
    assert (config["transform"], config["transform_sha256"]) == (
        "changed_file:drawn",
        ddmlp.TrainConfig(transform_sha256=config["transform_sha256"]).transform_sha256,
    )
    assert Path("run/transform.py").read_text() == TEXT
    part = fit("part", stop_after=9)
    assert ddmlp.resume(part.run, progress=False).weights_sha256 == whole.weights_sha256
    assert ddmlp.verify("part").weights_sha256 == whole.weights_sha256


@pytest.mark.slow
def test_changed_source():
    fit("run", stop_after=9, delay=1)
    Path("changed_file.py").write_text(TEXT.replace("% 64", "% 32"))
    for call in (ddmlp.verify, ddmlp.replay, ddmlp.resume):
        with pytest.raises(RunError) as caught:
            call("run")
        hashes = [json.loads(Path("run/config.json").read_text())["transform_sha256"][:16]]
        hashes.append(transforms.Transform.of("changed_file:drawn").sha256[:16])
        assert [
            word for word in [*hashes, "changed_file:drawn", "run/transform.py"] if word not in str(caught.value)
        ] == []
    assert ddmlp.verify("run", transform="run/transform.py:drawn").last == 9, "the recorded source"
    Path("changed_file.py").unlink()
    with pytest.raises(RunError, match=r"changed_file.*run/transform\.py"):
        ddmlp.verify("run")


@pytest.mark.slow
def test_hash_is_part_of_the_identity():
    fit("run")
    before = Path("run/config.json").read_text()
    for one, other in [("transform_sha256", "0" * 64), ("transform_sha256", "")]:
        changed = json.loads(before) | {one: other}
        Path("run/config.json").write_text(json.dumps(changed))
        with pytest.raises(RunError):
            ddmlp.verify("run", transform=None if not other else "changed_file:drawn")
    Path("run/config.json").write_text(before)
    assert ddmlp.verify("run").result


def test_none_recorded():
    fit("run", transform=None, stop_after=9)
    assert "transform" not in json.loads(Path("run/config.json").read_text())
    with pytest.raises(RunError, match="without a transform"):
        ddmlp.resume("run", transform="changed_file:drawn")


@pytest.mark.slow
def test_code_of_the_run(folder: Path):
    """A run from elsewhere may name its own code: it is executed only if the user names it."""
    fit("first")
    shutil.copy("changed_file.py", "first/own.py")
    ddmlp.fit("data", run="run", transform="first/own.py:drawn", **SMALL)
    config = json.loads(Path("first/config.json").read_text()) | {"transform": f"{folder}/first/own.py:drawn"}
    Path("first/config.json").write_text(json.dumps(config))
    assert ddmlp.verify("run").result
    with pytest.raises(RunError, match=r"first/own\.py"):
        ddmlp.verify("first")
    assert ddmlp.verify("first", transform="first/own.py:drawn").result


def test_function_again():
    def lighter(pixels, _, __, epoch):
        return pixels | np.uint8(epoch)

    found = fit("run", transform=lighter, stop_after=9)
    with pytest.raises(RunError, match=r"lighter.*run/transform\.py"):
        ddmlp.resume("run")
    assert ddmlp.resume("run", transform=lighter, progress=False).steps > found.steps
    assert ddmlp.verify("run", transform="run/transform.py:lighter").result


def test_other_pixels_here(monkeypatch: pytest.MonkeyPatch):
    fit("run", transform="changed_file:elsewhere", stop_after=9)
    monkeypatch.setenv("DDMLP_TEST_ELSEWHERE", "1")
    for call in (ddmlp.verify, ddmlp.resume):
        with pytest.raises(MachineError, match="changed_file:elsewhere"):
            call("run")


@pytest.mark.slow
def test_stored(folder: Path):
    """Another machine resumes it: the store has the source, too."""
    fit("run", checkpoint_uri=f"file://{folder}/store", stop_after=9)
    found = ddmlp.resume("again", checkpoint_uri=f"file://{folder}/store", progress=False)
    assert found.weights_sha256 == fit("whole").weights_sha256
    assert Path("again/transform.py").read_text() == TEXT


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"delay": 2}, {"staleness": 2}, {"follow": True, "epochs": 1}, {"gradient_bits": 8}])
def test_modes(more: dict[str, Any]):
    if "follow" in more:
        mark_end(Path("data/train"))
    found = fit("run", **more)
    assert ddmlp.verify("run").weights_sha256 == ddmlp.replay("run").weights_sha256 == found.weights_sha256


@pytest.mark.slow
def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch):
    expected = fit("expected")
    words = ["--data", "data", "--no-report", *FLAGS, "--transform", "changed_file:drawn", "--stop-after", "9"]
    done = inside(train.main, *words, "--run", "run")
    assert f"--transform {folder}/changed_file.py:drawn" in done.stdout, "it can be pasted in any folder"
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert inside(verify.main, "../run").returncode == 0
    monkeypatch.chdir(folder)
    done = inside(train.main, "--run", "run", "--resume", "--no-report")
    assert f"weights sha256  {expected.weights_sha256}" in done.stdout
    for command in (verify.main, replay.main):
        assert inside(command, "run").returncode == 0
        assert inside(command, "run", "--transform", "run/transform.py:drawn").returncode == 0
        wrong = inside(command, "run", "--transform", "changed_file:by_row")
        assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("given", [lambda *_: 0, "nowhere:f", 7, "changed_file:failing", "changed_file:none"])
def test_bad_value(given: Any):
    Path("changed_file.py").write_text(TEXT.replace("if epoch and 17", "if 3"))
    with pytest.raises(ConfigError):
        fit(transform=given)
    assert not Path("run").exists()
