"""Every benchmark runs, in a small form, and measures the right thing."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.idx import write_idx
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape
from tools.benchmarks import (
    accuracy,
    command,
    conversion,
    growth,
    memory,
    message_path,
    one_process,
    processes,
    recognition,
    serving,
    several_processes,
    sources,
    start,
    step_cost,
    time_to_goal,
    two_cores,
)
from tools.benchmarks.command import SUITE
from tools.benchmarks.peers.baseline import speed
from tools.benchmarks.record import Record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
SMALL = [
    *((module, "HIDDEN", (8,)) for module in (one_process, two_cores, several_processes, step_cost, recognition)),
    (one_process, "BATCHES", (64, 1)),
    (step_cost, "BATCHES", (16,)),
    (several_processes, "MICROBATCH", {256: 128}),
    (serving, "HIDDEN", 8),
    (serving, "CLIENTS", 2),
    (memory, "TIMES", 2),
    (memory, "TRAINED", 9_000),
    (accuracy, "MODES", {"--delay 1": {"delay": 1}}),
    (time_to_goal, "PEERS", {"PyTorch": ("PyTorch", 2)}),
    (sources, "FORMS", {"raw": 1, "arrow": 100}),
    (growth, "SIZES", [(100, 300, 1), (1024, 5, 1), (1024, 300, 0.5)]),
]
HOLD = "import sys; held = bytearray(int(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


@pytest.mark.measure
@pytest.mark.parametrize("name", [benchmark.name for benchmark in SUITE])
def test_measures(name: str, data: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module, constant, value in SMALL:
        monkeypatch.setattr(module, constant, value)
    flags = ["--only", name, "--repeats", "1", "--seconds", "0.01", "--mnist", str(sample), "--out", str(tmp_path)]
    command.main([str(data), *flags])
    figures = Record.read(tmp_path).benchmarks[name].figures
    assert figures
    for baselines in figures.values():
        for quantities in filter(None, baselines.values()):
            for quantity, found in quantities.items():
                assert len(found) == 1
                assert found[0] > 0 or "staleness" in quantity
    assert f"--only {name}`" in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.parametrize("name", [name for name in message_path.TRANSPORTS if "ddmlp" in name])
def test_message_path(name: str):
    """The workers echo the weights through the whole message path."""
    with message_path.TRANSPORTS[name](Shape(784, 3, 10)) as steps:
        assert [steps(3), steps(2)] == [3, 5]


def test_processes_at_once(data: Path):
    found = processes.in_processes(speed, [("dense bound", data, 16, 8, 0.01)] * 2)
    assert [each["rows/s"] > 0 for each in found] == [True, True]


def test_dead_process():
    with pytest.raises(TrainingError, match="abort"):
        processes.in_process(os.abort)


def test_number_of_threads():
    assert processes.in_process(os.getenv, "OMP_NUM_THREADS", threads=2) == "2"


def test_training(data: Path):
    begun = time.time()
    result = processes.train(data, hidden=16, epochs=1, stop_after=3)
    assert (result["steps"], len(result["checkpoints"])) == (3, 2)
    assert begun < result["begun"] < time.time()
    with pytest.raises(TrainingError, match="hidden is 0"):
        processes.train(data, hidden=0)


def test_no_first_step(tmp_path: Path):
    with pytest.raises(TrainingError, match=str(tmp_path)):
        start.first_step_seconds(tmp_path, 0)


def test_bound_reads_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, read = tmp_path / "images.gz", []
    write_idx(path, np.arange(256, dtype=np.uint8), compress=True)
    monkeypatch.setattr(hashlib, "file_digest", lambda file, _: read.append(file.read()))
    conversion.decompression([path])
    assert read[0][-256:] == bytes(range(256))


def holder(size: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(size)], stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_peak_memory():
    small, large = holder(1), holder(50_000_000)
    try:
        own = memory.own_bytes
        assert own(large.pid) - own(small.pid) == pytest.approx(50e6, rel=0.02)
        assert small.pid in memory.descendants(os.getpid())
    finally:
        for each in (small, large):
            each.communicate()
    assert own(large.pid) == 0
