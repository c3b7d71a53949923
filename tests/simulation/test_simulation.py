"""Simulations of some seeds. `make simulate` simulates 10,000."""

import os
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tests.simulation import planted_servers
from tests.simulation.found import simulate_all
from tests.simulation.planted import PLANTED, Plant
from tests.simulation.scenario import FAULTS, MODES
from tests.simulation.simulation import dataset, simulate
from tests.simulation.strangers import KINDS

SEEDS = Path(__file__).with_name("seeds.txt")  # each has found a fault of ddmlp
FIRST = 12
NEAR = 100  # seeds that a test of a planted fault may need
MANY = range(92, 144)
NAME = attrgetter("__name__")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with dataset() as folder:
        yield folder


def found_before() -> list[int]:
    return [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if not line.startswith("#")]


def finds_a_fault(seed: int, data: Path) -> bool:
    try:
        simulate(seed, data)
    except Exception:  # a wrong hash, an error of ddmlp, no end
        return True
    return False


def test_first_seeds(data: Path):
    for seed in range(FIRST):
        simulate(seed, data)


@pytest.mark.parametrize("seed", found_before())
def test_seeds_of_faults(data: Path, seed: int):
    simulate(seed, data)


@pytest.mark.parametrize("plant", [each for each in PLANTED if each not in planted_servers.PLANTED], ids=NAME)
def test_planted(data: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant):
    """The simulation finds mistakes. If messages change, so do schedules, and perhaps a later seed finds it: `python -m
    tests.simulation.planted` prints the first ones."""
    plant(monkeypatch)
    seed = next((seed for seed in range(PLANTED[plant], PLANTED[plant] + NEAR) if finds_a_fault(seed, data)), None)
    assert seed is not None, "no seed finds it"
    monkeypatch.undo()
    simulate(seed, data)


@pytest.mark.slow
@pytest.mark.parametrize("plant", planted_servers.PLANTED, ids=NAME)
def test_planted_in_servers(data: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant):
    test_planted(data, monkeypatch, plant)


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
    strangers = {f"stranger: {kind.__name__}" for kind in KINDS}
    special = {"several servers", "growing dataset", "kill server of a slice", "pause server of a slice"}
    special |= {"kill relay", "pause relay", "distorted images"}
    assert found.fired.keys() == {*FAULTS, *strangers, *special} - {"stranger"}
