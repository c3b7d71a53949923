"""The chapters of the benchmark on figures that are made up: what is divided by what, and what is asked."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape
from tools.benchmarks import goal, one_process, processes, several_processes, time_to_goal, training, two_cores, ways
from tools.benchmarks.chapter import Setting
from tools.benchmarks.contents import CHAPTERS
from tools.benchmarks.rows import Rows


def test_names_of_chapters_differ():
    names = [chapter.name for chapter in CHAPTERS]
    assert len(names) == len(set(names)) >= 3


def test_one_process():
    speeds = {"bound": [100.0], "dense": [80.0], "ddmlp": [120.0], "pytorch": [60.0], "scikit": None}
    online = {"bound": [100.0], "dense": [50.0], "ddmlp": [100.0], "pytorch": None}
    found = {
        f"{hidden}, {batch}": online if batch == 1 else speeds
        for hidden in one_process.HIDDEN
        for batch in one_process.BATCHES
    }
    bars = {bar.what: bar for bar in one_process.bars(found)}
    assert len(bars) == 14
    assert bars["ddmlp to bound, 300 hidden, batch 128"].reached
    assert bars["ddmlp to PyTorch, 800 hidden, batch 64"].found.median == 2
    assert bars["ddmlp to NumPy, dense, 300 hidden, batch 1"].verdict == "missed by 33.3 %"
    page = one_process.show(found)
    assert "|  | **ddmlp** | 120 (120 to 120) | 1.20 | 1.00 |" in page
    assert "|  | scikit-learn | not installed |  |  |" in page


def made_up(two: float, *, torch: bool = True) -> dict:
    speeds = {
        "ddmlp, one process": [50_000.0],
        "ddmlp, 2 workers": [two],
        "ddmlp, 4 workers": [two * 0.95],
        "PyTorch DDP": [40_000.0] if torch else None,
        "Ray's pattern": [10_000.0],
    }
    return {f"{hidden}, {batch}": speeds for hidden in (300, 800) for batch in several_processes.MICROBATCH}


def test_several_processes():
    assert all(bar.reached for bar in several_processes.bars(made_up(80_000)))
    missed = [bar.what for bar in several_processes.bars(made_up(55_000)) if not bar.reached]
    assert len(missed) == 5
    assert sum("to PyTorch DDP" in what for what in missed) == 2
    without = several_processes.bars(made_up(80_000, torch=False))
    assert {bar.verdict for bar in without if "DDP" in bar.what} == {"not measured"}
    assert "not installed" in several_processes.show(made_up(80_000, torch=False))


def test_two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two at once count together, and beside the one of their own repeat."""
    speeds = iter([100.0, 70.0, 80.0, 200.0, 100.0, 120.0] * len(two_cores.HIDDEN))

    def answers(count: int, *_arguments: object) -> list[dict]:
        return [{"rows_per_second": next(speeds)} for _ in range(count)]

    monkeypatch.setattr(two_cores, "answers", answers)
    found = two_cores.measure(Setting(tmp_path, 2, 1.0, tmp_path))
    assert found == {hidden: {"one process": [100, 200], "two at once": [150, 220]} for hidden in ("300", "800")}
    assert "| 300 | 150 (100 to 200) | 185 (150 to 220) | 1.30 (1.10 to 1.50) |" in two_cores.show(found)


def test_processes_at_once_are_really_run(data: Path):
    flags = ("bound", data, "--hidden", 16, "--batch", 8, "--seconds", 0.01)
    found = processes.answers(2, "tools.benchmarks.stopwatch", *flags)
    assert [each["rows_per_second"] > 0 for each in found] == [True, True]
    with pytest.raises(TrainingError, match="--batch"):
        processes.answers(2, "tools.benchmarks.stopwatch", "bound", data)


def test_the_message_path_is_what_a_step_takes_beyond_half_of_one_process():
    speeds = {"ddmlp, one process": [64_000.0], "ddmlp, 2 workers": [64_000.0]}
    assert several_processes.message_path(speeds, 256).median == pytest.approx(2.0)  # 4 ms, of which 2 arithmetic
    speeds["ddmlp, 2 workers"] = [128_000.0]
    assert several_processes.message_path(speeds, 256).median == pytest.approx(0.0)


