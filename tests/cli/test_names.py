"""Names that are no UTF-8, on an output that knows ASCII alone: every command takes them, and shows them escaped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.files import shown, write_whole

SCRIPT = """if True:
    import sys
    from importlib import import_module
    from pathlib import Path
    from unittest import mock
    from ddmlp.cli.terminal import command

    there = Path(sys.argv[1])
    flags = ["--data", there / "data", "--hidden", "4", "--batch", "1000", "--epochs", "1", "--run", there / "run"]
    for name, words, status in [
        ("convert", [there / "none", there / "out"], 1),
        ("train", [*flags, "--tensorboard"], 0),
        ("train", ["--run", there / "run", "--resume", "--lr", "5"], 1),
        ("train", [there], 2),
        ("evaluate", ["--model", there / "run", "--data", there / "data"], 0),
        ("verify", [there / "run"], 0),
        ("report", [there / "run", "--out", there / "page.html"], 0),
        ("export", ["--model", there / "run", "--to", "safetensors", there / "out.safetensors"], 0),
        ("predict", ["--model", there / "run", there / "three.png", there / "none.png"], 1),
    ]:
        print(">", name, flush=True)
        with mock.patch.object(sys, "argv", [name, *map(str, words)]):
            try:
                command(import_module(f"ddmlp.cli.{name}").main)
            except SystemExit as end:
                print("expected" if end.code == status else f"unexpected: {end.code}", flush=True)
"""


@pytest.mark.slow
def test_simple(data: Path, tmp_path: Path):
    there = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3\xa9"))
    there.mkdir()
    shutil.copytree(data, there / "data")
    ink = np.zeros((28, 28), np.uint8)
    ink[4:24, 12:16] = 255
    Image.fromarray(ink).save(there / "three.png")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    words = [sys.executable, "-c", SCRIPT, there]
    done = subprocess.run(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="ascii", timeout=100
    )
    assert done.returncode == 0, done.stdout
    for part in done.stdout.split("> ")[1:]:
        assert part.rstrip().endswith("\nexpected"), part
        assert "Traceback" not in part
    assert r"\udcff\xe9" in done.stdout
    assert rb"\udcff" in (there / "page.html").read_bytes()


def test_shown(tmp_path: Path):
    assert shown(Path(os.fsdecode(b"/a/\xff\xc3\xa9"))) == "/a/\\xffé"
    write_whole(tmp_path / "file", "é \udcff")
    assert (tmp_path / "file").read_bytes() == "é \\udcff".encode()
