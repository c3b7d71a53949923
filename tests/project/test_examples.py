"""The programs in examples/ run, and do what they claim."""

import io
import runpy
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ddmlp.cli import verify
from ddmlp.cli.train import main
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import write_idx
from ddmlp.data.sources.arrow_ipc import read_stream
from tests.support.helpers import inside
from tests.support.streams import Sent

PRODUCER = Path(__file__).parents[2] / "examples" / "produce_stream.py"
TRANSFORMS = PRODUCER.with_name("shift_images.py")
PIXELS = np.random.default_rng(0).integers(0, 256, (1_000, 28, 28), np.uint8)
LABELS = (np.arange(1_000) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    for stem in ("train", "t10k"):
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte.gz", PIXELS, compress=True)
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte.gz", LABELS, compress=True)
    return tmp_path


def produce(monkeypatch, *arguments: object) -> object:
    """Run the producer; returns its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PRODUCER), *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PRODUCER), run_name="__main__")
    return ended.value.code


def test_simple(folder, monkeypatch):
    sent = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", SimpleNamespace(buffer=sent, flush=sent.flush))
        assert produce(patched, folder, "--rows", 300, "--pause", 0) == 0
    source = Sent(sent.getvalue())
    found = [*read_stream(source, "it", 10)]
    assert source.lost is None
    assert [len(rows.labels) for rows in found] == [300, 300, 300, 100]
    assert (np.concatenate([rows.pixels for rows in found]) == PIXELS).all()
    assert (np.concatenate([rows.labels for rows in found]) == LABELS).all()


def test_training_on_its_rows(folder, monkeypatch):
    run = folder / "run"
    with socket.create_server(("localhost", 0)) as server:
        address = f"tcp://localhost:{server.getsockname()[1]}"
        listens = threading.Event()
        monkeypatch.setattr(socket, "create_server", lambda _: listens.set() or server)
        thread = threading.Thread(target=produce, args=(monkeypatch, folder, "--port", 5000, "--pause", 0))
        thread.start()
        assert listens.wait(30)  # and has read its arguments, which the training's will replace
        done = inside(main, "--no-report", "--hidden", 8, "--data", address, "--run", run)
        thread.join(30)
    assert not thread.is_alive()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(Dataset(run / "data" / "train")) == 1_000


@pytest.mark.sources
def test_messages(folder, monkeypatch, tmp_path, own_server):
    monkeypatch.setattr(sys.modules[__name__], "PRODUCER", PRODUCER.with_name("produce_messages.py"))
    uri = own_server.uri("digits")
    assert produce(monkeypatch, folder, uri.partition("?")[0], "--rows", 300, "--pause", 0) == 0
    flags = "--hidden", 8, "--batch", 100, "--idle-timeout", 1, "--run", tmp_path / "run"
    done = inside(main, "--no-report", "--data", f"{uri}format=raw", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    pixels, labels = Dataset(tmp_path / "run" / "data" / "train").gather(np.arange(1_000))
    assert (pixels.reshape(PIXELS.shape) == PIXELS).all()
    assert (labels == LABELS).all()


@pytest.mark.parametrize(
    ("arguments", "status", "found"), [(["nowhere"], 1, "nowhere"), ([".", "--rows", "0"], 2, "--rows")]
)
def test_bad_arguments(arguments, status, found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert produce(monkeypatch, *arguments) == status
    error = capsys.readouterr().err
    assert (found in error, error.count("\n")) == (True, 1)


def test_transforms(folder, monkeypatch):
    """Each image is moved by what the row, the seed and the epoch determine, into all directions."""
    names, rows = runpy.run_path(str(TRANSFORMS)), np.arange(1_000)
    assert (names["identity"](PIXELS, rows, 0, 0) == PIXELS).all()
    found, places = names["shift"](PIXELS, rows, seed=5, epoch=1), set()
    for image, moved in zip(PIXELS[:200], found, strict=False):
        wide = np.pad(image, 2)
        fits = [(y, x) for y in range(5) for x in range(5) if (wide[y : y + 28, x : x + 28] == moved).all()]
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) == 25
    assert (names["shift"](PIXELS[7:9], rows[7:9], 5, 1) == found[7:9]).all()
    assert (names["shift"](PIXELS, rows, 5, 2) != found).any(axis=(1, 2)).mean() > 0.9
    monkeypatch.chdir(folder)
    flags = ["--hidden", 4, "--epochs", 1, "--quiet", "--no-report", "--transform", f"{TRANSFORMS}:shift"]
    assert inside(main, "--data", folder, "--run", "run", *flags).returncode == 0
    assert inside(verify.main, "run").returncode == 0