def test_weights_that_differ_between_workers_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def trained(_data: Path, _flag: str, workers: int, *_flags: str) -> dict:
        return {"rows_per_second": 1.0, "weights_sha256": "odd" if workers == 2 else "even"}

    monkeypatch.setattr(several_processes, "trained", trained)
    monkeypatch.setattr(several_processes, "answer", lambda *_args: {"rows_per_second": 1.0})
    monkeypatch.setattr(several_processes, "rows_of", lambda _data: 60_000)
    with pytest.raises(TrainingError, match="the workers changed the weights"):
        several_processes.measure(Setting(tmp_path, 1, 1.0, tmp_path))


@pytest.mark.parametrize(("batch", "rows"), [(64, 60_000), (1, 60_000), (1024, 4_000), (300, 4_000)])
def test_a_stint_is_never_longer_than_its_epochs(batch: int, rows: int):
    words = training.stint(300, batch, batch, 3.0, rows)
    given = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert given["--stop-after"] <= given["--epochs"] * -(-rows // batch)
    assert given["--stop-after"] * batch >= 3 * (10_000 if batch == 1 else 99_000)


def test_the_training_command_is_really_run(data: Path):
    flags = training.stint(16, 64, 32, 0.0005, training.rows_of(data))
    result = training.trained(data, "--workers", 0, *flags)
    assert result["steps"] == int(flags[-1])
    assert result["rows_per_second"] > 0
    with pytest.raises(TrainingError, match="--hidden is 0"):
        training.trained(data, "--hidden", 0)


def test_a_peer_ends_with_the_first_epoch_that_is_good_enough():
    rows = Rows(np.zeros((10, 4), np.uint8), np.arange(10, dtype=np.uint8))
    trained: list[int] = []

    def probabilities(pixels: np.ndarray) -> np.ndarray:
        right = np.zeros((len(pixels), 10), np.float32)
        right[np.arange(10), np.where(np.arange(10) < 3 * len(trained), np.arange(10), 0)] = 1
        return right

    peer = SimpleNamespace(rate=1.0, train=lambda order: trained.append(len(order)), probabilities=probabilities)
    assert goal.epochs_to(peer, 10, rows, seed=0, goal=0.8, most=9) == pytest.approx([0.3, 0.6, 0.9])
    assert trained == [10, 10, 10]
    trained.clear()
    assert len(goal.epochs_to(peer, 10, rows, seed=0, goal=0.95, most=2)) == 2


def test_a_peers_rate_falls_to_zero_over_its_epochs():
    rates: list[float] = []
    peer = SimpleNamespace(rate=2.0, probabilities=lambda pixels: np.eye(1, 10).repeat(len(pixels), 0))
    peer.train = lambda _order: rates.append(peer.rate)
    rows = Rows(np.zeros((10, 4), np.uint8), np.full(10, 3, np.uint8))
    goal.epochs_to(peer, 1_000, rows, seed=0, goal=0.5, most=2, linear=True)
    np.testing.assert_allclose(rates, np.linspace(2, 0, 2 * goal.PARTS, endpoint=False))


def test_time_to_98():
    names = [*time_to_goal.our_names(), *time_to_goal.PEERS]
    found = {
        "goal": 0.98,
        "seconds": dict(
            zip(names, [[10.0, 12.0], [8.0, 8.0], [16.0, 16.0], [20.0, 20.0], [5.0, 5.0], None], strict=True)
        ),
        "accuracy": {name: [0.981, 0.97 if name == names[4] else 0.98] for name in names[:5]},
        "recipes": {name: [300, 32, 1.0, 12, True] for name in names},
    }
    bars = time_to_goal.bars(found)
    assert [bar.found and bar.found.median for bar in bars] == [0.5, 0.4, 1.6, None]
    page = time_to_goal.show(found)
    assert "5.0 (5.0 to 5.0), 1 of them in vain" in page
    found["accuracy"]["ddmlp, 2 workers"] = [0.981, 0.97]  # ours must come there
    assert time_to_goal.bars(found)[0].found.median == pytest.approx(11 / 16)
    assert "not installed" in page
    assert "| **ddmlp**, 2 workers | 300 | 32 | 1 | falls to zero | 12 | 8.0 (8.0 to 8.0) | 0.73 |" in page


@pytest.mark.parametrize("way", ["tcp", "shared"])
def test_the_message_path_is_gone_all_the_way(way: str):
    """By workers that answer with what they were sent."""
    with ways.prepared(way, Shape(ways.PIXELS, 3, ways.CLASSES)) as steps:
        assert [steps(3), steps(2)] == [3, 5]
