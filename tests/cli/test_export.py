"""The command that exports a model: a whole file or none, and one line for what it cannot do."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ddmlp.cli.export import FORMATS, main
from ddmlp.inference import export
from ddmlp.inference.saved_model import load_model
from tests.support.helpers import inside


def refusal(status: int, *arguments: object) -> str:
    done = inside(main, *arguments)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_overwrite(to: str, trained: Path, tmp_path: Path):
    out = tmp_path / "model"
    out.write_text("mine")
    assert "--overwrite" in refusal(2, "--model", trained, "--to", to, out)
    assert out.read_text() == "mine"
    assert inside(main, "--model", trained, "--to", to, "--overwrite", out).returncode == 0
    assert out.stat().st_size > 100_000


def test_no_committee(trained: Path, tmp_path: Path):
    said = refusal(2, "--model", trained, "--model", trained, "--to", "safetensors", tmp_path / "model")
    assert "found 2 models, expected one" in said
    assert not (tmp_path / "model").exists()


def test_a_full_disk(trained: Path, tmp_path: Path):
    out = tmp_path / "model"
    out.write_text("mine")
    full = OSError(28, "No space left on device")
    with mock.patch.object(os, "fsync", side_effect=full):
        assert "No space left" in refusal(1, "--model", trained, "--to", "safetensors", "--overwrite", out)
    assert out.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert "No such file" in refusal(1, "--model", trained, "--to", "onnx", tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_a_missing_package(to: str, trained: Path, tmp_path: Path):
    absent = {name: None for name in sys.modules if name.partition(".")[0] == to} | {to: None}
    with mock.patch.dict(sys.modules, absent):
        said = refusal(2, "--model", trained, "--to", to, tmp_path / "model")
    assert f"pip install 'ddmlp[{to}]'" in said
    assert list(tmp_path.iterdir()) == []


def test_no_model(data: Path, tmp_path: Path):
    assert "no model.npz" in refusal(1, "--model", tmp_path, "--to", "onnx", tmp_path / "out")
    assert "invalid choice" in refusal(2, "--model", data, "--to", "pickle", tmp_path / "out")


@pytest.mark.slow
def test_a_report_without_the_compiler(trained: Path, tmp_path: Path):
    """A report about a run whose data are gone computes nothing."""
    run = shutil.copytree(trained, tmp_path / "run")
    about = json.loads((run / "config.json").read_bytes())
    (run / "config.json").write_text(json.dumps(about | {"data": str(tmp_path / "gone")}))
    script = """if True:
        import sys
        from ddmlp.cli import report
        report.main([sys.argv[1]])
        assert "numpy" in sys.modules
        assert "numba" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", script, run], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("to", FORMATS)
def test_float64(to: str, tmp_path: Path):
    """It is exported as float32."""
    said = []
    for name, kind in [("double", np.float64), ("single", np.float32)]:
        w1, w2 = np.full((4, 2), 1 / 3).astype(kind), np.full((2, 3), 1 / 7).astype(kind)
        np.savez(tmp_path / f"{name}.npz", W1=w1, W2=w2)
        done = inside(main, "--model", tmp_path / f"{name}.npz", "--to", to, tmp_path / name)
        assert done.returncode == 0
        said.append(done.stdout.split()[1:])
    assert said[0] == said[1]  # how many bytes, and the SHA-256 of the weights


@pytest.mark.parametrize("to", FORMATS)
def test_simple(to: str, trained: Path, tmp_path: Path):
    out = tmp_path / "model"
    done = inside(main, "--model", trained, "--to", to, out)
    assert (done.returncode, done.stderr) == (0, "")
    model = load_model(trained)
    assert done.stdout == f"{out}  {out.stat().st_size:,} bytes, weights sha256 {model.weights.sha256()}\n"
    assert out.stat().st_size == len(export.export(model, to))


def test_float32(trained: Path, tmp_path: Path):
    done = inside(main, "--model", trained, "--to", "onnx", "--float32", out := tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == export.export(load_model(trained), "onnx", float32=True)
    assert "--to onnx" in refusal(2, "--model", trained, "--to", "safetensors", "--float32", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_formats():
    assert tuple(export.FORMATS) == FORMATS
