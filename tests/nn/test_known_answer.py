"""The known-answer test: the same digest on every machine, and another one if anything computes other bits."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ddmlp.errors import MachineError
from ddmlp.nn import known_answer
from ddmlp.nn.known_answer import KNOWN_ANSWER, KNOWN_DISTORTION, answer, check_arithmetic, check_mode, fault, machine
from tests.support.floating_point import NAMES, computing

ROOT = Path(__file__).parents[2]
SMALLEST = np.finfo(np.float32).smallest_normal


def test_simple():
    assert answer() == KNOWN_ANSWER
    check_arithmetic()
    check_mode()
    assert fault() is None


def test_numbers_covered():
    """Weights, gradients and probabilities have denormal numbers, but no NaN, whose bits depend on the processor."""
    found = [array for array in known_answer._results() if array.dtype == np.float32]
    assert all(np.isfinite(array).all() for array in found)
    denormal = [np.count_nonzero((array != 0) & (abs(array) < SMALLEST)) for array in found]
    assert sum(count > 0 for count in denormal) == 3, denormal


@pytest.mark.parametrize("mode", NAMES)
def test_other_mode(mode: str):
    with computing(mode):
        found, deviation = answer(), fault()
        with pytest.raises(MachineError) as caught:
            check_mode()
        with pytest.raises(MachineError):
            check_arithmetic()
    assert found != KNOWN_ANSWER
    assert deviation is not None
    assert ("denormal" in deviation) == (mode in NAMES[:3])
    for word in (found, KNOWN_ANSWER, deviation, machine()):
        assert word in str(caught.value)
    check_arithmetic()


def test_other_thread():
    """Each thread has its own mode; a new thread inherits that of its parent."""
    found = []
    with computing("flush"):
        thread = threading.Thread(target=lambda: found.append(fault()))
        thread.start()
        thread.join()
    assert "denormal" in found[0]


def test_other_kernels(monkeypatch: pytest.MonkeyPatch):
    """One element of one result differs in its last bit."""

    def results():
        *others, last = true_results()
        yield from others
        yield np.nextafter(last, 0)

    true_results = known_answer._results
    monkeypatch.setattr(known_answer, "_results", results)
    known_answer._first_answer.cache_clear()
    with pytest.raises(MachineError) as caught:
        check_arithmetic()
    known_answer._first_answer.cache_clear()
    for word in (answer(), KNOWN_ANSWER, machine(), "Numba"):
        assert word in str(caught.value)


CHANGES = {
    "contracted": ("compiled.py", '"fastmath": False', '"fastmath": {"contract"}'),
    "reassociated": ("compiled.py", '"fastmath": False', '"fastmath": {"reassoc", "nsz"}'),
    "another scaling": ("sparse.py", "/ np.float32(255)", "* np.float32(1 / 255)"),
    "another polynomial": ("elementary.py", "0.16666520", "0.16666522"),
    "another series": ("distortion.py", "TERMS = 25", "TERMS = 7"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_changed_kernels(change: str, tmp_path: Path):
    """The changes are those of a faulty compiler, or of a mistake."""
    name, before, after = CHANGES[change]
    package = tmp_path / "package"
    shutil.copytree(ROOT / "ddmlp", package / "ddmlp")
    path = package / "ddmlp" / "nn" / name
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    done = subprocess.run(
        [sys.executable, "-m", "ddmlp.nn.known_answer"],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package), "DDMLP_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = done.stdout.split()
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in answers)
    differs = [each != known for each, known in zip(answers, (KNOWN_ANSWER, KNOWN_DISTORTION), strict=True)]
    assert differs == [name != "distortion.py", name == "distortion.py"]
