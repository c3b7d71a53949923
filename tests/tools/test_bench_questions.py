"""Ratios and targets of each benchmark, computed from made-up figures. Nothing is timed here."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ddmlp.errors import TrainingError
from tools.benchmarks import (
    accuracy,
    conversion,
    memory,
    one_process,
    processes,
    recognition,
    recomputation,
    serving,
    several_processes,
    start,
    step_cost,
    time_to_goal,
    two_cores,
)
from tools.benchmarks.benchmark import Settings
from tools.benchmarks.page import comparison
from tools.benchmarks.peers.baseline import Rows, baseline
from tools.benchmarks.record import Entry


def entry(figures: dict[str, dict[str, list[float] | None]], quantity: str = "rows/s") -> Entry:
    """Return an entry with one quantity."""
    found = {
        case: {name: each and {quantity: each} for name, each in baselines.items()}
        for case, baselines in figures.items()
    }
    return Entry({"cores": 2}, 1, found)


def medians(targets) -> list[float | None]:
    return [target.figures and float(np.median(target.figures)) for target in targets]


def test_one_process():
    speeds = {"dense bound": [100.0], "sparse bound": [300.0], "ddmlp": [160.0], "PyTorch": [60.0]}
    online = {"dense bound": [100.0], "NumPy, dense": [50.0], "ddmlp": [600.0], "PyTorch": None}
    found = entry(
        {f"{n} hidden, batch {b}": online if b == 1 else speeds for n in (300, 800) for b in (1, 16, 64, 512)}
    )
    digits, grown, full = one_process.BENCHMARKS
    targets = {target.what: target for target in digits.targets(found)}
    assert len(targets) == 16
    assert targets["ddmlp to dense bound, 300 hidden, batch 16"].verdict == "missed by 30.4 %"
    assert targets["ddmlp to dense bound, 300 hidden, batch 64"].verdict == "reached"
    assert targets["ddmlp to dense bound, 300 hidden, batch 128"].verdict == "not measured"
    assert targets["ddmlp to PyTorch, 800 hidden, batch 64"].figures == pytest.approx([160 / 60])
    assert targets["ddmlp to NumPy, dense, 300 hidden, batch 1"].verdict == "missed by 20.0 %"
    assert ["", "sparse bound", "300", "3.00", "0.53"] in comparison(digits, found)
    assert grown.targets(found) == []
    assert [target.least for target in full.targets(found)] == [0.6] * 6


def test_nonzero_pixels(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The share of nonzero pixels in the rows of each benchmark."""
    shares = []
    monkeypatch.setattr(one_process, "HIDDEN", (8,))
    monkeypatch.setattr(one_process, "BATCHES", (1,))
    monkeypatch.setattr(one_process, "PEERS", ())
    monkeypatch.setattr(
        one_process, "train_speed",
        lambda found, *_, **__: shares.append((Rows.load(found / "train").pixels > 0).mean()) or {"rows/s": 1.0},
    )  # fmt: skip
    for number, each in enumerate(one_process.BENCHMARKS):
        (scratch := tmp_path / str(number)).mkdir()
        each.measure(Settings(data, 1, 0.01, scratch))
    assert shares == [pytest.approx(0.19, abs=0.02), pytest.approx(0.5, abs=0.03), 1]


def several(two: float, *, torch: bool = True) -> Entry:
    speeds = {
        "ddmlp, one process": [50_000.0],
        "ddmlp, 2 workers": [two],
        "PyTorch DDP": [40_000.0] if torch else None,
        "Ray's pattern": [10_000.0],
    }
    return entry({f"{n} hidden, batch {b}": speeds for n in (300, 800) for b in several_processes.MICROBATCH})


def test_several_processes():
    targets = several_processes.targets
    assert {target.verdict for target in targets(several(80_000))} == {"reached"}
    missed = [target.what for target in targets(several(55_000)) if target.verdict != "reached"]
    assert len(missed) == 6
    assert sum("to PyTorch DDP" in what for what in missed) == 2
    without = targets(several(80_000, torch=False))
    assert {target.verdict for target in without if "DDP" in target.what} == {"not measured"}


def test_changed_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def train(_data: Path, workers: int, **_settings: object) -> dict:
        return {"rows_per_second": 1.0, "weights_sha256": "odd" if workers == 2 else "even"}

    monkeypatch.setattr(processes, "train", train)
    monkeypatch.setattr(processes, "rows_of", lambda _data: 1_000)
    with pytest.raises(TrainingError, match=r"300 hidden, batch 256.*even.*odd"):
        several_processes.BENCHMARK.measure(Settings(tmp_path, 1, 1.0, tmp_path))


