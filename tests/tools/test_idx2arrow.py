"""tools/idx2arrow.py runs the command convert."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from ddmlp.cli import convert
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import write_idx
from tools import idx2arrow

ROOT = Path(__file__).parents[2]


def test_simple(tmp_path):
    assert idx2arrow.main is convert.main
    write_idx(tmp_path / "images", np.linspace(0, 255, 105).astype(np.uint8).reshape(3, 5, 7))
    write_idx(tmp_path / "labels", np.arange(3, dtype=np.uint8))
    flags = ["--images", tmp_path / "images", "--labels", tmp_path / "labels", tmp_path / "out"]
    command = [sys.executable, ROOT / "tools" / "idx2arrow.py", *flags]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"wrote {tmp_path}/out\n3 rows in ")
    assert len(Dataset(tmp_path / "out")) == 3
