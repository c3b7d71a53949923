"""Simulations of some seeds. `make simulate` simulates 10,000."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.found import simulate_all
from tests.simulation.planted import PLANTED, Plant
from tests.simulation.scenario import FAULTS, MODES
from tests.simulation.simulation import dataset, simulate
from tests.simulation.strangers import KINDS

SEEDS = Path(__file__).with_name("seeds.txt")  # each has found a fault of ddmlp
FIRST = 16
MANY = range(300, 560)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with dataset() as folder:
        yield folder


def found_before() -> list[int]:
    return [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if not line.startswith("#")]


def test_first_seeds(data: Path):
    for seed in range(FIRST):
        simulate(seed, data)


@pytest.mark.parametrize("seed", found_before())
def test_seeds_of_faults(data: Path, seed: int):
    simulate(seed, data)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted(data: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant):
    """The simulation finds mistakes. If scenarios change, `python -m tests.simulation.planted` finds other seeds."""
    simulate(PLANTED[plant], data)
    plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017, PT011  # any: a wrong hash, an error of ddmlp, no end
        simulate(PLANTED[plant], data)


def test_repeatable(data: Path):
    assert [simulate(seed, data) for seed in (3, 7)] == [simulate(seed, data) for seed in (3, 7)]


@pytest.mark.slow
def test_repeatable_anywhere(data: Path):
    """A schedule depends on nothing but the seed: neither on the process nor on the order of sets."""
    command = [sys.executable, "-m", "tests.simulation", "5", "6"]
    said = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in "12"
    }
    assert len(said) == 1
    assert all(simulate(seed, data).schedule in said.pop().decode() for seed in (5,))


@pytest.mark.slow
def test_everything_happens():
    """Some of these seeds have each mode, each fault and each kind of stranger."""
    found = simulate_all(MANY)
    assert found.faults == {}
    assert found.modes.keys() == MODES.keys()
    assert found.fired.keys() == {*FAULTS, *(f"stranger: {kind.__name__}" for kind in KINDS)} - {"stranger"}