def test_two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The speeds of two concurrent processes are added."""
    speeds = iter([100.0, 70.0, 80.0, 200.0, 100.0, 120.0] * len(two_cores.HIDDEN))
    monkeypatch.setattr(two_cores, "in_processes", lambda _speed, calls: [{"rows/s": next(speeds)} for _ in calls])
    found = two_cores.BENCHMARK.measure(Settings(tmp_path, 2, 1.0, tmp_path))
    expected = {"one process": {"rows/s": [100, 200]}, "two at once": {"rows/s": [150, 220]}}
    assert found == {"300 hidden": expected, "800 hidden": expected}


@pytest.mark.parametrize(("batch", "rows"), [(64, 60_000), (1, 60_000), (1024, 4_000), (300, 4_000)])
def test_steps_fit_epochs(batch: int, rows: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(processes, "rows_of", lambda _data: rows)
    given: dict[str, int] = {}
    monkeypatch.setattr(processes, "train", lambda _data, **settings: given.update(settings) or {"rows_per_second": 9})
    assert processes.train_speed(tmp_path, 300, batch, 3.0, microbatch=1) == {"rows/s": 9}
    assert given["stop_after"] <= given["epochs"] * -(-rows // batch)
    assert given["stop_after"] * batch == pytest.approx(3 * processes.SPEED / 300, abs=batch)
    assert given["microbatch"] == 1


def test_train_to_goal():
    rows = Rows(np.zeros((10, 4), np.uint8), np.arange(10, dtype=np.uint8))
    trained: list[int] = []
    peer = SimpleNamespace(rate=1.0, train=lambda order: trained.append(len(order)))
    peer.accuracy = lambda _rows: 0.3 * len(trained)
    assert time_to_goal.train_to(0.8, peer, 10, rows, 0, epochs=9, falling=False) == pytest.approx(0.9)
    assert trained == [10, 10, 10]
    trained.clear()
    assert time_to_goal.train_to(0.95, peer, 10, rows, 0, epochs=2, falling=False) == pytest.approx(0.6)


def test_falling_rate():
    rates: list[float] = []
    peer = SimpleNamespace(rate=2.0, train=lambda _order: rates.append(peer.rate), accuracy=lambda _rows: 0.0)
    time_to_goal.train_to(0.5, peer, 1_000, Rows(np.zeros(0), np.zeros(0)), seed=0, epochs=2, falling=True)
    np.testing.assert_allclose(rates, np.linspace(2, 0, 2 * time_to_goal.PARTS, endpoint=False))


def test_time_to_98():
    names = [time_to_goal.OURS, *time_to_goal.PEERS]
    seconds = [[5.0, 4.0], [20.0, 20.0], [4.0, 4.0]]
    figures = {name: {"seconds": each, "test error, %": [1.9, 2.1]} for name, each in zip(names, seconds, strict=True)}
    error, torch, scikit = time_to_goal.targets(Entry({}, 2, {"": figures}))
    assert error.figures == [2.1]  # every seed must reach the goal
    assert error.verdict == "missed by 5.0 %"
    assert (torch.figures, torch.verdict) == ([4, 5], "reached")
    assert (scikit.figures, scikit.verdict) == ([0.8, 1], "missed by 10.0 %")
    assert {target.verdict for target in time_to_goal.targets(Entry({}, 1, {}))} == {"not measured"}


def test_step_cost():
    found = {f"{n} hidden, batch 16": {"ddmlp": [us]} for n, us in [(300, 20.0), (800, 30.0)]}
    verdicts = [target.verdict for target in step_cost.targets(entry(found, step_cost.BEYOND))]
    assert verdicts == ["reached", "missed by 20.0 %"]


def test_recomputation():
    names = recomputation.OURS, recomputation.VERIFY, recomputation.REPLAY
    found = entry({"": dict(zip(names, [[100.0], [95.0], [45.0]], strict=True))})
    assert [target.verdict for target in recomputation.targets(found)] == ["reached", "missed by 50.0 %"]


def test_conversion():
    found = entry({"": {conversion.OURS: [0.4, 0.5, 0.6], conversion.BOUND: [0.2, 0.2, 0.2]}}, "seconds")
    (target,) = conversion.targets(found)
    assert target.figures == pytest.approx([0.5, 0.4, 1 / 3])
    assert target.verdict == "missed by 20.0 %"
    assert conversion.targets(Entry({}, 1, {}))[0].verdict == "not measured"


def test_conversion_without_files(tmp_path: Path):
    assert conversion.BENCHMARK.measure(Settings(tmp_path, 1, 1.0, tmp_path)) == {}


def test_recognition():
    found = {f"{what}, 300 hidden": {"ddmlp": [speed], "matrix products": [100.0]}
             for what, speed in [("evaluation", 90.0), ("prediction", 80.0)]}  # fmt: skip
    targets = recognition.targets(entry(found))
    assert medians(targets) == [0.9, 0.8, None, None]
    assert [target.verdict for target in targets] == ["reached", "missed by 11.1 %", "not measured", "not measured"]


def test_start():
    seconds = {f"{each} --help": [0.2, 0.25] for each in start.COMMANDS}
    seconds |= {start.LOCAL: [1.5, 1.5], start.REMOTE: [5.0, 6.0], start.INIT: [3.5, 4.2], start.FIRST: [9.0, 9.0]}
    found = entry({"": seconds}, "seconds")
    for name, figures in {start.LOCAL: [2.0, 3.0], start.FIRST: [10.0, 15.0]}.items():
        found.figures[""][name][start.WHOLE] = figures
    *helps, local, compiling, remote = start.targets(found)
    assert len(helps) == len(start.COMMANDS) == 8
    assert {target.verdict for target in helps} == {"reached"}
    assert local.verdict == "missed by 25.0 %"
    assert (compiling.figures, compiling.verdict) == ([8, 12], "reached")
    assert remote.figures == pytest.approx([1.5, 1.8])
    assert remote.verdict == "reached"


def test_memory():
    small, large = [100.0, 110.0], [105.0, 121.0]
    sizes = {memory.SMALL: {"MB": small, "rows/s": large}, memory.LARGE: {"MB": large, "rows/s": small}}
    targets = memory.targets(Entry({}, 2, dict.fromkeys(memory.CASES, sizes)))
    assert [target.verdict for target in targets] == ["missed by 2.4 %", "reached"] * 2
    assert medians(targets)[0] == pytest.approx((1.05 + 1.1) / 2)


def test_deviations():
    found = entry({"1 workers": {"synchronous": [1.0, 3.0], "--delay 1": [2.0]}}, accuracy.ERROR)
    assert accuracy.deviation(found, "1 workers", "synchronous") == "2.00 ± 1.41 %"
    assert accuracy.deviation(found, "1 workers", "--delay 1") == "2.00 ± 0.00 %"
    assert accuracy.deviation(found, "1 workers", "--staleness 1") == ""


def test_seeds_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given = []
    result = {"test_error": 0.02, "rows_per_second": 1.0, "staleness": {"mean": 0.5, "max": 1}}
    result |= {"checkpoints": [0.1, 0.3], "train_seconds": 4.0}
    monkeypatch.setattr(accuracy, "train", lambda _data, **flags: given.append(flags) or result)
    settings = Settings(tmp_path, 2, 1.0, tmp_path)
    found = accuracy.BENCHMARKS[1].measure(settings)["4 workers"]["--staleness inf"]
    expected = {"rows/s": 1, "test error, %": 2, "staleness, mean": 0.5, "staleness, max": 1}
    expected |= {"checkpoints": 2, "ms each": 200, "% of the training time": 10}
    assert found == {quantity: pytest.approx([figure] * 2) for quantity, figure in expected.items()}
    assert given[-1] == {"seed": 1, "workers": 4, "staleness": "inf", **accuracy.SHARED}
    assert len({tuple(flags.items()) for flags in given}) == len(given) == 3 * 6 * 2


def test_requests(data: Path):
    asked = serving.requests(Rows.load(data / "test"))
    assert {request.images for request in asked.values()} == {1, 100}
    assert asked["PNG"].body.startswith(b"\x89PNG")
    assert asked["PNG"].kind == "image/png"


def test_serving_not_installed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "find_spec", lambda _name: None)
    found = serving.BENCHMARK.measure(Settings(data, 1, 0.01, tmp_path))
    assert found["PNG"] == {serving.OURS: None}


def test_registry():
    assert baseline("NumPy, dense").__name__ == "Dense"
